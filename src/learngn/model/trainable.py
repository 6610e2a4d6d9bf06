"""Learned parts of a Gauss-Newton method: the parameters that are trained and kept in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from learngn.arrays import Array, as_numpy, is_tensor
from learngn.linearise import Lineariser, NormalEquations
from learngn.optimise import GaussNewton


class TrainableGaussNewton(nn.Module):
    """Container of a Gauss-Newton method's learned lineariser and factors of λ.

    Parameters
    ----------
    method : GaussNewton
        Method whose lineariser and factors of λ are replaced by the learned ones.
    lineariser : Lineariser
        A module, or a function without parameters.
    learn_lam : bool
        Train the factors of λ, which begin as one.

    Attributes
    ----------
    factor_parameters : tuple of str
        Names of the parameters that have one number per level; training uses a separate learning rate for them.
    """

    factor_parameters: ClassVar[tuple[str, ...]] = ("log_lam",)

    def __init__(self, method: GaussNewton, lineariser: Lineariser, *, learn_lam: bool) -> None:
        super().__init__()
        self.lineariser = lineariser
        self.log_lam = nn.Parameter(torch.zeros(len(method.levels)), requires_grad=learn_lam)
        self._method = method

    @property
    def gauss_newton(self) -> GaussNewton:
        """The method with the learned parts; it takes arrays of either library, and is differentiated for tensors."""
        lineariser = self.lineariser
        if isinstance(lineariser, nn.Module):
            lineariser = OnArrays(lineariser, self.log_lam.device)
        return self._method.replaced(lineariser=lineariser, log_lam=self.log_lam)


@dataclass(frozen=True)
class OnArrays:
    """Lineariser of tensors, applied to arrays of either library.

    Attributes
    ----------
    lineariser : Lineariser
        A module of PyTorch.
    device : torch.device
        Device of its parameters, where arrays of NumPy are moved.
    """

    lineariser: Lineariser
    device: torch.device

    @property
    def refinement(self) -> int:
        """See :class:`learngn.linearise.Lineariser`."""
        return self.lineariser.refinement

    def normal_equations(self, fixed: Array, warped: Array, weight: Array | None = None) -> NormalEquations:
        """See :class:`learngn.linearise.Lineariser`."""
        if is_tensor(fixed):
            return self.lineariser.normal_equations(fixed, warped, weight)
        a, b, w = (None if x is None else torch.as_tensor(x, device=self.device) for x in (fixed, warped, weight))
        with torch.no_grad():
            normal = self.lineariser.normal_equations(a, b, w)
        return NormalEquations(*map(as_numpy, (normal.blocks, normal.gradient, normal.energy)))
