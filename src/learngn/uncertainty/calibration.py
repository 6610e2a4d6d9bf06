"""Factor of the covariance by preset: one number for what the model leaves out."""

from __future__ import annotations

# Factors with which ellipsoids of 95 % hold 95 % of the true displacements of phantoms, by preset and by the first of
# the features of a request without one: `python benchmarks/uncertainty.py calibrate` prints them.
FACTORS: dict[str, float] = {}
_OTHERS = 12.0  # features that were not calibrated


def factor_of(preset: str | None, features: str) -> float:
    """Return the factor of a preset, or that of the first of several features."""
    first = features.split(",")[0].split(":")[0]
    return FACTORS.get(preset or "", FACTORS.get(first, _OTHERS))
