"""Record of a training: ranges of its scans, and of the fit of pairs that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from learngn.errors import ModelError
from learngn.geometry.grid import FloatArray
from learngn.quality.scan_summary import ScanSummary
from learngn.quality.thresholds import MODELS

Range: TypeAlias = tuple[float, float, float]
"""Least value, median and largest value."""

_DIGITS = 5
_FITS = {f"{name}_{stage}" for name in ("organs", "features", "covers") for stage in ("before", "linear", "after")}
_RECORDED = _FITS | {name for model in MODELS.values() for name in model}
_LEAST_APART = 0.05  # distance of input quantiles that counts as none [range of the quantiles]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScanRanges(_Record):
    """Ranges of the training scans of one modality.

    Attributes
    ----------
    count : int
        Number of scans.
    spacing, field, steady : Range
        See :class:`learngn.quality.scan_summary.ScanSummary`.
    inputs : tuple of float
        Mean of the scans' quantiles of the input features.
    apart : Range
        Mean absolute difference of a scan's quantiles to these.
    volumes : tuple of Range
        Volume of every organ [ml, or cm² in 2D].
    """

    count: int = Field(ge=1)
    spacing: Range
    field: Range
    inputs: tuple[float, ...]
    apart: Range
    volumes: tuple[Range, ...] = ()
    steady: Range | None = None

    @classmethod
    def of(cls, scans: Sequence[ScanSummary]) -> ScanRanges:
        """Summarise the scans of one modality."""
        quantiles = np.asarray([scan.inputs for scan in scans])
        mean = quantiles.mean(0)
        steady = [scan.steady for scan in scans if scan.steady is not None]
        return cls(
            count=len(scans),
            spacing=_range([scan.spacing for scan in scans]),
            field=_range([scan.field for scan in scans]),
            inputs=tuple(round(float(value), _DIGITS) for value in mean),
            apart=_range(np.abs(quantiles - mean).mean(1)),
            volumes=tuple(_range(volumes) for volumes in zip(*(scan.volumes for scan in scans), strict=True)),
            steady=_range(steady) if steady else None,
        )

    def distance(self, scan: ScanSummary) -> float:
        """Return how far a scan's input is from the mean of the training scans; one for the farthest of them."""
        mean = np.asarray(self.inputs)
        most = max(self.apart[2], _LEAST_APART * float(np.ptp(mean)), 1e-6)
        return float(np.abs(np.asarray(scan.inputs) - mean).mean()) / most


class Experience(_Record):
    """Record of a training, by which registrations with the model are judged.

    Attributes
    ----------
    organs : tuple of str
        Names of the organs that φ shows, one channel each.
    first : int
        Number of the channel of the first organ.
    scans : tuple of ScanRanges
        Ranges of the scans, by modality.
    count : int
        Number of held-out pairs that were registered.
    pairs : dict
        Ranges of the measures of these pairs by name, ``"organs_after": [least, median, most]``; see
        :attr:`learngn.quality.Verdict.measures`.
    """

    organs: tuple[str, ...] = ()
    first: int = Field(0, ge=0)
    scans: tuple[ScanRanges, ...] = Field(min_length=1)
    count: int = Field(0, ge=0)
    pairs: Mapping[str, Range] = {}

    @classmethod
    def of(
        cls,
        channels: range,
        organs: Sequence[str],
        scans: Sequence[Sequence[ScanSummary]],
        pairs: Sequence[Mapping[str, float]],
    ) -> Experience:
        """Summarise scans, by modality, and the measures of pairs.

        Parameters
        ----------
        channels : range
            Channels of φ that are positive inside an organ each.
        organs : sequence of str
            Their names.
        scans : sequence of sequence of ScanSummary
        pairs : sequence of dict
        """
        known = [{name: value for name, value in pair.items() if math.isfinite(value)} for pair in pairs]
        names = sorted({name for pair in known for name in pair if name in _RECORDED})
        return cls(
            organs=tuple(organs),
            first=channels.start,
            scans=tuple(ScanRanges.of(one) for one in scans),
            count=len(pairs),
            pairs={name: _range([pair[name] for pair in known if name in pair]) for name in names},
        )

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Experience:
        """Read the record in a model's file.

        Raises
        ------
        ModelError
            If it is not one.
        """
        try:
            return cls.model_validate(record)
        except ValidationError as failure:
            error = failure.errors()[0]
            got = f"{'.'.join(map(str, error['loc']))}: {error['msg']}"
            raise ModelError("experience of the model", got, "what learngn train writes", "train it again") from failure

    @property
    def channels(self) -> range:
        """Channels of φ that are positive inside an organ each."""
        return range(self.first, self.first + len(self.organs))

    def to_json(self) -> dict[str, Any]:
        """Return the record for a model's file."""
        return self.model_dump(mode="json", exclude_none=True)


def _range(values: Sequence[float] | FloatArray) -> Range:
    least, median, most = (round(float(value), _DIGITS) for value in np.quantile(np.asarray(values), (0, 0.5, 1)))
    return least, median, most
