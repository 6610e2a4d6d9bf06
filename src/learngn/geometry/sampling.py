"""Interpolation: warping and resizing of images and displacement fields, pyramids."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learngn import kernels
from learngn.geometry.grid import Grid
from learngn.kernels.taps import area_taps, linear_taps


def identity_map(ndim: int) -> NDArray[np.float64]:
    """Return the homogeneous identity matrix, shape (D+1, D+1)."""
    return np.eye(ndim + 1)


def warp(
    image: Tensor,
    field: Tensor | None,
    matrix: NDArray[np.float64],
    shape: Sequence[int],
    *,
    outside: float | None = None,
) -> Tensor:
    """Sample an image linearly: ``out(x) = image(matrix @ (x + field(x)))``.

    Parameters
    ----------
    image : Tensor, shape (N, C, *T)
        Image, floating point.
    field : Tensor, shape (N, D, *S) [voxel of the output grid], optional
        Displacement; None for zero.
    matrix : array, shape (D+1, D+1)
        Maps the output grid's index to the image's (:meth:`learngn.geometry.grid.Grid.index_map`).
    shape : sequence of int
        Output shape `S`.
    outside : float, optional
        Value beyond the image's extent (half a voxel past the outermost centres, as in ITK); None repeats the border.

    Returns
    -------
    Tensor, shape (N, C, *S)
    """
    warped = kernels.best(image, field).warp(image, field, matrix, shape)
    if outside is None:
        return warped
    return torch.where(inside(image.shape[2:], field, matrix, shape, warped), warped, torch.full_like(warped, outside))


def inside(
    image_shape: Sequence[int],
    field: Tensor | None,
    matrix: NDArray[np.float64],
    shape: Sequence[int],
    like: Tensor,
) -> Tensor:
    """Return which output voxels are sampled inside the image's extent; (N, 1, *S), bool."""
    ones = torch.ones((like.shape[0], 1, *image_shape), dtype=torch.uint8, device=like.device)
    return warp_nearest(ones, field, matrix, shape, outside=0) != 0


def warp_nearest(
    image: Tensor, field: Tensor | None, matrix: NDArray[np.float64], shape: Sequence[int], *, outside: float = 0
) -> Tensor:
    """Sample an image like :func:`warp`, with the nearest voxel's value: for label maps, of any dtype."""
    return kernels.best(image, field).warp_nearest(image, field, matrix, shape, outside)


def pool(image: Tensor, shape: Sequence[int]) -> Tensor:
    """Average an image onto a coarser grid over the same extent, (N, C, *S) to (N, C, *shape)."""
    if tuple(image.shape[2:]) == tuple(shape):
        return image
    taps = [area_taps(n, m) for n, m in zip(image.shape[2:], shape, strict=True)]
    return kernels.best(image).resample(image, taps)


def resize(image: Tensor, shape: Sequence[int]) -> Tensor:
    """Interpolate an image linearly onto another shape over the same extent, (N, C, *S) to (N, C, *shape).

    Beyond the outermost voxel centres it is extrapolated.
    """
    if tuple(image.shape[2:]) == tuple(shape):
        return image
    taps = [linear_taps(n, m) for n, m in zip(image.shape[2:], shape, strict=True)]
    return kernels.best(image).resample(image, taps)


