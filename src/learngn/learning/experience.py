"""Record of a training at its end: ranges of its scans, and fit of the held-out pairs."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from learngn.errors import LearnGNError
from learngn.features import FeatureImage
from learngn.io import Subject
from learngn.learning.config import TrainingConfig
from learngn.learning.data import Example, TrainingData
from learngn.model import Encoder, Model
from learngn.quality import Experience, ScanSummary, steadiness
from learngn.registration import register

_LOG = logging.getLogger(__name__)

_MOST = 60  # scans of a modality that are looked at
_STEADY = 8  # of them on which φ is computed again


def experience_of(
    model: Model,
    data: TrainingData,
    config: TrainingConfig,
    held_out: Sequence[tuple[Subject, Subject]],
    names: Mapping[int, str] | None = None,
) -> Experience:
    """Return what a trained model knows of itself.

    Parameters
    ----------
    model : Model
        In evaluation mode.
    data : TrainingData
        Scans of the training.
    config : TrainingConfig
    held_out : sequence of (Subject, Subject)
        Fixed and moving subjects, which are registered as :func:`learngn.register` does.
    names : dict, optional
        Names of the labels.
    """
    channels = _channels(model, data, config)
    organs = model.config.organs or data.organs
    examples = {id(e): e for e in (*(e for pair in data.validation for e in pair), *data.pairing.members)}.values()
    scans = [
        [
            _summary(model, example, channels, steady=number < _STEADY)
            for number, example in enumerate(_some([e for e in examples if e.modality == modality]))
        ]
        for modality in range(max(1, len(model.config.modalities)))
    ]
    said = [(names or {}).get(value, f"label {value}") for value in organs[: len(channels)]]
    judging = copy.copy(model)  # by the ranges of the scans alone, so that all is measured
    judging.experience = Experience.of(channels, said, scans, []).to_json()
    measured = [_measured(judging, fixed, moving) for fixed, moving in held_out]
    return Experience.of(channels, said, scans, [one for one in measured if one])


def _measured(model: Model, fixed: Subject, moving: Subject) -> Mapping[str, float]:
    """Register a pair; return the measures of its verdict, none if it cannot be registered."""
    device = str(next(model.parameters()).device)
    try:
        verdict = register(fixed.image, moving.image, model=model, device=device, quality=True).verdict
    except LearnGNError as error:
        _LOG.info("%s and %s are left out of what the model knows of itself: %s", fixed.image, moving.image, error)
        return {}
    return {} if verdict is None else verdict.measures


def _channels(model: Model, data: TrainingData, config: TrainingConfig) -> range:
    """Return the channels of φ that are positive inside an organ each: those of the input, or those taught so."""
    parts = model.config.network
    if model.config.organs is not None and (parts is None or parts.keep_input):
        return range(len(model.config.organs))
    if parts is None or not config.losses.distances:
        return range(0)
    first = model.config.channels if parts.keep_input else 0
    return range(first, first + len(data.organs))


def _some(examples: Sequence[Example]) -> Sequence[Example]:
    """Return a few scans, the first ones, which are held out, among them."""
    if len(examples) <= _MOST:
        return examples
    return [examples[index] for index in np.linspace(0, len(examples) - 1, _MOST).round().astype(int)]


def _summary(model: Model, example: Example, channels: range, *, steady: bool) -> ScanSummary:
    device, encoder = next(model.parameters()).device, model.encoder_of(example.modality)
    given = FeatureImage(example.features.data.to(device).contiguous(), example.features.grid)
    labels = model.base_feature.traits.reads_labels
    agreement = steadiness(lambda image: _phi(encoder, image), given, labels=labels) if steady else None
    return ScanSummary.of(example.image, given, _phi(encoder, given), channels, agreement)


def _phi(encoder: Encoder, image: FeatureImage) -> FeatureImage:
    with torch.no_grad():
        return FeatureImage(encoder(image.data.contiguous()), image.grid)
