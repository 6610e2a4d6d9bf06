"""Step control: how much of a solved step is taken, and where."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from learngn import kernels
from learngn.geometry import sampling
from learngn.optimise.update import Update

_ATTEMPTS = 6  # a step is halved five times at most
_REACH = 2  # of a fold, to either side [voxel]


@dataclass(frozen=True)
class StepControl:
    """When a step is taken, shortened or given up.

    Attributes
    ----------
    longest : float
        Cap on the update, voxel by voxel [voxel of the level]; a linearisation says nothing beyond about one voxel.
    min_jacobian : float
        Where a step would leave det(I + ∇u) below this it is shortened, there alone.
    halvings : int
        How often a step that raises the energy is halved before the level is given up.
    memory : int
        A step is taken when its energy is below the highest of the last `memory` ones. Demanding a fall at every step
        (memory 1) stops early: J is only an estimate of the derivative. Zero takes every step.
    update_tolerance : float
        A level ends when the mean update is below it [voxel of the level].

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
        """Energy that a step must not exceed, after these."""
        return max(energies[-self.memory :]) if self.memory else float("inf")

    def capped(self, step: Tensor) -> Tensor:
        """Shorten what is longer than `longest`, voxel by voxel; (N, D, *S)."""
        return step if self.longest == float("inf") else kernels.best(step).capped(step, self.longest)

    def guarded(self, u: Tensor, step: Tensor, update: Update) -> tuple[Tensor, Tensor, float]:
        """Join a step to u, shortened around voxels that it would fold.

        Returns
        -------
        u : Tensor, shape (N, D, *S), or (2N, D, *S) of a symmetric registration
            The new displacement.
        step : Tensor, shape (N, D, *S)
            What was taken of the step.
        min_jacobian : float
            Smallest det(I + ∇u) left: below the guard only where halving five times did not help.
        """
        if update.shares is not None:
            found = kernels.best(u, step).guarded(u, step, update.shares, self.min_jacobian, _REACH, _ATTEMPTS)
            if found is not None:
                return found.u, found.step, found.smallest
        smallest = float("nan")
        for attempt in range(_ATTEMPTS):
            joined = update(u, step)
            with torch.no_grad():
                determinant = kernels.best(joined).determinant(joined)
                smallest = float(determinant.min())
                if smallest >= self.min_jacobian or attempt == _ATTEMPTS - 1:
                    break
                low = (determinant < self.min_jacobian).reshape(-1, *step.shape[:1], *step.shape[2:]).any(0)
                step = step * (1 - 0.5 * surroundings(low))
        return joined, step, smallest


def surroundings(mask: Tensor, reach: int = _REACH) -> Tensor:
    """One at the voxels of a mask, (N, *S), and about them, falling smoothly to zero over `reach`; (N, 1, *S)."""
    shape = mask.shape[1:]
    coarse = [max(1, n // reach) for n in shape]
    touched = (sampling.pool(mask[:, None].float(), coarse) > 0).float()
    dilate = F.max_pool3d if len(shape) == 3 else F.max_pool2d
    wide = dilate(touched, 3, stride=1, padding=1)
    return sampling.resize(wide, shape).clamp(0, 1).to(torch.float32)
