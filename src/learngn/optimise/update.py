"""Updates: how a step is joined to the displacement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from learngn import kernels
from learngn.arrays import Array, namespace
from learngn.geometry import sampling


def halves(u: Array) -> tuple[Array, Array]:
    """Return the displacements into the moving and into the fixed image, from both of them, (2N, D, *S)."""
    n = u.shape[0] // 2
    return u[:n], u[n:]


class Update(Protocol):
    """Protocol: joins a displacement u and a step δ, both (N, D, *S) [voxel]."""

    @property
    def symmetric(self) -> bool:
        """Whether both images are displaced: u is then (2N, D, *S), into the moving and into the fixed image."""

    @property
    def shares(self) -> tuple[float, ...] | None:
        """Factors of the step that is composed with each displacement; None for other kinds of updates."""

    def __call__(self, u: Array, step: Array) -> Array:
        """Return the new displacement."""

    def pull_back(self, u: Array, gradient: Array) -> Array:
        """Convert an energy's gradient by the displacement between the images to that by the step, (N, D, *S)."""

    def whole(self, u: Array) -> Array:
        """Return the displacement between the images, (N, D, *S), which is regularised."""


class _OneSided:
    """Base of updates that displace only the moving image."""

    @property
    def symmetric(self) -> bool:
        """See :attr:`Update.symmetric`."""
        return False

    @property
    def shares(self) -> tuple[float, ...] | None:
        """See :attr:`Update.shares`."""
        return None

    def whole(self, u: Array) -> Array:
        """See :meth:`Update.whole`."""
        return u


@dataclass(frozen=True)
class Additive(_OneSided):
    """Additive update ``u + δ``."""

    def __call__(self, u: Array, step: Array) -> Array:
        """See :class:`Update`."""
        return u + step

    def pull_back(self, u: Array, gradient: Array) -> Array:
        """See :class:`Update`."""
        return gradient


@dataclass(frozen=True)
class Compositional(_OneSided):
    """Compositional update ``δ + u ∘ (id + δ)``: a composition of invertible maps is invertible, so folds are rare."""

    @property
    def shares(self) -> tuple[float, ...] | None:
        """See :attr:`Update.shares`."""
        return (1.0,)

    def __call__(self, u: Array, step: Array) -> Array:
        """See :class:`Update`."""
        return sampling.compose(u, step)

    def pull_back(self, u: Array, gradient: Array) -> Array:
        """Return ``(I + ∇u)ᵀ`` times the gradient, as the composition adds ``(I + ∇u) δ`` to u, to first order."""
        return kernels.pull_back(u, gradient)


@dataclass(frozen=True)
class Exponential(Compositional):
    """Exponential update: ``exp(δ)``, the flow of the velocity δ over a unit of time, composed with u.

    Attributes
    ----------
    squarings : int
        Number of squarings: the flow is composed of 2^squarings small steps.

    References
    ----------
    Arsigny et al., "A log-Euclidean framework for statistics on diffeomorphisms", 2006. Vercauteren et al.,
    "Diffeomorphic demons", 2009.
    """

    squarings: int = 3

    @property
    def shares(self) -> tuple[float, ...] | None:
        """See :attr:`Update.shares`."""
        return None

    def __call__(self, u: Array, step: Array) -> Array:
        """See :class:`Update`."""
        flow = step / 2**self.squarings
        for _ in range(self.squarings):
            flow = sampling.compose(flow, flow)
        return sampling.compose(u, flow)


@dataclass(frozen=True)
class Symmetric:
    """Symmetric update: half of the step is joined to each displacement, with opposite signs.

    With displacements a into the moving and b into the fixed image, both from half-way, the residual
    ``φ_M(x + a(x)) - φ_F(x + b(x))`` has the derivative ½ (∇φ_M + ∇φ_F) by the step: that of
    :class:`learngn.linearise.Analytic`. Exchanging the images exchanges a and b.

    Attributes
    ----------
    half : Update
        Update by which each half is joined.

    References
    ----------
    Avants et al., "Symmetric diffeomorphic image registration with cross-correlation", 2008.
    """

    half: Update

    @property
    def symmetric(self) -> bool:
        """See :attr:`Update.symmetric`."""
        return True

    @property
    def shares(self) -> tuple[float, ...] | None:
        """See :attr:`Update.shares`."""
        return None if self.half.shares is None else tuple(s * share for s in (0.5, -0.5) for share in self.half.shares)

    def __call__(self, u: Array, step: Array) -> Array:
        """See :class:`Update`."""
        return self.half(u, namespace(step).concat([step / 2, -step / 2]))

    def pull_back(self, u: Array, gradient: Array) -> Array:
        """See :meth:`Update.pull_back`; by the mean of both displacements, as each gets half of the step."""
        into_moving, into_fixed = halves(u)
        return self.half.pull_back((into_moving + into_fixed) / 2, gradient)

    def whole(self, u: Array) -> Array:
        """See :meth:`Update.whole`."""
        into_moving, into_fixed = halves(u)
        return into_moving - into_fixed
