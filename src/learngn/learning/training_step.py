"""One training step as a module: from a batch of pairs to its losses."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from learngn.features import FeatureImage
from learngn.learning.config import LossConfig
from learngn.learning.data import Batch, Side
from learngn.learning.losses import RegistrationLoss, distance_loss
from learngn.learning.unrolled import unrolled
from learngn.model import Model, VoxelMorphRegistration

# φ begins as distances in -1 to 1, of which an organ's boundary spans a tenth: the head is made steep instead of φ.
_SHARPNESS = 10.0


class TrainingStep(nn.Module):
    """Losses of a batch of pairs: compute φ of both images, unroll Gauss-Newton, compare.

    Parameters
    ----------
    model : Model
    losses : LossConfig
    labels : int
        Number of labels of the auxiliary loss, background included.
    last : int, optional
        Number of Gauss-Newton steps at the end of every level that are differentiated; see
        :func:`learngn.learning.unrolled.unrolled`.
    limit : float, optional
        Largest norm of the gradient that reaches one scan's φ through the Gauss-Newton steps.
    mixed : bool
        Compute the networks in bfloat16; the solver stays in float32.
    """

    def __init__(
        self,
        model: Model,
        losses: LossConfig,
        labels: int,
        *,
        last: int | None = None,
        limit: float | None = None,
        mixed: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.losses, self.last, self.limit, self.mixed = model, losses, last, limit, mixed
        self.loss = RegistrationLoss(losses)
        self.head = None
        if losses.auxiliary and model.config.network is not None:
            conv = nn.Conv2d if model.config.ndim == 2 else nn.Conv3d
            self.head = conv(model.config.network.out_channels, labels, 1)

    def forward(self, batch: Batch, iterations: Sequence[int]) -> dict[str, Tensor]:
        """Return the weighted losses by name; training minimises their sum.

        Parameters
        ----------
        batch : Batch
        iterations : sequence of int
            Number of Gauss-Newton steps of every level; empty for the losses of φ alone.
        """
        world = np.eye(self.model.config.ndim + 1)
        fixed, fixed_losses = self._encode(batch.fixed)
        moving, moving_losses = self._encode(batch.moving)
        total = {name: (fixed_losses[name] + moving_losses[name]) / 2 for name in fixed_losses}
        if not iterations:
            return total
        method, voxel = self.model.method, self.model.config.spacing
        if isinstance(method, VoxelMorphRegistration):
            ends = [method.predicted(fixed, moving, world, voxel=voxel)]
        else:
            ends = unrolled(
                method.gauss_newton, fixed, moving, world, iterations=iterations, last=self.last, voxel=voxel
            )
        weight = 1.0
        for field, grid in reversed(ends):
            for name, value in self.loss(batch, field, grid, world).items():
                total[name] = total.get(name, 0) + weight * value
            weight *= self.losses.earlier
            if weight == 0:
                break
        return total

    def _encode(self, side: Side) -> tuple[FeatureImage, dict[str, Tensor]]:
        """Return φ of one side of the pairs, and the losses of φ alone."""
        data, encoder = side.features.data.contiguous(), self.model.encoder
        with self._autocast(data):
            learned = encoder.learned(data)
        losses: dict[str, Tensor] = {}
        if learned is not None:
            learned = learned.float()
            if self.head is not None and side.labels is not None:
                grid = side.features.grid.resized(learned.shape[2:])
                predicted, truth = FeatureImage(learned, grid), FeatureImage(side.labels, side.label_grid)
                if predicted.grid.size > truth.grid.size:
                    predicted = predicted.on(truth.grid)
                elif predicted.grid.size < truth.grid.size:
                    truth = truth.on(predicted.grid)
                probabilities = (_SHARPNESS * self.head(predicted.data)).softmax(1)
                losses["auxiliary"] = self.losses.auxiliary * self.loss.labels(probabilities, truth.data)
            if self.losses.distances and side.distances is not None:
                losses["distances"] = self.losses.distances * distance_loss(learned, side.distances)
        features = encoder.join(data, learned)
        if self.limit is not None and features.requires_grad:
            features.register_hook(partial(_limited, largest=self.limit))  # type: ignore[no-untyped-call]
        return FeatureImage(features, side.features.grid), losses

    def _autocast(self, data: Tensor) -> AbstractContextManager[object]:
        return torch.autocast(data.device.type, dtype=torch.bfloat16) if self.mixed else nullcontext()


def _limited(gradient: Tensor, largest: float) -> Tensor:
    """Limit the norm of every sample's gradient, (N, C, *S): through many steps it has heavy tails."""
    norm = gradient.flatten(1).norm(dim=1).reshape(-1, *[1] * (gradient.ndim - 1))
    shortened: Tensor = gradient * (largest / norm.clamp_min(largest))
    return shortened
