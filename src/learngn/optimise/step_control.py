"""Step control: how a solved step is shortened, accepted or rejected."""

from __future__ import annotations

from dataclasses import dataclass

from learngn import kernels
from learngn.arrays import Array, shared
from learngn.kernels import Guard
from learngn.kernels.bound import ReferenceGuard
from learngn.optimise.update import Update

_ATTEMPTS = 6  # a step is halved at most five times
_REACH = 2  # distance around a fold within which a step is shortened [voxel]


@dataclass(frozen=True)
class StepControl:
    """Rules by which a step is accepted, shortened or rejected.

    Attributes
    ----------
    longest : float
        Largest length of the update of a voxel [voxel of the level]; a linearisation holds for about one voxel.
    min_jacobian : float
        Lower bound of det(I + ∇u); a step is shortened locally where the determinant would be smaller.
    halvings : int
        Number of times that a step that raises the energy is halved before the level ends.
    memory : int
        A step is accepted if its energy does not exceed the highest of the last `memory` ones. Requiring a decrease at
        every step (memory 1) stops too early, as J is only an estimate of the derivative. With zero every step is
        accepted.
    update_tolerance : float
        The level ends when the mean update is below this length [voxel of the level].

    References
    ----------
    Grippo, Lampariello and Lucidi, "A nonmonotone line search technique for Newton's method", 1986.
    """

    longest: float = 1.0
    min_jacobian: float = 0.1
    halvings: int = 4
    memory: int = 4
    update_tolerance: float = 0.005

    def ceiling(self, energies: list[float]) -> float:
        """Return the energy that the next step must not exceed, given the energies so far."""
        return max(energies[-self.memory :]) if self.memory else float("inf")

    def capped(self, step: Array) -> Array:
        """Shorten the step of every voxel to `longest` at most; (N, D, *S)."""
        return step if self.longest == float("inf") else kernels.capped(step, self.longest)

    def guarded(self, u: Array, step: Array, update: Update) -> tuple[Array, Array, float]:
        """Join a step to the displacement u, shortened around voxels where it would fold.

        Returns
        -------
        u : Array, shape (N, D, *S), or (2N, D, *S) of a symmetric registration
            The new displacement.
        step : Array, shape (N, D, *S)
            The shortened step.
        min_jacobian : float
            Smallest det(I + ∇u); below the bound only if halving five times did not suffice.
        """
        if update.shares is None:
            guard: Guard = ReferenceGuard(kernels.backend(u, step), u, step, update, self.min_jacobian, _REACH)
        else:
            guard = kernels.guard(u, step, update.shares, self.min_jacobian, _REACH)
        for attempt in range(_ATTEMPTS):
            smallest = guard.join()
            if smallest >= self.min_jacobian or attempt == _ATTEMPTS - 1:
                break
            guard.shorten()
        return shared(guard.u, u), shared(guard.step, step), smallest
