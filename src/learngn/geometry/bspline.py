"""Cubic B-spline interpolation, by SciPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from learngn.arrays import Array, as_numpy, like, namespace
from learngn.geometry import sampling

_ORDER = 3
_MODE = "mirror"  # about the centres of the outermost voxels, as in ITK
_AT_ONCE = 1 << 20  # number of voxels whose coordinates are computed at a time


def warp(
    image: Array,
    field: Array | None,
    matrix: NDArray[np.float64],
    shape: Sequence[int],
    *,
    outside: float = 0.0,
) -> Array:
    """Sample an image by cubic B-splines that pass through its values: ``out(x) = image(matrix @ (x + field(x)))``.

    Parameters
    ----------
    image : Array, shape (1, C, *T)
    field : Array, shape (1, D, *S) [voxel of the output grid], optional
        Displacement; None for zero.
    matrix : array, shape (D+1, D+1)
        Maps the output grid's index to the image's.
    shape : sequence of int
        Output shape `S`.
    outside : float
        Value beyond the image's extent, half a voxel past the outermost centres.

    Returns
    -------
    Array, shape (1, C, *S)
        Warped image on the device of the image; computed on the CPU, without gradients.

    References
    ----------
    Unser, "Splines: a perfect fit for signal and image processing", IEEE Signal Process. Mag. 16(6), 1999.
    """
    volumes = as_numpy(image)
    displacement = None if field is None else as_numpy(field)[0]
    out = np.empty((1, volumes.shape[1], *shape), dtype=volumes.dtype)
    planes = max(1, _AT_ONCE * shape[0] // int(np.prod(shape)))
    for channel, volume in enumerate(volumes[0]):
        coefficients = scipy.ndimage.spline_filter(volume, order=_ORDER, output=volume.dtype, mode=_MODE)
        for start in range(0, shape[0], planes):
            slab = slice(start, min(start + planes, shape[0]))
            scipy.ndimage.map_coordinates(
                coefficients,
                _sample_indices(slab, shape, matrix, displacement),
                output=out[0, channel, slab],
                order=_ORDER,
                mode=_MODE,
                prefilter=False,
            )
    xp, result = namespace(image), like(out, image)
    inside = sampling.inside(image.shape[2:], field, matrix, shape, result)
    return xp.where(inside, result, xp.full_like(result, outside))


def _sample_indices(
    slab: slice, shape: Sequence[int], matrix: NDArray[np.float64], field: NDArray[np.floating] | None
) -> NDArray[np.float64]:
    """Return the image indices at which a slab of output planes is sampled, shape (D, *slab)."""
    axes = [np.arange(slab.start, slab.stop), *[np.arange(n) for n in shape[1:]]]
    index = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float64)
    if field is not None:
        index += field[:, slab]
    ndim = len(shape)
    mapped = matrix[:-1, :-1] @ index.reshape(ndim, -1) + matrix[:-1, -1:]
    return np.asarray(mapped.reshape(index.shape))
