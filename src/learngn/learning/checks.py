"""Checks that a data set and a configuration suit each other, before a training begins."""

from __future__ import annotations

from collections.abc import Sequence

from learngn.errors import TrainingError
from learngn.io import Subject
from learngn.learning.config import TrainingConfig
from learngn.learning.data import TrainingData
from learngn.learning.pairing import Listed
from learngn.learning.selection import Selection
from learngn.settings import Settings

_PAIR = 2
_CHANNELS = 12  # of φ where no label teaches it


def check_files(selection: Selection, config: TrainingConfig) -> None:
    """Raise :class:`TrainingError` unless the subjects have every file that a loss needs."""
    losses, subjects = config.losses, selection.subjects
    if not any((losses.labels, losses.mse, losses.features, losses.landmarks, losses.known_maps)):
        raise TrainingError("losses", "none that looks at the alignment", "one at least", "set losses.labels to 1")
    if losses.labels or losses.mse or config.teaches_features:
        _check_there(
            "labels",
            "a label map",
            [subject for subject in subjects if subject.labels is None],
            "add them to labelsTr, or set losses.labels, .mse, .auxiliary and .distances to 0 and losses.features to 1",
        )
    if losses.landmarks and not selection.by_pair:  # of listed pairs, those without landmarks are left out
        missing = [subject for subject in subjects if subject.landmarks is None]
        _check_there("landmarks", "a file", missing, "add them to landmarksTr, or set losses.landmarks to 0")


def _check_there(what: str, wanted: str, missing: Sequence[Subject], remedy: str) -> None:
    if missing:
        names = ", ".join(subject.image.name for subject in missing[:3])
        raise TrainingError(
            f"{what} of {names}{' ...' if len(missing) > 3 else ''}",
            "no file",
            f"{wanted} for every training subject, as the losses need it",
            remedy,
        )


def with_channels(config: TrainingConfig, organs: Sequence[int]) -> TrainingConfig:
    """Return the configuration with a number of learned channels: that given, or one for each label that teaches φ.

    Raises
    ------
    TrainingError
        If the loss on distances has no channel for an organ.
    """
    network = config.network
    if network is None:
        return config
    channels = network.out_channels or len(organs) or _CHANNELS
    if config.losses.distances and channels < len(organs):
        raise TrainingError(
            "network.out_channels",
            str(channels),
            f"{len(organs)} at least, one an organ",
            "raise it, or set losses.distances to 0",
        )
    return config.model_copy(update={"network": network.model_copy(update={"out_channels": channels})})


def check_levels(config: TrainingConfig, settings: Settings) -> None:
    """Raise :class:`TrainingError` unless at least one level takes steps."""
    if max(settings.strides) < config.finest:
        raise TrainingError(
            "finest", f"{config.finest:g}", f"at most {max(settings.strides):g}, the coarsest stride", "lower it"
        )


def check_landmarks(data: TrainingData, config: TrainingConfig) -> None:
    """Raise :class:`TrainingError` unless scans that may form a pair have the same number of landmarks."""
    if not config.losses.landmarks:
        return
    pairing = data.whole
    pairs = pairing.pairs if isinstance(pairing, Listed) else [tuple(pairing.members)]
    for members in (*pairs, *data.validation):
        counts = sorted({len(example.landmarks) for example in members if example.landmarks is not None})
        if len(counts) > 1:
            raise TrainingError(
                f"landmarks of {members[0].name} and {members[1].name}" if len(members) == _PAIR else "landmarks",
                f"{counts[0]} to {counts[-1]} points",
                "the same points in scans that are registered",
                "correct the files, or set losses.landmarks to 0",
            )
