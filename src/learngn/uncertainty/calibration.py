"""Factor of the covariance by preset: one number for what the model leaves out."""

from __future__ import annotations

# Factors with which ellipsoids of 95 % hold 95 % of the true displacements of phantoms, by preset and by the first of
# the features of a request without one: `python benchmarks/uncertainty.py calibrate` prints them.
FACTORS: dict[str, float] = {
    "abdomen-ct": 9.4,
    "thorax-ct": 9.4,  # the same settings
    "abdomen-mr": 7.6,
    "brain-mr": 30.0,
    "ct-mr": 100.0,
    "2d": 1.9,
    "histology": 1.9,  # as other pictures in 2D: not calibrated on stained sections
    "label-maps": 69.0,
    "mind": 6.4,
    "intensity": 9.0,
    "distance": 11.0,
    "organ-distance": 69.0,
    "labels": 170.0,
}
_OTHERS = 8.0  # of features that were not calibrated


def factor_of(preset: str | None, features: str) -> float:
    """Return the factor of a preset, or that of the first of several features."""
    first = features.split(",")[0].split(":")[0]
    return FACTORS.get(preset or "", FACTORS.get(first, _OTHERS))
