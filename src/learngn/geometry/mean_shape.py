"""Mean shape of several images: displacements from a common space to each of them, centred."""

from __future__ import annotations

from collections.abc import Sequence

from learngn.arrays import Array
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.geometry.transform import DisplacementField, invert


def in_mean_shape(fields: Sequence[Array], grid: Grid) -> tuple[list[Array], Array]:
    """Return displacements from the mean shape, from displacements from any common space.

    With ``T_i`` from the common space to each image and their mean ``M = mean T_i``, these are ``T_i ∘ M⁻¹``, whose
    mean is the identity.

    Parameters
    ----------
    fields : sequence of Array, each of shape (1, D, *S) [voxel]
    grid : Grid
        Their grid.

    Returns
    -------
    list of Array, Array
        The displacements from the mean shape, and the mean of those given.
    """
    mean = sum(fields[1:], start=fields[0]) / len(fields)
    back = invert(DisplacementField(mean, grid)).field.data
    return [sampling.compose(field, back) for field in fields], mean
