"""How a step joins the displacement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from learngn import kernels
from learngn.geometry import sampling


class Update(Protocol):
    """Joins a displacement u and a step δ, both (N, D, *S) [voxel]."""

    @property
    def symmetric(self) -> bool:
        """Whether a displacement is two, into the moving and into the fixed image: (2N, D, *S)."""

    @property
    def shares(self) -> tuple[float, ...] | None:
        """What is composed with each of the displacements, in steps; None if the step joins in another way."""

    def __call__(self, u: Tensor, step: Tensor) -> Tensor:
        """The new displacement."""

    def pull_back(self, u: Tensor, gradient: Tensor) -> Tensor:
        """Gradient by the step of an energy of the whole displacement, given its gradient by that, (N, D, *S)."""

    def whole(self, u: Tensor) -> Tensor:
        """Displacement between the images, (N, D, *S): what the regulariser sees."""


class _OneSided:
    """The moving image alone is displaced."""

    @property
    def symmetric(self) -> bool:
        """See :attr:`Update.symmetric`."""
        return False

    @property
    def shares(self) -> tuple[float, ...] | None:
        """See :attr:`Update.shares`."""
        return None

    def whole(self, u: Tensor) -> Tensor:
        """See :meth:`Update.whole`."""
        return u


@dataclass(frozen=True)
class Additive(_OneSided):
    """``u + δ``."""

    def __call__(self, u: Tensor, step: Tensor) -> Tensor:
        """See :class:`Update`."""
        return u + step

    def pull_back(self, u: Tensor, gradient: Tensor) -> Tensor:
        """See :class:`Update`."""
        return gradient


@dataclass(frozen=True)
class Compositional(_OneSided):
    """``δ + u ∘ (id + δ)``: the composition of two invertible maps is invertible, so folds are rare."""

    @property
    def shares(self) -> tuple[float, ...] | None:
        """See :attr:`Update.shares`."""
        return (1.0,)

    def __call__(self, u: Tensor, step: Tensor) -> Tensor:
        """See :class:`Update`."""
        return sampling.compose(u, step)

    def pull_back(self, u: Tensor, gradient: Tensor) -> Tensor:
        """``(I + ∇u)ᵀ`` times the gradient: to first order the composition adds ``(I + ∇u) δ`` to u."""
        return kernels.best(u, gradient).pull_back(u, gradient)


@dataclass(frozen=True)
class Exponential(Compositional):
    """``exp(δ)`` composed with u: the step is a velocity that is followed for a unit of time, a diffeomorphism.

    Attributes
    ----------
    squarings : int
        The flow is composed of 2^squarings small steps.

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

    def __call__(self, u: Tensor, step: Tensor) -> Tensor:
        """See :class:`Update`."""
        flow = step / 2**self.squarings
        for _ in range(self.squarings):
            flow = sampling.compose(flow, flow)
        return sampling.compose(u, flow)


@dataclass(frozen=True)
class Symmetric:
    """Half of the step into the moving image, half of it backwards into the fixed one.

    With a into the moving and b into the fixed image, both as seen from half-way, ``φ_M(x + a(x)) - φ_F(x + b(x))`` has
    the derivative ½ (∇φ_M + ∇φ_F) by the step: that of :class:`learngn.linearise.Analytic`. What registers the fixed
    to the moving image, registers the moving to the fixed one with a and b exchanged.

    Attributes
    ----------
    half : Update
        How each half joins.

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

    def __call__(self, u: Tensor, step: Tensor) -> Tensor:
        """See :class:`Update`."""
        return self.half(u, torch.cat([step / 2, -step / 2]))

    def pull_back(self, u: Tensor, gradient: Tensor) -> Tensor:
        """See :meth:`Update.pull_back`: the mean of the halves', as each gets half of the step."""
        into_moving, into_fixed = u.chunk(2)
        return self.half.pull_back((into_moving + into_fixed) / 2, gradient)

    def whole(self, u: Tensor) -> Tensor:
        """See :meth:`Update.whole`."""
        into_moving, into_fixed = u.chunk(2)
        return into_moving - into_fixed
