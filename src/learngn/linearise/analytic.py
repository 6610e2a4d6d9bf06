"""Analytic linearisation: the difference of the features and its derivative by central differences."""

from __future__ import annotations

from dataclasses import dataclass

from learngn import kernels
from learngn.arrays import Array, namespace
from learngn.kernels.stencils import difference
from learngn.linearise.linearisation import Linearisation, NormalEquations


@dataclass(frozen=True)
class Analytic:
    """Analytic linearisation: residual f = warped - fixed, Jacobian J by central differences.

    Parameters
    ----------
    symmetric : bool
        Differentiate the mean of the fixed and the warped features instead of the warped features: efficient
        second-order minimisation, which has a higher order of convergence and a larger region of convergence.

    References
    ----------
    Benhimane and Malis, "Real-time image-based tracking of planes using efficient second-order minimization", 2004.
    """

    symmetric: bool = True

    @property
    def refinement(self) -> int:
        """Return 1: features and displacement have the same grid."""
        return 1

    def linearise(self, fixed: Array, warped: Array, weight: Array | None = None) -> Linearisation:
        """Return f and J, for inspection; :meth:`normal_equations` does not store J."""
        source = (warped + fixed) / 2 if self.symmetric else warped
        slopes = [difference(source, axis + 2) for axis in range(fixed.ndim - 2)]
        jacobian = namespace(source).stack(slopes, axis=2)
        return Linearisation(warped - fixed, jacobian, weight)

    def normal_equations(self, fixed: Array, warped: Array, weight: Array | None = None) -> NormalEquations:
        """See :class:`learngn.linearise.Lineariser`; computed in one fused pass."""
        return NormalEquations(*kernels.normal_equations(fixed, warped, weight, self.symmetric))