def filled(image: Tensor, known: Tensor) -> Tensor:
    """Fill in unknown voxels of an image smoothly; known voxels keep their values.

    Parameters
    ----------
    image : Tensor, shape (N, C, *S)
        Values of unknown voxels do not matter; they may be NaN.
    known : Tensor, shape (N, 1, *S), bool
        Which voxels are known.

    Returns
    -------
    Tensor, shape (N, C, *S)
        Zero for a sample without known voxels.

    References
    ----------
    Gortler et al., "The lumigraph", 1996: pull and push.
    """
    image = torch.where(known, image, torch.zeros_like(image))
    if bool(known.all()) or max(image.shape[2:]) == 1:
        return image
    shape = [max(1, n // 2) for n in image.shape[2:]]
    part = pool(known.to(image.dtype), shape)
    coarse = filled(pool(image, shape) / part.clamp_min(1e-6), part > 0)
    return torch.where(known, image, resize(coarse, image.shape[2:]))


def sample_points(image: Tensor, index: Tensor, *, outside: float | None = None) -> Tensor:
    """Interpolate one image linearly at points.

    Parameters
    ----------
    image : Tensor, shape (1, C, *S)
    index : Tensor, shape (M, D) [voxel]
        Coordinates of the points.
    outside : float, optional
        Value beyond the image's extent; see :func:`warp`.

    Returns
    -------
    Tensor, shape (M, C)
    """
    count, ndim = index.shape
    # The points are given as the displacement of a grid of M x 1 [x 1] voxels, so that `warp` can sample them.
    shape = (count, *[1] * (ndim - 1))
    lattice = index.new_zeros((1, ndim, *shape))
    lattice[0, 0] = torch.arange(count, dtype=index.dtype, device=index.device).reshape(shape)
    query = index.T.reshape(1, ndim, *shape) - lattice
    return warp(image, query, identity_map(ndim), shape, outside=outside).reshape(-1, count).T


def splat_points(values: Tensor, index: Tensor, shape: Sequence[int]) -> Tensor:
    """Spread values at points over the voxels around them: the adjoint of :func:`sample_points`.

    Parameters
    ----------
    values : Tensor, shape (M, C)
    index : Tensor, shape (M, D) [voxel]
        Coordinates of the points; a point outside the grid is moved to its border.
    shape : sequence of int
        Shape of the grid.

    Returns
    -------
    Tensor, shape (1, C, *shape)
    """
    last = torch.as_tensor([n - 1 for n in shape], dtype=index.dtype, device=index.device)
    inner = torch.minimum(index.clamp_min(0), last)
    lower = torch.minimum(inner.floor(), (last - 1).clamp_min(0))
    part = inner - lower
    out = values.new_zeros((math.prod(shape), values.shape[1]))
    for corner in itertools.product((0, 1), repeat=len(shape)):
        offset = torch.as_tensor(corner, dtype=index.dtype, device=index.device)
        weight = torch.where(offset > 0, part, 1 - part).prod(dim=1, keepdim=True)
        at = torch.minimum(lower + offset, last).long()
        flat = torch.zeros(len(index), dtype=torch.long, device=index.device)
        for axis, n in enumerate(shape):
            flat = flat * n + at[:, axis]
        out.index_add_(0, flat, weight.to(values.dtype) * values)
    return out.T.reshape(1, -1, *shape)


def resize_field(field: Tensor, shape: Sequence[int]) -> Tensor:
    """Resize a displacement field to another shape over the same extent, (N, D, *S) to (N, D, *shape).

    The interpolation is linear and extrapolates at the border, so that it preserves affine fields exactly; the
    components are rescaled from voxels of the old grid to voxels of the new one.
    """
    old = tuple(field.shape[2:])
    if old == tuple(shape):
        return field
    scale = torch.tensor([m / n for n, m in zip(old, shape, strict=True)], dtype=field.dtype, device=field.device)
    return resize(field * scale.reshape(1, -1, *[1] * len(old)), shape)


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """Compose two displacements (N, D, *S) on one grid: ``inner(x) + outer(x + inner(x))``.

    The result is the displacement of ``(id + outer) ∘ (id + inner)``.
    """
    ndim = inner.shape[1]
    return inner + warp(outer, inner, identity_map(ndim), inner.shape[2:])


def pyramid(image: Tensor, grids: Sequence[Grid]) -> list[Tensor]:
    """Average an image, (N, C, *S), on several grids over the same extent; the results are in the order of the grids.

    On a grid finer than the image it is interpolated. A level whose cells are unions of a finer level's cells is
    pooled from that level instead of the image, which gives the same result from less data.
    """
    levels: dict[tuple[int, ...], Tensor] = {tuple(image.shape[2:]): image}
    for grid in sorted(grids, key=lambda g: -g.size):
        if grid.shape not in levels:
            sources = [s for s in levels if all(a % b == 0 for a, b in zip(s, grid.shape, strict=True))]
            source = min(sources, key=lambda s: int(np.prod(s)), default=tuple(image.shape[2:]))
            finer = any(n > m for n, m in zip(grid.shape, source, strict=True))
            levels[grid.shape] = (resize if finer else pool)(levels[source], grid.shape)
    return [levels[grid.shape] for grid in grids]
