"""Random deformation of a scan: its features, labels and landmarks together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from learngn.arrays import channels_last
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.grid_map import GridMap
from learngn.geometry.transform import Affine, DisplacementField, invert
from learngn.learning.config_parts import AugmentationConfig
from learngn.learning.data import Example, Side
from learngn.learning.intensities import varied
from learngn.model.content import background, content_box


def random_map(
    grid: Grid, config: AugmentationConfig, random: np.random.Generator, device: torch.device | None = None
) -> GridMap:
    """Draw a random smooth displacement and a random affine transform about the grid's centre."""
    n = grid.ndim
    linear = np.diag(np.exp(random.normal(0, config.scale, n))) @ _rotation(np.deg2rad(config.rotation), n, random)
    linear = linear @ (np.eye(n) + np.triu(random.normal(0, config.shear, (n, n)), 1))
    world = np.eye(n + 1)
    world[:-1, :-1] = linear
    shift = random.normal(0, config.shift, n) * grid.extent
    world[:-1, -1] = grid.centre - linear @ grid.centre + grid.direction @ shift
    return GridMap(grid, smooth_field(grid, config.smooth, config.control, random, device), world)


def _rotation(deviation: float, ndim: int, random: np.random.Generator) -> FloatArray:
    """Draw a rotation, as the product of one random rotation in each coordinate plane."""
    matrix = np.eye(ndim)
    for a in range(ndim):
        for b in range(a + 1, ndim):
            angle = random.normal(0, deviation)
            plane = np.eye(ndim)
            plane[a, a] = plane[b, b] = np.cos(angle)
            plane[a, b], plane[b, a] = -np.sin(angle), np.sin(angle)
            matrix = matrix @ plane
    return matrix


def smooth_field(
    grid: Grid, deviation: float, control: int, random: np.random.Generator, device: torch.device | None = None
) -> Tensor | None:
    """Draw a smooth displacement, (1, D, *S) [voxel]; None if its standard deviation [fraction of extent] is zero."""
    if deviation == 0:
        return None
    extent = grid.extent
    points = np.maximum(2, np.round(control * extent / extent.max())).astype(int)
    noise = random.normal(0, deviation, (1, grid.ndim, *points)) * extent.reshape(-1, *[1] * grid.ndim)
    voxels = torch.from_numpy((noise / grid.spacing.reshape(-1, *[1] * grid.ndim)).astype(np.float32)).to(device)
    # Linear interpolation in two steps, through a grid of intermediate size: nearly smooth, without a parameter.
    between = [min(2 * int(p), s) for p, s in zip(points, grid.shape, strict=True)]
    smooth: Tensor = sampling.resize(sampling.resize(voxels, between), grid.shape)
    return smooth


def augmented(
    example: Example,
    organs: Sequence[int],
    label_spacing: float,
    config: AugmentationConfig | None,
    random: np.random.Generator,
    *,
    onto: FloatArray | None = None,
    flips: Sequence[int] = (),
    origins: bool = False,
    points: bool = True,
) -> Side:
    """Deform an example at random; without a configuration return it undeformed.

    Parameters
    ----------
    example : Example
    organs : sequence of int
        Labels that get a channel each, after that of the background.
    label_spacing : float
        Voxel size of the labels [mm].
    config : AugmentationConfig, optional
        Strength of the deformation; None for none.
    random : numpy Generator
    onto : array, shape (D,) [RAS mm], optional
        Place to which the centre of the labels is moved, but for the random translation; see :func:`centre_of_labels`.
    flips : sequence of int
        Array axes along which the scan is mirrored.
    origins : bool
        Keep the place of each voxel in the undeformed scan.
    points : bool
        Deform the landmarks, too.
    """
    features, grid = example.features.data, example.features.grid
    device = features.device
    distances = None if example.distances is None else example.distances.data
    label_grid = example.image.coarsened(label_spacing)
    drawn = GridMap(grid, None, np.eye(grid.ndim + 1))
    if config is not None:
        drawn = random_map(grid, config, random, device)
        world = drawn.world @ _mirrored(grid, flips)
        if onto is not None:
            world = world @ _moved(grid, world, onto, centre_of_labels(example, organs))
        drawn = GridMap(grid, drawn.field, world)
        features = sampling.warp(features, drawn.field, grid.index_map(grid, drawn.world), grid.shape)
        if example.distances is not None:
            coarse = example.distances.grid
            field = None if drawn.field is None else sampling.resize_field(drawn.field, coarse.shape)
            distances = sampling.warp(
                example.distances.data, field, coarse.index_map(coarse, drawn.world), coarse.shape
            )
        if config.varies:
            features = _framed(varied(features, grid, config, random), example.features.data)
    labels = None
    if example.labels is not None:
        field = None if drawn.field is None else sampling.resize_field(drawn.field, label_grid.shape)
        warped = GridMap(label_grid, field, drawn.world).warp(example.labels, interpolation="nearest").data
        labels = torch.cat([(warped == value).to(torch.float32) for value in (0, *organs)], dim=1)
        labels[:, :1] = 1 - labels[:, 1:].sum(1, keepdim=True)  # voxels of no organ are background
    landmarks = None
    if points and example.landmarks is not None:
        landmarks = torch.from_numpy(_deformed_points(example.landmarks, drawn).astype(np.float32))[None].to(device)
    return Side(
        FeatureImage(channels_last(features), grid),
        labels,
        label_grid,
        distances,
        landmarks,
        _origins(drawn, device) if origins else None,
        example.modality,
    )


