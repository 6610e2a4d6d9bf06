"""What good pairs look like, learned on training subjects by ``python benchmarks/quality.py learn``."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class Term(NamedTuple):
    """Part of the doubt that a measure adds.

    Attributes
    ----------
    limit : float
        Value up to which the measure adds nothing: that of good pairs, with a margin.
    weight : float
        Doubt per unit beyond the limit; negative if small values are odd.
    most : float
        Largest doubt that the measure can add.
    """

    limit: float
    weight: float
    most: float


Model: TypeAlias = dict[str, Term]

_WITHIN: Model = {
    "patterns_linear": Term(0.425, -2.4, 2.0),
    "patterns_after": Term(0.66, -5.13, 2.0),
    "local_after": Term(0.424, -2.38, 2.0),
    "information_after": Term(0.107, -2.74, 2.0),
    "agreement": Term(0.684, -4.78, 2.0),
    "bodies_linear": Term(0.8, -1.81, 0.7),
    "covered_linear": Term(0.5, -5.89, 1.5),
    "turned": Term(0.005, 60.0, 2.0),
    "both_ways": Term(0.05, 12.64, 2.0),
    "spread": Term(0.482, 2.16, 1.5),
    "bending": Term(0.68, 10.0, 2.0),
    "displacement": Term(0.194, 2.68, 0.7),
    "stretch": Term(0.234, 0.91, 0.5),
    "scale": Term(0.111, 1.59, 0.5),
    "body": Term(0.7, 1.0, 0.7),
}
_ACROSS: Model = {
    "patterns_linear": Term(0.33, -2.4, 2.0),
    "patterns_after": Term(0.45, -5.13, 2.0),
    "local_after": Term(0.17, -2.38, 2.0),
    "information_after": Term(0.09, -2.74, 2.0),
    "agreement": Term(0.42, -4.78, 2.0),
    "bodies_linear": Term(0.8, -1.81, 0.7),
    "covered_linear": Term(0.5, -5.89, 1.5),
    "turned": Term(0.005, 60.0, 2.0),
    "both_ways": Term(0.05, 12.64, 2.0),
    "spread": Term(0.482, 2.16, 1.5),
    "bending": Term(0.68, 10.0, 2.0),
    "displacement": Term(0.194, 2.68, 0.7),
    "stretch": Term(0.234, 0.91, 0.5),
    "scale": Term(0.111, 1.59, 0.5),
    "body": Term(0.7, 1.0, 0.7),
}
_PLANAR: Model = {
    "patterns_linear": Term(0.2, -2.4, 2.0),
    "patterns_after": Term(0.4, -5.13, 2.0),
    "local_after": Term(0.3, -2.38, 2.0),
    "information_after": Term(0.1, -2.74, 2.0),
    "agreement": Term(0.42, -4.78, 2.0),
    "bodies_linear": Term(0.8, -1.81, 0.7),
    "covered_linear": Term(0.5, -5.89, 1.5),
    "turned": Term(0.005, 60.0, 2.0),
    "bending": Term(0.68, 10.0, 2.0),
    "stretch": Term(0.234, 0.91, 0.5),
    "scale": Term(0.111, 1.59, 0.5),
    "body": Term(0.7, 1.0, 0.7),
}
_LABELS: Model = {
    "labels_after": Term(0.51, -5.78, 2.0),
    "bodies_linear": Term(0.419, -1.11, 0.5),
    "covered_linear": Term(0.5, -58.91, 1.5),
    "turned": Term(0.005, 60.0, 2.0),
    "spread": Term(0.505, 2.43, 1.5),
    "bending": Term(0.68, 10.0, 2.0),
    "displacement": Term(0.51, 2.3, 0.7),
    "body": Term(0.7, 1.0, 0.7),
}

MODELS: dict[str, Model] = {"ct": _WITHIN, "other": _WITHIN, "across": _ACROSS, "planar": _PLANAR, "labels": _LABELS}
