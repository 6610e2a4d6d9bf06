"""Losses of a registration and of its features; from MONAI where it has them."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from monai.losses.dice import DiceLoss
from torch import Tensor

from learngn.features import FeatureImage
from learngn.features.filters import gaussian
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.learning.config_parts import LossConfig
from learngn.learning.data import Batch
from learngn.regularise import Diffusion, apply_regulariser

_TINY = 1e-5
_THERE = 0.05  # value of a label that is there
_ROUNDING = 1e-5  # of an interpolated distance: on a GPU, and where it is differentiated, the weights do not sum to one


class LabelLoss:
    """Soft Dice + cross-entropy of label probabilities against one-hot labels, both (N, L, *S), background first.

    Only labels that the truth of a sample contains count: nothing can be learned from an organ outside the field of
    view.

    Parameters
    ----------
    entropy : float
        Weight of the cross-entropy beside soft Dice.
    """

    def __init__(self, entropy: float = 1.0) -> None:
        self.entropy = entropy
        self._dice = DiceLoss(reduction="none", smooth_nr=_TINY, smooth_dr=_TINY)

    def __call__(self, probabilities: Tensor, truth: Tensor) -> Tensor:
        """Return the mean Dice loss of the labels present, plus the weighted mean cross-entropy of the voxels.

        Both are means over the samples, so that processes that share a batch compute what one would.
        """
        dice = self._dice(probabilities, truth).flatten(1)[:, 1:]
        # Blurred labels have small values even where they are cut away.
        present = (truth[:, 1:].flatten(2).amax(2) > _THERE).to(dice.dtype)
        entropy = -(truth * probabilities.clamp_min(_TINY).log()).sum(1).mean()
        total: Tensor = ((dice * present).sum(1) / present.sum(1).clamp_min(1)).mean() + self.entropy * entropy
        return total


def weighted_squares(probabilities: Tensor, truth: Tensor) -> Tensor:
    """Return the squared difference of label probabilities, each label weighted by the inverse root of its volume.

    References
    ----------
    M. P. Heinrich, MIDL 2022: the loss of the published code.
    """
    volume = truth.transpose(0, 1).flatten(1).sum(1)
    weight = torch.where(volume > 0, volume.clamp_min(1).rsqrt(), torch.zeros_like(volume))
    weight = weight / weight.mean().clamp_min(_TINY)
    return ((probabilities - truth).square() * weight.reshape(1, -1, *[1] * (truth.ndim - 2))).mean()


def distance_loss(learned: Tensor, distances: Tensor) -> Tensor:
    """Return the mean squared difference of the first learned channels to the organs' distances, both (N, C, *S).

    The neighbourhood of an organ counts as much as all other voxels, whose distance is at its limit: otherwise a
    network could ignore a small organ at almost no loss. Channels of NaN (organs that a scan lacks) do not count.
    """
    with torch.no_grad():
        near = distances > -1 + _ROUNDING
        count = near.flatten(2).sum(2).reshape(*distances.shape[:2], *[1] * (distances.ndim - 2))
        size = distances[0, 0].numel()
        weight = torch.where(near, 1 / count.clamp_min(1), 1 / (size - count).clamp_min(1))
        unknown = torch.isnan(distances)
        weight, target = weight.masked_fill(unknown, 0), distances.masked_fill(unknown, 0)
    squares = (learned[:, : target.shape[1]] - target).square()
    return (squares * weight).sum() / (target.shape[0] * target.shape[1])


class RegistrationLoss:
    """Losses of a displacement, with the weights of a :class:`LossConfig`.

    Parameters
    ----------
    config : LossConfig
    """

    def __init__(self, config: LossConfig) -> None:
        self.config = config
        self.labels = LabelLoss(config.entropy)

    def __call__(self, batch: Batch, field: Tensor, grid: Grid, world: FloatArray) -> dict[str, Tensor]:
        """Return the weighted losses by name; only those whose weight is not zero.

        Parameters
        ----------
        batch : Batch
        field : Tensor, shape (N, D, *S) [voxel of grid]
        grid : Grid
        world : array, shape (D+1, D+1)
            Affine applied after the displacement [RAS mm to RAS mm].
        """
        c, losses = self.config, {}
        if (c.labels or c.mse) and batch.fixed.labels is not None and batch.moving.labels is not None:
            target = batch.fixed.label_grid
            warped = sampling.warp(
                batch.moving.labels,
                sampling.resize_field(field, target.shape),
                target.index_map(batch.moving.label_grid, world),
                target.shape,
            )
            if c.labels:
                fixed = batch.fixed.labels
                if c.blur:
                    sigma = c.blur * float(target.spacing.min())
                    warped, fixed = (gaussian(labels, target, sigma) for labels in (warped, fixed))
                losses["labels"] = c.labels * self.labels(warped, fixed)
            if c.mse:
                losses["mse"] = c.mse * weighted_squares(warped, batch.fixed.labels)
        if c.smoothness:
            elastic = apply_regulariser(Diffusion(), field, grid)
            losses["smoothness"] = c.smoothness * (field * elastic).mean() / grid.ndim
        if c.features:
            losses["features"] = c.features * _feature_difference(batch, field, grid, world)
        if c.landmarks and batch.fixed.landmarks is not None and batch.moving.landmarks is not None:
            losses["landmarks"] = c.landmarks * _landmark_error(batch, field, grid, world)
        if c.known_maps and batch.fixed.origins is not None and batch.moving.origins is not None:
            losses["known_maps"] = c.known_maps * _map_error(batch, field, grid, world)
        return losses


def _feature_difference(batch: Batch, field: Tensor, grid: Grid, world: FloatArray) -> Tensor:
    """Return the mean squared difference of the input features on the displacement's grid."""
    fixed, moving = batch.fixed.features.on(grid), batch.moving.features
    warped = sampling.warp(moving.data, field, grid.index_map(moving.grid, world), grid.shape)
    difference: Tensor = (warped - fixed.data).square().mean()
    return difference