def _framed(features: Tensor, scan: Tensor) -> Tensor:
    """Set features of a deformed scan to its background outside the box of the scan, which lies along its axes.

    A masked or padded scan has a constant border, with neither noise nor tissue.
    """
    inside = (slice(None), slice(None), *content_box(scan))
    framed = background(scan).expand_as(features).clone()
    framed[inside] = features[inside]
    return framed


def centre_of_labels(example: Example, organs: Sequence[int]) -> FloatArray:
    """Return the centre of an example's labels [RAS mm]; that of its grid if it has none of them."""
    if example.labels is None:
        return example.image.centre
    inside = torch.isin(example.labels.data[0, 0], torch.tensor(list(organs), device=example.labels.data.device))
    index = inside.nonzero().double().mean(0).cpu().numpy()
    return example.image.centre if np.isnan(index).any() else example.image.index_to_world(index)


def _mirrored(grid: Grid, axes: Sequence[int]) -> FloatArray:
    """Return the map of the world that mirrors array axes of a grid about its centre."""
    if not axes:
        return np.eye(grid.ndim + 1)
    flip = np.eye(grid.ndim + 1)
    for axis in axes:
        flip[axis, axis], flip[axis, -1] = -1, grid.shape[axis] - 1
    return np.asarray(grid.affine @ flip @ np.linalg.inv(grid.affine))


def _moved(grid: Grid, world: FloatArray, onto: FloatArray, centre: FloatArray) -> FloatArray:
    """Return the translation before a map that shows what lies at `centre` at `onto`, but for the map's own shift."""
    matrix, linear = np.eye(grid.ndim + 1), world[:-1, :-1]
    matrix[:-1, -1] = np.linalg.solve(linear, centre - grid.centre) + grid.centre - onto
    return matrix


def _origins(drawn: GridMap, device: torch.device) -> Tensor:
    """Return the world coordinates to which a map moves each voxel of its grid, (1, D, *S) [RAS mm]."""
    grid = drawn.grid
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in grid.shape), indexing="ij")
    index = torch.stack(axes)[None].to(device)
    if drawn.field is not None:
        index = index + drawn.field
    matrix = torch.as_tensor(drawn.world @ grid.affine, dtype=torch.float32, device=device)
    moved = torch.einsum("ij,nj...->ni...", matrix[:-1, :-1], index)
    return moved + matrix[:-1, -1].reshape(1, -1, *[1] * grid.ndim)


def _deformed_points(points: FloatArray, drawn: GridMap) -> FloatArray:
    """Map points of a scan, (M, D) [RAS mm], to the deformed scan: by the inverse of the map that warps the image."""
    moved = Affine(drawn.world).inverse().map_points(points)
    return (
        moved
        if drawn.field is None
        else invert(DisplacementField(drawn.field.cpu(), drawn.grid)).field.map_points(moved)
    )
