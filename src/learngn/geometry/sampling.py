"""Interpolation: warping and resizing of images and displacement fields, pyramids."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learngn import kernels
from learngn.arrays import Array, add_at, clamped, device_of, lattice, like, namespace, zeros
from learngn.geometry.grid import Grid
from learngn.kernels.taps import area_taps, linear_taps


def identity_map(ndim: int) -> NDArray[np.float64]:
    """Return the homogeneous identity matrix, shape (D+1, D+1)."""
    return np.eye(ndim + 1)


def warp(
    image: Array,
    field: Array | None,
    matrix: NDArray[np.float64],
    shape: Sequence[int],
    *,
    outside: float | None = None,
) -> Array:
    """Sample an image linearly: ``out(x) = image(matrix @ (x + field(x)))``.

    Parameters
    ----------
    image : Array, shape (N, C, *T)
        Image, floating point.
    field : Array, shape (N, D, *S) [voxel of the output grid], optional
        Displacement; None for zero.
    matrix : array, shape (D+1, D+1)
        Maps the output grid's index to the image's (:meth:`learngn.geometry.grid.Grid.index_map`).
    shape : sequence of int
        Output shape `S`.
    outside : float, optional
        Value beyond the image's extent (half a voxel past the outermost centres, as in ITK); None repeats the border.

    Returns
    -------
    Array, shape (N, C, *S)
    """
    return kernels.warp(image, field, matrix, shape, outside)


def inside(
    image_shape: Sequence[int],
    field: Array | None,
    matrix: NDArray[np.float64],
    shape: Sequence[int],
    of: Array,
) -> Array:
    """Return which output voxels are sampled inside the image's extent; (N, 1, *S), bool."""
    xp = namespace(of)
    ones = xp.ones((of.shape[0], 1, *image_shape), dtype=xp.uint8, device=device_of(of))
    return warp_nearest(ones, field, matrix, shape, outside=0) != 0


def warp_nearest(
    image: Array, field: Array | None, matrix: NDArray[np.float64], shape: Sequence[int], *, outside: float = 0
) -> Array:
    """Sample an image like :func:`warp`, with the nearest voxel's value: for label maps, of any dtype."""
    return kernels.warp_nearest(image, field, matrix, shape, outside)


def pool(image: Array, shape: Sequence[int]) -> Array:
    """Average an image onto a coarser grid over the same extent, (N, C, *S) to (N, C, *shape)."""
    if tuple(image.shape[2:]) == tuple(shape):
        return image
    taps = [area_taps(n, m) for n, m in zip(image.shape[2:], shape, strict=True)]
    return kernels.resample(image, taps)


def resize(image: Array, shape: Sequence[int]) -> Array:
    """Interpolate an image linearly onto another shape over the same extent, (N, C, *S) to (N, C, *shape).

    Beyond the outermost voxel centres it is extrapolated.
    """
    if tuple(image.shape[2:]) == tuple(shape):
        return image
    taps = [linear_taps(n, m) for n, m in zip(image.shape[2:], shape, strict=True)]
    return kernels.resample(image, taps)


