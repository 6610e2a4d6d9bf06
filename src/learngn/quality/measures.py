"""Measures of a registration that need no labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from learngn.arrays import undifferentiated
from learngn.geometry.transform import Transform
from learngn.quality.both_ways import Aligned, agreement, forward, round_trip
from learngn.quality.deformation import LinearPart, deformation
from learngn.quality.evidence import Evidence
from learngn.quality.turned import turned

_COVERED = 0.3  # least fraction of the fixed body that tells which way round a scan is


@dataclass(frozen=True)
class Measures:
    """Measures of a result that need no labels.

    Attributes
    ----------
    kind : str
        Kind of pair, see :attr:`learngn.quality.coarse.CoarsePair.kind`; for 2D scans ``"planar"``, unless they are
        label maps, or cannot be compared.
    before, linear, after : dict
        Fit in the header's position, after the linear map, and of the result; see
        :meth:`learngn.quality.coarse.CoarsePair.fit`.
    others : dict
        The deformation, the linear map, sizes, and the gain by mirroring.
    how : str
        The exchange of directions that fits best, in words; empty if the scans cannot be compared.
    """

    kind: str
    before: Mapping[str, float]
    linear: Mapping[str, float]
    after: Mapping[str, float]
    others: Mapping[str, float]
    how: str

    def to_json(self) -> dict[str, object]:
        """Return values for JSON."""
        stages = {"before": self.before, "linear": self.linear, "after": self.after, "others": self.others}
        rounded = {name: {key: _number(value) for key, value in values.items()} for name, values in stages.items()}
        return {"kind": self.kind, **rounded, "turned": self.how}

    def flat(self) -> dict[str, float]:
        """Return all numbers by one name each."""
        stages = {"before": self.before, "linear": self.linear, "after": self.after}
        flat = {f"{name}_{stage}": value for stage, values in stages.items() for name, value in values.items()}
        return flat | dict(self.others)


@undifferentiated
def measure(evidence: Evidence, transform: Transform, after: Mapping[str, float]) -> Measures:
    """Measure a result.

    Parameters
    ----------
    evidence : Evidence
        The pair, in the headers' position and after the linear map that was used.
    transform : Transform
        The result.
    after : dict
        Its fit.
    """
    pair, matrix = evidence.pair, evidence.matrix
    part, by_intensities = LinearPart.of(matrix), dict[str, float]()
    how = ""
    if pair.comparable:
        consistency, given = float("nan"), float("nan")
        if pair.kind != "labels":
            aligned = Aligned(evidence.aligned.values, evidence.aligned.covered)
            there = forward(pair, aligned)
            consistency, given = round_trip(pair, aligned, there), agreement(pair, aligned, there)
        exchange = turned(pair, matrix, given)
        # Of a small part of a body, another part may fit as well by chance.
        gain = exchange.gain if evidence.linear["covered"] >= _COVERED else float("nan")
        how = exchange.how
        by_intensities = {"agreement": exchange.given, "turned": gain, "both_ways": consistency}
    sizes = [max(scan.body_size, 1e-6) for scan in (pair.fixed, pair.moving)]
    extents = [float(scan.image.grid.extent.max()) for scan in (pair.fixed, pair.moving)]
    others = {
        **deformation(transform, pair.grid, matrix, pair.fixed.body & evidence.aligned.covered),
        "turn": part.turn,
        "scale": part.scale,
        "stretch": part.stretch,
        **by_intensities,
        "field": abs(float(np.log(extents[1] / extents[0]))),
        "body": abs(float(np.log(sizes[1] / sizes[0]))),
    }
    kind = "planar" if pair.grid.ndim == 2 and pair.kind not in ("labels", "modalities") else pair.kind
    return Measures(kind, evidence.before, evidence.linear, after, others, how)


def _number(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None
