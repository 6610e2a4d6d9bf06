"""Scores of one pair, and descriptions of the metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from learngn.evaluation.overlap import mean_over_labels

_NAN = float("nan")
_BY_LABEL = ("dice", "dice_before", "hd95", "hd95_mm")
_BY_LANDMARK = ("tre_landmarks", "tre_landmarks_before")


@dataclass(frozen=True)
class Metric:
    """Description of a metric.

    Attributes
    ----------
    key : str
        Attribute of :class:`PairScores`, and name of the metric in files.
    title : str
    unit : str
        Unit; empty for a pure number.
    higher_is_better : bool
    case_quantile : float or None
        Quantile over pairs that Learn2Reg reports as "30"; None if the challenge does not have the metric.
    decimals : int
        Number of decimals in tables.
    """

    key: str
    title: str
    unit: str
    higher_is_better: bool
    case_quantile: float | None
    decimals: int


METRICS = (
    Metric("dice_mean_before", "Dice before", "", True, None, 4),
    Metric("dice_mean", "Dice", "", True, 0.3, 4),
    Metric("hd95_mean", "HD95", "voxel", False, 0.3, 3),
    Metric("tre_before", "TRE before", "mm", False, None, 3),
    Metric("tre", "TRE", "mm", False, 0.7, 3),
    Metric("sdlogj", "SDlogJ", "", False, 0.7, 4),
    Metric("folds_percent", "Folds", "%", False, None, 4),
    Metric("std_log_jacobian", "Std log J", "", False, None, 4),
)


@dataclass(frozen=True)
class PairScores:
    """Scores of the registration of one pair; NaN for scores that are not known.

    Attributes
    ----------
    fixed, moving : str
        Names of the scans.
    dice, dice_before, hd95, hd95_mm : dict
        Scores by label; NaN for a label that one of the scans lacks. HD95 in voxels, as in the challenge, and in mm.
        `dice_before` compares the scans by their world coordinates, before registration.
    tre, tre_before : float
        Mean over the landmarks [mm].
    tre_landmarks, tre_landmarks_before : tuple of float
        Error of every landmark [mm].
    sdlogj : float
        Learn2Reg's smoothness, see :func:`learngn.evaluation.deformation.sdlogj`.
    folds_percent : float
        Voxels with folding (det J ≤ 0) [%].
    folds_body_percent : float
        The same inside the body of the fixed scan, of the voxels of the body [%].
    std_log_jacobian : float
        Standard deviation of the log determinant over the other voxels.
    error : str, optional
        Message, if the pair could not be scored.
    verdict : str, optional
        Whether the registration can be trusted, ``"ok"``, ``"check"`` or ``"failed"``, if it was judged; see
        :class:`learngn.quality.Verdict`.
    reasons : tuple of str
        Reasons for the verdict, a sentence each.
    pair : str
        Name of the pair, :attr:`learngn.io.Pair.id`; empty if it is not known.
    """

    fixed: str
    moving: str
    dice: Mapping[int, float] = field(default_factory=dict)
    dice_before: Mapping[int, float] = field(default_factory=dict)
    hd95: Mapping[int, float] = field(default_factory=dict)
    hd95_mm: Mapping[int, float] = field(default_factory=dict)
    tre: float = _NAN
    tre_before: float = _NAN
    tre_landmarks: tuple[float, ...] = ()
    tre_landmarks_before: tuple[float, ...] = ()
    sdlogj: float = _NAN
    folds_percent: float = _NAN
    folds_body_percent: float = _NAN
    std_log_jacobian: float = _NAN
    error: str | None = None
    verdict: str | None = None
    reasons: tuple[str, ...] = ()
    pair: str = ""

    @property
    def title(self) -> str:
        """Name of the pair in words: that given to it, or else the names of its scans."""
        # A name of Learn2Reg consists of numbers, and says less than those of the scans.
        return self.pair if self.pair.strip("0123456789_") else f"{self.moving} onto {self.fixed}"

    @property
    def dice_mean(self) -> float:
        """Mean Dice over the labels in both scans."""
        return mean_over_labels(self.dice)

    @property
    def dice_mean_before(self) -> float:
        """Mean Dice before registration."""
        return mean_over_labels(self.dice_before)

    @property
    def hd95_mean(self) -> float:
        """Mean over labels of the 95th percentile of the surface distance [voxel]."""
        return mean_over_labels(self.hd95)

    @property
    def hd95_mm_mean(self) -> float:
        """Mean over labels of the 95th percentile of the surface distance [mm]."""
        return mean_over_labels(self.hd95_mm)

    @property
    def verdict_in_words(self) -> str:
        """The verdict with its reasons, in a line; empty if the registration was not judged."""
        return ": ".join(part for part in (self.verdict or "", "; ".join(self.reasons)) if part)

    def to_json(self) -> dict[str, Any]:
        """Return all scores as values for :func:`json.dumps`; see :func:`json_number`."""
        result: dict[str, Any] = {"pair": self.pair} if self.pair else {}
        result |= {"fixed": self.fixed, "moving": self.moving}
        result |= {metric.key: json_number(getattr(self, metric.key)) for metric in METRICS}
        result |= {key: json_number(getattr(self, key)) for key in ("hd95_mm_mean", "folds_body_percent")}
        for name in _BY_LABEL:
            result[name] = {str(label): json_number(value) for label, value in getattr(self, name).items()}
        for name in _BY_LANDMARK:
            if values := getattr(self, name):
                result[name] = [json_number(value) for value in values]
        if self.error is not None:
            result["error"] = self.error
        if self.verdict is not None:
            result |= {"verdict": self.verdict, "reasons": list(self.reasons)}
        return result

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> PairScores:
        """Restore scores from the values of :meth:`to_json`; other keys are ignored."""
        numbers: dict[str, Any] = {
            key: _from_json(record.get(key))
            for key in ("tre", "tre_before", "sdlogj", "folds_percent", "folds_body_percent", "std_log_jacobian")
        }
        for key in _BY_LABEL:
            numbers[key] = {int(label): _from_json(value) for label, value in record.get(key, {}).items()}
        for key in _BY_LANDMARK:
            numbers[key] = tuple(_from_json(value) for value in record.get(key, ()))
        numbers |= {"verdict": record.get("verdict"), "reasons": tuple(record.get("reasons", ()))}
        numbers |= {"pair": record.get("pair", ""), "error": record.get("error")}
        return cls(record["fixed"], record["moving"], **numbers)


def json_number(value: float) -> float | str | None:
    """Convert a number to a value that every JSON reader accepts: NaN to null, infinity to the string ``"inf"``."""
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def _from_json(value: float | str | None) -> float:
    return _NAN if value is None else float(value)