def filled(image: Array, known: Array) -> Array:
    """Fill in unknown voxels of an image smoothly; known voxels keep their values.

    Parameters
    ----------
    image : Array, shape (N, C, *S)
        Values of unknown voxels do not matter; they may be NaN.
    known : Array, shape (N, 1, *S), bool
        Which voxels are known.

    Returns
    -------
    Array, shape (N, C, *S)
        Zero for a sample without known voxels.

    References
    ----------
    Gortler et al., "The lumigraph", 1996: pull and push.
    """
    xp = namespace(image)
    image = xp.where(known, image, xp.zeros_like(image))
    if bool(xp.all(known)) or max(image.shape[2:]) == 1:
        return image
    shape = [max(1, n // 2) for n in image.shape[2:]]
    part = pool(xp.astype(known, image.dtype), shape)
    coarse = filled(pool(image, shape) / clamped(part, 1e-6), part > 0)
    return xp.where(known, image, resize(coarse, image.shape[2:]))


def sample_points(image: Array, index: Array, *, outside: float | None = None) -> Array:
    """Interpolate one image linearly at points.

    Parameters
    ----------
    image : Array, shape (1, C, *S)
    index : Array, shape (M, D) [voxel]
        Coordinates of the points.
    outside : float, optional
        Value beyond the image's extent; see :func:`warp`.

    Returns
    -------
    Array, shape (M, C)
    """
    count, ndim = index.shape
    # The points are given as the displacement of a grid of M x 1 [x 1] voxels, so that `warp` can sample them.
    shape = (count, *[1] * (ndim - 1))
    xp = namespace(index)
    query = xp.reshape(index.T, (1, ndim, *shape)) - lattice(shape, index)[None]
    warped = warp(image, query, identity_map(ndim), shape, outside=outside)
    return xp.reshape(warped, (-1, count)).T


def splat_points(values: Array, index: Array, shape: Sequence[int]) -> Array:
    """Spread values at points over the voxels around them: the adjoint of :func:`sample_points`.

    Parameters
    ----------
    values : Array, shape (M, C)
    index : Array, shape (M, D) [voxel]
        Coordinates of the points; a point outside the grid is moved to its border.
    shape : sequence of int
        Shape of the grid.

    Returns
    -------
    Array, shape (1, C, *shape)
    """
    xp, size = namespace(values, index), math.prod(shape)
    last = like([n - 1 for n in shape], index)
    inner = xp.minimum(clamped(index, 0), last)
    lower = xp.minimum(xp.floor(inner), clamped(last - 1, 0))
    part = inner - lower
    out = zeros((size, values.shape[1]), values)
    for corner in itertools.product((0, 1), repeat=len(shape)):
        offset = like(corner, index)
        weight = xp.prod(xp.where(offset > 0, part, 1 - part), axis=1, keepdims=True)
        at = xp.astype(xp.minimum(lower + offset, last), xp.int64)
        flat = at[:, 0]
        for axis, n in enumerate(shape[1:], start=1):
            flat = flat * n + at[:, axis]
        out = out + add_at(xp.astype(weight, values.dtype) * values, flat, size)
    return xp.reshape(out.T, (1, -1, *shape))


def resize_field(field: Array, shape: Sequence[int]) -> Array:
    """Resize a displacement field to another shape over the same extent, (N, D, *S) to (N, D, *shape).

    The interpolation is linear and extrapolates at the border, so that it preserves affine fields exactly; the
    components are rescaled from voxels of the old grid to voxels of the new one.
    """
    old = tuple(field.shape[2:])
    if old == tuple(shape):
        return field
    scale = like(np.reshape([m / n for n, m in zip(old, shape, strict=True)], (1, -1, *[1] * len(old))), field)
    return resize(field * scale, shape)


def compose(outer: Array, inner: Array) -> Array:
    """Compose two displacements (N, D, *S) on one grid: ``inner(x) + outer(x + inner(x))``.

    The result is the displacement of ``(id + outer) ∘ (id + inner)``.
    """
    ndim = inner.shape[1]
    return inner + warp(outer, inner, identity_map(ndim), inner.shape[2:])


def pyramid(image: Array, grids: Sequence[Grid]) -> list[Array]:
    """Average an image, (N, C, *S), on several grids over the same extent; the results are in the order of the grids.

    On a grid finer than the image it is interpolated. A level whose cells are unions of a finer level's cells is
    pooled from that level instead of the image, which gives the same result from less data.
    """
    levels: dict[tuple[int, ...], Array] = {tuple(image.shape[2:]): image}
    for grid in sorted(grids, key=lambda g: -g.size):
        if grid.shape not in levels:
            sources = [s for s in levels if all(a % b == 0 for a, b in zip(s, grid.shape, strict=True))]
            source = min(sources, key=lambda s: int(np.prod(s)), default=tuple(image.shape[2:]))
            finer = any(n > m for n, m in zip(grid.shape, source, strict=True))
            levels[grid.shape] = (resize if finer else pool)(levels[source], grid.shape)
    return [levels[grid.shape] for grid in grids]
