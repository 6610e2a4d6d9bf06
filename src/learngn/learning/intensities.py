"""Random changes of a scan's intensities: contrast, bias field, noise, blur, slice thickness."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from learngn.features.filters import gaussian
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.learning.config_parts import AugmentationConfig

_BIAS_POINTS = 4  # along each axis
_THICK = 0.25  # fraction of the scans with thick slices


def varied(features: Tensor, grid: Grid, config: AugmentationConfig, random: np.random.Generator) -> Tensor:
    """Change features of scans at random, as another scanner or protocol would.

    Parameters
    ----------
    features : Tensor, shape (1, C, *S)
    grid : Grid
    config : AugmentationConfig
        Strengths; one of zero leaves its part out.
    random : numpy Generator
    """
    low, high = features.amin(), features.amax()
    size = (high - low).clamp_min(1e-6)
    if config.contrast:
        gamma = float(np.exp(random.normal(0, config.contrast)))
        features = low + size * ((features - low) / size).pow(gamma)
    if config.bias:
        points = random.normal(0, config.bias, (1, 1, *[_BIAS_POINTS] * grid.ndim)).astype(np.float32)
        factor = sampling.resize(torch.from_numpy(points).to(features.device), grid.shape).exp()
        features = low + (features - low) * factor
    if config.blur:
        features = gaussian(features, grid, random.uniform(0, config.blur) * float(grid.spacing.min()))
    if config.thick > 1 and random.random() < _THICK:
        features = _thick(features, grid, random.uniform(1, config.thick), int(random.integers(grid.ndim)))
    if config.noise:
        generator = torch.Generator(features.device).manual_seed(int(random.integers(2**62)))
        noise = torch.randn(features.shape, generator=generator, device=features.device)
        features = features + size * random.uniform(0, config.noise) * noise
    return features


def _thick(features: Tensor, grid: Grid, factor: float, axis: int) -> Tensor:
    """Average along an axis to thicker slices, and interpolate back."""
    coarse = [max(2, round(n / factor)) if a == axis else n for a, n in enumerate(grid.shape)]
    thick: Tensor = sampling.resize(sampling.pool(features, coarse), grid.shape)
    return thick
