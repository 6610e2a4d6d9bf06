"""Curvature regularisation: a penalty on the displacement's second derivatives."""

from __future__ import annotations

import math
from dataclasses import dataclass

from learngn import arrays
from learngn.arrays import Array
from learngn.errors import SettingsError
from learngn.geometry.grid import Grid
from learngn.regularise.stiffness import Stiffness


@dataclass(frozen=True)
class Curvature:
    """Curvature regulariser: ½ ℓ² Σ_x Σ_a (Δu_a)², displacement in mm per mm².

    Parameters
    ----------
    length : float
        ℓ [mm]. For a wave of wavelength 2πℓ the penalty equals that of diffusion; it is smaller for longer waves and
        larger for shorter ones. λ has the same unit as for diffusion.

    Raises
    ------
    SettingsError
        If the length is not positive.

    Notes
    -----
    ``R = L²`` with L the Neumann Laplacian, so that normal derivatives of u and of Δu vanish at the border (Fischer
    and Modersitzki's conditions). Only translations have no penalty; a linear field has none inside the grid.

    References
    ----------
    Fischer and Modersitzki, "Curvature based image registration", 2003.
    """

    length: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.length < math.inf:
            raise SettingsError("length of the curvature", f"{self.length:g} mm", "a positive length", "begin with 20")

    def stiffness(self, grid: Grid, like: Array) -> Stiffness:
        """See :meth:`Regulariser.stiffness`."""
        spacing = arrays.like(grid.spacing, like)
        return Stiffness(self.length * spacing[:, None] / spacing[None, :] ** 2, order=2)
