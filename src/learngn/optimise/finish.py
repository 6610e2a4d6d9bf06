"""End of a registration: from the finest level to the displacement on the image's grid, and its inverse."""

from __future__ import annotations

from dataclasses import dataclass

from learngn.arrays import Array, namespace
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.geometry.transform import DisplacementField, invert
from learngn.optimise.gauss_newton import Optimised
from learngn.optimise.unfold import inverse_error, unfolded


@dataclass(frozen=True, eq=False)
class Fields:
    """Displacements on the fixed image's grid.

    Attributes
    ----------
    forward : Array, shape (1, D, *S) [voxel]
        Displacement from the fixed image to the moving image.
    inverse : Array, shape (1, D, *S) [voxel], optional
        Displacement from the moving image to the fixed image.
    error : float, optional
        Mean inverse consistency error, see :func:`learngn.optimise.inverse_error` [voxel].
    """

    forward: Array
    inverse: Array | None = None
    error: float | None = None

    def without_displacement(self) -> Fields:
        """Return fields of the same shapes that are zero."""
        xp = namespace(self.forward)
        inverse = None if self.inverse is None else xp.zeros_like(self.inverse)
        return Fields(xp.zeros_like(self.forward), inverse, None if self.error is None else 0.0)

    def replaced(self, forward: Array, grid: Grid, *, diffeomorphic: bool = False) -> Fields:
        """Return the fields of another displacement of the same grid, with an inverse if these have one."""
        forward = unfolded(forward) if diffeomorphic else forward
        if self.inverse is None:
            return Fields(forward)
        inverse = inverted(forward, grid)
        inverse = unfolded(inverse) if diffeomorphic else inverse
        return Fields(forward, inverse, inverse_error(forward, inverse))


def inverted(field: Array, grid: Grid) -> Array:
    """Return the inverse of a displacement, to a hundredth of a voxel where it does not fold."""
    return invert(DisplacementField(field, grid), tolerance=1e-2).field.data


def at_full_resolution(result: Optimised, grid: Grid, *, diffeomorphic: bool = False) -> Fields:
    """Resize the finest level's displacement to the image's grid.

    Parameters
    ----------
    result : Optimised
        Result for one sample.
    grid : Grid
        Grid of the fixed image.
    diffeomorphic : bool
        Remove folds, and compute an inverse.

    Returns
    -------
    Fields
        With an inverse if the registration was symmetric or is diffeomorphic.
    """

    def full_size(field: Array) -> Array:
        resized = sampling.resize_field(field, grid.shape)
        return unfolded(resized) if diffeomorphic else resized

    forward, inverse = full_size(result.field), None
    if result.into_fixed is not None:  # displacements from half-way into each image: go back by one, on by the other
        into_fixed = full_size(result.into_fixed)
        out_of_fixed, out_of_moving = inverted(into_fixed, grid), inverted(forward, grid)
        forward, inverse = (
            sampling.compose(forward, out_of_fixed),
            sampling.compose(into_fixed, out_of_moving),
        )
        if diffeomorphic:  # composition interpolates, which may make new folds
            forward, inverse = unfolded(forward), unfolded(inverse)
    elif diffeomorphic:
        inverse = unfolded(inverted(forward, grid))
    if inverse is None:
        return Fields(forward)
    return Fields(forward, inverse, inverse_error(forward, inverse))
