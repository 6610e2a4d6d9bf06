"""The hand-made linearisation: differences of the features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from learngn import kernels
from learngn.kernels.reference import difference
from learngn.linearise.linearisation import Linearisation, NormalEquations


@dataclass(frozen=True)
class Analytic:
    """f = warped - fixed; J = central differences.

    Parameters
    ----------
    symmetric : bool
        Differentiate the mean of the fixed and the warped features rather than the warped ones alone: efficient
        second-order minimisation, of higher order near the solution and of wider reach far from it.

    References
    ----------
    Benhimane and Malis, "Real-time image-based tracking of planes using efficient second-order minimization", 2004.
    """

    symmetric: bool = True

    @property
    def refinement(self) -> int:
        """Features and displacement share one grid."""
        return 1

    def linearise(self, fixed: Tensor, warped: Tensor, weight: Tensor | None = None) -> Linearisation:
        """The linearisation itself, for inspection; :meth:`normal_equations` never stores J."""
        source = (warped + fixed) / 2 if self.symmetric else warped
        jacobian = torch.stack([difference(source, axis + 2) for axis in range(fixed.ndim - 2)], dim=2)
        return Linearisation(warped - fixed, jacobian, weight)

    def normal_equations(self, fixed: Tensor, warped: Tensor, weight: Tensor | None = None) -> NormalEquations:
        """See :class:`learngn.linearise.Lineariser`; one fused pass."""
        return NormalEquations(*kernels.best(fixed, warped).normal_equations(fixed, warped, weight, self.symmetric))
