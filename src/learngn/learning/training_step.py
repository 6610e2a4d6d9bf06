"""One training step as a module: from a batch of pairs to its losses."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from learngn.features import FeatureImage
from learngn.geometry.grid import FloatArray
from learngn.learning.augmentation import smooth_field
from learngn.learning.config_parts import LossConfig
from learngn.learning.data import Batch, Side
from learngn.learning.losses import LabelLoss, RegistrationLoss, distance_loss
from learngn.learning.unrolled import unrolled
from learngn.model import Model, TrainableGaussNewton, VoxelMorphRegistration

# φ begins as distances in -1 to 1, of which an organ's boundary spans a tenth: the head is made steep instead of φ.
_SHARPNESS = 10.0
_START_POINTS = 4  # control points of a random start along the longest axis


class TrainingStep(nn.Module):
    """Losses of a batch of pairs: compute φ of both images, unroll Gauss-Newton, compare.

    Parameters
    ----------
    model : Model
    losses : LossConfig
    organs : int
        Number of labels that teach φ.
    last : int, optional
        Number of Gauss-Newton steps at the end of every level that are differentiated; see
        :func:`learngn.learning.unrolled.unrolled`.
    limit : float, optional
        Largest norm of the gradient that reaches one scan's φ through the Gauss-Newton steps.
    mixed : bool
        Compute the networks in bfloat16; the solver stays in float32.
    through : bool
        Differentiate the networks in whole steps, too.
    start : float
        Standard deviation of a random smooth displacement from which whole steps start [fraction of the extent].
    """

    def __init__(
        self,
        model: Model,
        losses: LossConfig,
        organs: int,
        *,
        last: int | None = None,
        limit: float | None = None,
        mixed: bool = False,
        through: bool = True,
        start: float = 0.0,
    ) -> None:
        super().__init__()
        self.model, self.losses, self.last, self.limit, self.mixed = model, losses, last, limit, mixed
        self.organs, self.through, self.start = organs, through, start
        self.loss, self.own_labels = RegistrationLoss(losses), LabelLoss()
        self.head = None
        if losses.auxiliary and not losses.distances and model.config.network is not None:
            conv = nn.Conv2d if model.config.ndim == 2 else nn.Conv3d
            self.head = conv(model.config.learned_channels, 1 + organs, 1)

    def networks(self) -> list[nn.Module]:
        """Return the networks of φ and the head that teaches them."""
        encoders = (self.model.encoder, self.model.moving_encoder)
        networks = [encoder.network for encoder in encoders if encoder is not None]
        return [module for module in (*networks, self.head) if module is not None]

    def forward(
        self, batch: Batch, iterations: Sequence[int], random: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the weighted losses by name; training minimises their sum.

        Parameters
        ----------
        batch : Batch
        iterations : sequence of int
            Number of Gauss-Newton steps of every level; empty for the losses of φ alone.
        random : numpy Generator, optional
            For random starts.
        """
        world = np.eye(self.model.config.ndim + 1)
        fixed, fixed_losses = self._encode(batch.fixed, whole=bool(iterations))
        moving, moving_losses = self._encode(batch.moving, whole=bool(iterations))
        total = {name: (fixed_losses[name] + moving_losses[name]) / 2 for name in fixed_losses}
        if not iterations:
            return total
        method, voxel = self.model.method, self.model.config.spacing
        if isinstance(method, VoxelMorphRegistration):
            ends = [method.predicted(fixed, moving, world, voxel=voxel)]
        else:
            ends = unrolled(
                method.gauss_newton,
                fixed,
                moving,
                world,
                self._initial(method, fixed, world, voxel, random),
                iterations=iterations,
                last=self.last,
                voxel=voxel,
            )
        weight = 1.0
        for field, grid in reversed(ends):
            for name, value in self.loss(batch, field, grid, world).items():
                total[name] = total.get(name, 0) + weight * value
            weight *= self.losses.earlier
            if weight == 0:
                break
        return total

    def _logits(self, learned: Tensor) -> Tensor:
        """Return logits of background and organs: of a linear head, or the distances of the organs themselves.

        A distance of zero is then the boundary, whatever the other organs are.
        """
        if self.head is not None:
            logits: Tensor = self.head(learned)
            return logits
        return torch.cat([torch.zeros_like(learned[:, :1]), learned[:, : self.organs]], dim=1)

    def _initial(
        self,
        method: TrainableGaussNewton,
        fixed: FeatureImage,
        world: FloatArray,
        voxel: float,
        random: np.random.Generator | None,
    ) -> Tensor | None:
        """Return a random smooth start, the same for all pairs of the batch; None without."""
        if not self.start or random is None:
            return None
        grid = fixed.grid
        field = smooth_field(grid, self.start, _START_POINTS, random, fixed.data.device)
        return None if field is None else field.expand(len(fixed.data), *field.shape[1:])

    def _encode(self, side: Side, *, whole: bool) -> tuple[FeatureImage, dict[str, Tensor]]:
        """Return φ of one side of the pairs, and the losses of φ alone."""
        data, encoder = side.features.data.contiguous(), self.model.encoder_of(side.modality)
        taught = self.through or not whole
        with self._autocast(data), torch.set_grad_enabled(taught and torch.is_grad_enabled()):
            learned = encoder.learned(data)
        losses: dict[str, Tensor] = {}
        if learned is not None:
            learned = learned.float()
            if self.losses.auxiliary and side.labels is not None and taught:
                grid = side.features.grid.resized(learned.shape[2:])
                organs = side.labels[:, : 1 + self.organs].clone()
                organs[:, :1] += side.labels[:, 1 + self.organs :].sum(1, keepdim=True)
                predicted, truth = FeatureImage(learned, grid), FeatureImage(organs, side.label_grid)
                if predicted.grid.size > truth.grid.size:
                    predicted = predicted.on(truth.grid)
                elif predicted.grid.size < truth.grid.size:
                    truth = truth.on(predicted.grid)
                probabilities = (_SHARPNESS * self._logits(predicted.data)).softmax(1)
                losses["auxiliary"] = self.losses.auxiliary * self.own_labels(probabilities, truth.data)
            if self.losses.distances and side.distances is not None and taught:
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
