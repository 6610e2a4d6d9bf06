"""Diffusion regularisation: a penalty on the displacement's gradient."""

from __future__ import annotations

from learngn import arrays
from learngn.arrays import Array
from learngn.geometry.grid import Grid
from learngn.regularise.stiffness import Stiffness


class Diffusion:
    """Diffusion regulariser: ½ Σ_x Σ_ab (∂u_a/∂x_b)², displacement in mm per mm.

    Notes
    -----
    With u in voxels and spacing s, the squared difference of component a along axis b has the weight ``s_a² / s_b²``:
    the energy depends neither on the level (except for its number of voxels) nor on anisotropy, so that λ has the
    same meaning on every grid.

    References
    ----------
    Fischer and Modersitzki, "Fast diffusion registration", 2002.
    """

    def stiffness(self, grid: Grid, like: Array) -> Stiffness:
        """See :meth:`Regulariser.stiffness`."""
        spacing = arrays.like(grid.spacing, like)
        return Stiffness((spacing[:, None] / spacing[None, :]) ** 2)
