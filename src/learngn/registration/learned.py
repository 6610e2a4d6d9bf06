"""Measures of a pair by a model: fit of its features, and comparison of the scans with those of its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from learngn.features import Feature, FeatureImage, NetworkFeature
from learngn.geometry.grid import FloatArray
from learngn.geometry.transform import Affine, Transform
from learngn.quality import (
    Experience,
    FeaturePair,
    LearnedMeasures,
    Reason,
    ScanSummary,
    fits_worse,
    learned_measures,
    steadiness,
)
from learngn.registration.pair import RegistrationPair, Side

if TYPE_CHECKING:
    from learngn.model import Model

_LINEAR = "the linear map is left out, since the learned features agree less with it ({1:.2f}) than without ({0:.2f})"
_FIELD = "the displacement is left out, since the learned features agree less with it ({1:.2f}) than without ({0:.2f})"


@dataclass(frozen=True)
class Learned:
    """A model's knowledge of a pair of scans and of itself.

    Attributes
    ----------
    modalities : (int, int)
        Modality of the fixed and of the moving scan, in the order of the training.
    experience : Experience or None
        What the model knows of its training; None for a model of a version that did not record it.
    """

    modalities: tuple[int, int]
    experience: Experience | None

    @classmethod
    def of(cls, model: Model, names: tuple[str, str]) -> Learned:
        """Read the record of a model, for scans with these file names.

        Raises
        ------
        ModelError
            If the record is broken, or the names do not tell the modalities of a model for two.
        """
        experience = None if model.experience is None else Experience.read(model.experience)
        return cls(model.modalities_in(names), experience)

    @property
    def comparable(self) -> bool:
        """Whether the intensities of both scans can be compared, too."""
        return self.modalities[0] == self.modalities[1]

    @property
    def judges(self) -> bool:
        """Whether there is any evidence to judge by."""
        return self.comparable or self.experience is not None

    def pair(self, features: tuple[FeatureImage, FeatureImage]) -> FeaturePair:
        """Return the features of a pair to compare."""
        return FeaturePair.of(*features, range(0) if self.experience is None else self.experience.channels)


@dataclass(frozen=True, eq=False)
class Seen:
    """Measures of a pair by a model.

    Attributes
    ----------
    learned : Learned
    pair : FeaturePair
        Features of both scans.
    before, linear : dict
        Their fit in the headers' position, and after the linear map.
    scans : (ScanSummary, ScanSummary), optional
        Numbers of both scans, if there are others to compare them with.
    """

    learned: Learned
    pair: FeaturePair
    before: Mapping[str, float]
    linear: Mapping[str, float]
    scans: tuple[ScanSummary, ScanSummary] | None

    @classmethod
    def of(
        cls,
        learned: Learned,
        feature: Feature,
        scans: RegistrationPair,
        spacing: float,
        features: tuple[FeatureImage, FeatureImage],
        matrix: FloatArray,
    ) -> Seen:
        """Compare the features of a pair.

        Parameters
        ----------
        learned : Learned
        feature : Feature
            φ.
        scans : RegistrationPair
        spacing : float
            Voxel size of the features [mm].
        features : (FeatureImage, FeatureImage)
            φ of both scans.
        matrix : array, shape (D+1, D+1)
            The linear map.
        """
        pair = learned.pair(features)
        before, linear = (pair.fit(Affine(one)) for one in (np.eye(len(matrix)), matrix))
        summaries = None
        if learned.experience is not None and isinstance(feature, NetworkFeature):
            channels = learned.experience.channels
            fixed, moving = (
                _summary(feature, side, spacing, phi, channels, moving=moved)
                for side, phi, moved in zip((scans.fixed, scans.moving), features, (False, True), strict=True)
            )
            summaries = fixed, moving
        return cls(learned, pair, before, linear, summaries)

    def fit(self, transform: Transform) -> Mapping[str, float]:
        """Return the fit of φ after a transform."""
        return self.pair.fit(transform)

    def left_out(self, after: Mapping[str, float], unmoved: Mapping[str, float]) -> Reason | None:
        """Return why a displacement with this fit is to be left out, against the fit without it; None to keep it."""
        return _worse(unmoved, after, _FIELD, "after")

    def measures(self, after: Mapping[str, float]) -> LearnedMeasures:
        """Return the evidence for the verdict on a result with this fit."""
        fits = {"before": self.before, "linear": self.linear, "after": after}
        learned, ndim = self.learned, self.pair.fixed.grid.ndim
        return learned_measures(fits, self.scans, learned.experience, learned.modalities, ndim)


def linear_left_out(pair: FeaturePair, matrix: FloatArray) -> Reason | None:
    """Return why a linear map is to be left out, the features being those in the headers' position; None to keep it."""
    if np.array_equal(matrix, np.eye(len(matrix))):
        return None
    return _worse(pair.fit(Affine(np.eye(len(matrix)))), pair.fit(Affine(matrix)), _LINEAR, "linear")


def _worse(one: Mapping[str, float], other: Mapping[str, float], text: str, stage: str) -> Reason | None:
    if not fits_worse(other, one):
        return None
    return Reason(f"features_{stage}", text.format(one["features"], other["features"]))


def _summary(
    feature: NetworkFeature, side: Side, spacing: float, phi: FeatureImage, channels: range, *, moving: bool
) -> ScanSummary:
    given = feature.input(side.scan, spacing)
    steady = steadiness(partial(feature.applied, moving=moving), given, labels=feature.traits.reads_labels)
    return ScanSummary.of(side.grid, given, phi, channels, steady)