def _map_error(batch: Batch, field: Tensor, grid: Grid, world: FloatArray) -> Tensor:
    """Return the mean distance of moved points to the right ones [mm], where the fixed scan was deformed from inside.

    Both scans are one scan deformed twice: a point of the fixed and the point to which it is moved came from the same
    place.
    """
    fixed, moving = batch.fixed, batch.moving
    if fixed.origins is None or moving.origins is None:
        return field.new_zeros(())
    came = FeatureImage(fixed.origins, fixed.features.grid).on(grid).data
    went = sampling.warp(moving.origins, field, grid.index_map(moving.features.grid, world), grid.shape)
    distance = (went - came).square().sum(1).add(_TINY).sqrt()
    low, high = (torch.as_tensor(bound, dtype=came.dtype, device=came.device) for bound in _bounds(fixed.features.grid))
    shape = (1, -1, *[1] * grid.ndim)
    inside = ((came > low.reshape(shape)) & (came < high.reshape(shape))).all(1)
    total: Tensor = ((distance * inside).flatten(1).sum(1) / inside.flatten(1).sum(1).clamp_min(1)).mean()
    return total


def _bounds(grid: Grid) -> tuple[FloatArray, FloatArray]:
    corners = grid.index_to_world(list(product(*[(0, n - 1) for n in grid.shape])))
    return corners.min(0), corners.max(0)


def _landmark_error(batch: Batch, field: Tensor, grid: Grid, world: FloatArray) -> Tensor:
    """Return the mean distance of warped landmarks to the corresponding ones [mm]."""
    fixed, moving = batch.fixed.landmarks, batch.moving.landmarks
    if fixed is None or moving is None:
        return field.new_zeros(())
    return torch.stack(
        [_distance(f, m, u[None], grid, world) for f, m, u in zip(fixed, moving, field, strict=True)]
    ).mean()


def _distance(fixed: Tensor, moving: Tensor, field: Tensor, grid: Grid, world: FloatArray) -> Tensor:
    """Return the mean distance of one sample's landmarks, (M, D) [RAS mm]."""
    to_index, to_world = (
        torch.as_tensor(matrix, dtype=field.dtype, device=field.device)
        for matrix in (np.linalg.inv(grid.affine), world @ grid.affine)
    )
    index = fixed.to(field) @ to_index[:-1, :-1].T + to_index[:-1, -1]
    index = index + sampling.sample_points(field, index)
    moved = index @ to_world[:-1, :-1].T + to_world[:-1, -1]
    distance: Tensor = (moved - moving.to(field)).square().sum(1).clamp_min(_TINY).sqrt().mean()
    return distance
