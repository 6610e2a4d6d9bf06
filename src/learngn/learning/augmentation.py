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
from learngn.learning.config import AugmentationConfig
from learngn.learning.data import Example, Side


def random_map(grid: Grid, config: AugmentationConfig, random: np.random.Generator) -> GridMap:
    """Draw a random smooth displacement and a random affine transform about the grid's centre."""
    n = grid.ndim
    linear = np.diag(np.exp(random.normal(0, config.scale, n))) @ _rotation(np.deg2rad(config.rotation), n, random)
    linear = linear @ (np.eye(n) + np.triu(random.normal(0, config.shear, (n, n)), 1))
    world = np.eye(n + 1)
    world[:-1, :-1] = linear
    shift = random.normal(0, config.shift, n) * grid.extent
    world[:-1, -1] = grid.centre - linear @ grid.centre + grid.direction @ shift
    return GridMap(grid, _smooth_field(grid, config, random), world)


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


def _smooth_field(grid: Grid, config: AugmentationConfig, random: np.random.Generator) -> Tensor | None:
    if config.smooth == 0:
        return None
    extent = grid.extent
    points = np.maximum(2, np.round(config.control * extent / extent.max())).astype(int)
    noise = random.normal(0, config.smooth, (1, grid.ndim, *points)) * extent.reshape(-1, *[1] * grid.ndim)
    voxels = torch.from_numpy((noise / grid.spacing.reshape(-1, *[1] * grid.ndim)).astype(np.float32))
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
    """
    features, grid = example.features.data, example.features.grid
    distances = None if example.distances is None else example.distances.data
    label_grid = example.image.coarsened(label_spacing)
    drawn = GridMap(grid, None, np.eye(grid.ndim + 1)) if config is None else random_map(grid, config, random)
    if config is not None:
        matrix = grid.index_map(grid, drawn.world)
        features = sampling.warp(features, drawn.field, matrix, grid.shape)
        if example.distances is not None:
            coarse = example.distances.grid
            field = None if drawn.field is None else sampling.resize_field(drawn.field, coarse.shape)
            distances = sampling.warp(
                example.distances.data, field, coarse.index_map(coarse, drawn.world), coarse.shape
            )
        if config.contrast:
            features = _contrast(features, config.contrast, random)
    labels = None
    if example.labels is not None:
        field = None if drawn.field is None else sampling.resize_field(drawn.field, label_grid.shape)
        warped = GridMap(label_grid, field, drawn.world).warp(example.labels, interpolation="nearest").data
        labels = torch.cat([(warped == value).to(torch.float32) for value in (0, *organs)], dim=1)
        labels[:, :1] = 1 - labels[:, 1:].sum(1, keepdim=True)  # voxels of no organ are background
    landmarks = None
    if example.landmarks is not None:
        landmarks = torch.from_numpy(_deformed_points(example.landmarks, drawn).astype(np.float32))[None]
    return Side(FeatureImage(channels_last(features), grid), labels, label_grid, distances, landmarks)


def _deformed_points(points: FloatArray, drawn: GridMap) -> FloatArray:
    """Map points of a scan, (M, D) [RAS mm], to the deformed scan: by the inverse of the map that warps the image."""
    moved = Affine(drawn.world).inverse().map_points(points)
    return moved if drawn.field is None else invert(DisplacementField(drawn.field, drawn.grid)).field.map_points(moved)


def _contrast(features: Tensor, deviation: float, random: np.random.Generator) -> Tensor:
    """Apply a random gamma correction between the lowest and the highest value of the features."""
    low, high = features.amin(), features.amax()
    gamma = float(np.exp(random.normal(0, deviation)))
    return low + (high - low) * ((features - low) / (high - low).clamp_min(1e-6)).pow(gamma)
