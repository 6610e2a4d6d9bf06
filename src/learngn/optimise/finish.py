"""The end of a registration: from the finest level to the image's grid, forth and back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.geometry.transform import DisplacementField, invert
from learngn.optimise.gauss_newton import Optimised
from learngn.optimise.unfold import inverse_error, unfolded


@dataclass(frozen=True, eq=False)
class Fields:
    """Displacements on the fixed grid.

    Attributes
    ----------
    forward : Tensor, shape (1, D, *S) [voxel]
        From the fixed image to the moving one.
    inverse : Tensor, shape (1, D, *S) [voxel], optional
    error : float, optional
        Mean distance that a voxel misses its origin by, there and back [voxel].
    """

    forward: Tensor
    inverse: Tensor | None = None
    error: float | None = None


def at_full_resolution(result: Optimised, grid: Grid, *, diffeomorphic: bool = False) -> Fields:
    """The finest level's displacement on the image's grid.

    Parameters
    ----------
    result : Optimised
        Of one sample.
    grid : Grid
        Of the fixed image.
    diffeomorphic : bool
        Mend folds, and invert.

    Returns
    -------
    Fields
        With an inverse if the registration was symmetric, or is to be diffeomorphic.
    """

    def whole(field: Tensor) -> Tensor:
        full = sampling.resize_field(field, grid.shape)
        return unfolded(full) if diffeomorphic else full

    def back(field: Tensor) -> Tensor:
        return invert(DisplacementField(field, grid), tolerance=1e-2).field.data

    forward, inverse = whole(result.field), None
    if result.into_fixed is not None:  # each image is seen from half-way: out of the one, into the other
        into_fixed = whole(result.into_fixed)
        out_of_fixed, out_of_moving = back(into_fixed), back(forward)
        forward, inverse = (
            sampling.compose(forward, out_of_fixed),
            sampling.compose(into_fixed, out_of_moving),
        )
        if diffeomorphic:  # what is composed is interpolated anew
            forward, inverse = unfolded(forward), unfolded(inverse)
    elif diffeomorphic:
        inverse = unfolded(back(forward))
    if inverse is None:
        return Fields(forward)
    return Fields(forward, inverse, inverse_error(forward, inverse))
