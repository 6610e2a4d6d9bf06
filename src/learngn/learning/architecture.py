"""Architecture and settings of the model of a training, from its configuration and data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from learngn.features import Feature, parse_features
from learngn.io import Dataset
from learngn.learning.config import TrainingConfig
from learngn.learning.data import Example, TrainingData
from learngn.model import Modality, ModelConfig
from learngn.registration import RegistrationPair, Request, resolve
from learngn.settings import Settings

_LAM_OF_DISTANCES = (1.0, 0.03)  # for learned features, which begin as distances between -1 and 1


def feature_of(config: TrainingConfig, organs: tuple[int, ...]) -> Feature:
    """Return the input features, by organ where there are organs."""
    return parse_features(config.features, organs=organs or None)


def settings_of(config: TrainingConfig, feature: Feature, pair: RegistrationPair) -> Settings:
    """Return the settings of the schedule; their λ is that of the input features before scaling."""
    given = {
        name: value
        for name in ("strides", "iterations", "longest_step", "min_jacobian")
        if (value := getattr(config, name)) is not None
    }
    return resolve(Request(feature, changes={"affine": config.pose, **given}), pair).settings


def architecture_of(
    dataset: Dataset,
    config: TrainingConfig,
    settings: Settings,
    feature: Feature,
    spacing: float,
    data: TrainingData,
    codes: Sequence[str],
) -> ModelConfig:
    """Return the architecture of the model, with the scale of the input of every modality.

    Parameters
    ----------
    dataset : Dataset
    config : TrainingConfig
    settings : Settings
        See :func:`settings_of`.
    feature : Feature
        See :func:`feature_of`.
    spacing : float
        Voxel size of stride 1 [mm].
    data : TrainingData
    codes : sequence of str
        Numbers of the modalities in file names; empty for one.
    """
    examples = data.pairing.members
    scales = [_scale([e for e in examples if e.modality == number]) for number in range(max(1, len(codes)))]
    if config.network is not None and not config.network.keep_input:
        suited = _LAM_OF_DISTANCES
    else:  # λ has the unit of the squared features, which the model scales to unit standard deviation
        suited = settings.lam[0] * scales[0] ** 2, settings.lam[1] * scales[0] ** 2
    return ModelConfig(
        ndim=2 if dataset.ndim == 2 else 3,
        settings=replace(settings, lam=config.lam or suited),
        spacing=spacing,
        channels=examples[0].features.data.shape[1],
        organs=data.organs if feature.traits.by_organ else None,
        scale=scales[0],
        modalities=tuple(
            Modality(code=code, name=dataset.modalities.get(code, code), scale=scale)
            for code, scale in zip(codes, scales, strict=False)
        ),
        network=config.network,
        lineariser=config.lineariser,
        learn_lam=config.learn_lam,
        voxelmorph=config.voxelmorph,
    )


def _scale(examples: Sequence[Example]) -> float:
    """Return one over the standard deviation of the examples' input features."""
    values = torch.cat([example.features.data[0].flatten(1) for example in examples], dim=1)
    return 1 / max(1e-6, float(values.std()))
