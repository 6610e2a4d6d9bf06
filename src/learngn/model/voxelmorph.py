"""VoxelMorph as a baseline: a network that predicts the whole displacement in one step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learngn.arrays import Array, as_numpy, is_tensor
from learngn.errors import ModelError, require_packages
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.optimise import Iteration, LandmarkPairs, Optimised, StopReason, refuse_landmarks
from learngn.settings import Level


class VoxelMorphRegistration(nn.Module):
    """MONAI's VoxelMorph with the interface of :class:`learngn.optimise.GaussNewton`.

    The network takes the features of both images on the finest level's grid, predicts a stationary velocity field, and
    integrates it by scaling and squaring.

    Parameters
    ----------
    levels : sequence of Level
        The network works at the stride of the finest level; iterations are not used.
    channels : int
        Number of channels of the features.
    ndim : int
    width : int
        Number of channels of the first stage; the others have twice as many.
    stages : int
        Number of times that the resolution is halved.

    Raises
    ------
    ModelError
        If MONAI is not installed.

    References
    ----------
    Balakrishnan, Zhao, Sabuncu, Guttag and Dalca, "VoxelMorph: a learning framework for deformable medical image
    registration", IEEE TMI 2019.
    """

    def __init__(self, levels: Sequence[Level], channels: int, ndim: int, *, width: int = 16, stages: int = 4) -> None:
        super().__init__()
        require_packages("VoxelMorph", "train", "monai", error=ModelError)
        from monai.networks.nets.voxelmorph import VoxelMorph, VoxelMorphUNet

        self.levels, self.factor = tuple(levels), 2**stages
        wide = 2 * width
        stage_channels = (width, wide, *[wide] * (2 * (stages - 1)))  # down and up, stage by stage
        backbone = VoxelMorphUNet(ndim, 2 * channels, wide, stage_channels, (width, width))
        with warnings.catch_warnings():  # MONAI warns that it samples with torch's own function: nothing to act upon
            warnings.filterwarnings("ignore", message=".*native grid_sample")
            self.network: nn.Module = VoxelMorph(backbone, integration_steps=7, spatial_dims=ndim)
        last = [module for module in backbone.modules() if isinstance(module, nn.Conv2d | nn.Conv3d)][-1]
        with torch.no_grad():  # starts near the identity, as the original does
            last.weight.mul_(1e-2)
            if last.bias is not None:
                last.bias.zero_()

    def predicted(
        self,
        fixed: FeatureImage,
        moving: FeatureImage,
        world: FloatArray,
        initial: Tensor | None = None,
        *,
        voxel: float | None = None,
    ) -> tuple[Tensor, Grid]:
        """Predict the displacement, (N, D, *S) [voxel], and return it with its grid; features are tensors."""
        unit = float(fixed.grid.spacing.min()) if voxel is None else voxel
        grid = fixed.grid.coarsened(self.levels[-1].stride * unit)
        target = fixed.on(grid).data.contiguous()
        start = None if initial is None else sampling.resize_field(initial, grid.shape)
        source = sampling.warp(moving.data, start, grid.index_map(moving.grid, world), grid.shape).contiguous()
        missing = [-n % self.factor for n in grid.shape]
        pad = list(chain.from_iterable((0, m) for m in reversed(missing)))
        _, field = self.network(F.pad(source, pad), F.pad(target, pad))
        field = field[(..., *[slice(n) for n in grid.shape])]
        return (field if start is None else sampling.compose(start, field)), grid

    def forward(
        self,
        fixed: FeatureImage,
        moving: FeatureImage,
        world: FloatArray,
        initial: Array | None = None,
        *,
        detailed: bool = False,
        landmarks: LandmarkPairs | None = None,
        voxel: float | None = None,
        callback: Callable[[Iteration], None] | None = None,
    ) -> Optimised:
        """Register features, arrays of either library; see :class:`learngn.optimise.GaussNewton`.

        The history is empty, and the detail of a start finer than the prediction's grid is not kept.
        """
        refuse_landmarks(landmarks, "VoxelMorph")
        device = next(self.parameters()).device
        first, second = (
            image if is_tensor(image.data) else replace(image, data=torch.as_tensor(image.data, device=device))
            for image in (fixed, moving)
        )
        start = None if initial is None else torch.as_tensor(initial, device=first.data.device)
        field, grid = self.predicted(first, second, world, start, voxel=voxel)
        return Optimised(field if is_tensor(fixed.data) else as_numpy(field), grid, (), StopReason.ITERATIONS)
