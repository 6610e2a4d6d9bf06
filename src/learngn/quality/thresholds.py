"""Limits and weights of the measures, learned on training subjects by ``python benchmarks/quality.py learn``."""

from __future__ import annotations

from collections.abc import Mapping
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
# Between modalities, and for planes, the same measures count as much beyond other limits.
_ACROSS_LIMITS = {
    "patterns_linear": 0.33,
    "patterns_after": 0.45,
    "local_after": 0.17,
    "information_after": 0.09,
    "agreement": 0.42,
}
_PLANAR_LIMITS = {
    "patterns_linear": 0.2,
    "patterns_after": 0.4,
    "local_after": 0.3,
    "information_after": 0.1,
    "agreement": 0.42,
}
_NOT_OF_PLANES = {"both_ways", "spread", "displacement"}


def _limited(model: Model, limits: Mapping[str, float]) -> Model:
    """Return a model with other limits of some measures."""
    return {name: term._replace(limit=limits.get(name, term.limit)) for name, term in model.items()}


_ACROSS = _limited(_WITHIN, _ACROSS_LIMITS)
_PLANAR = _limited({name: term for name, term in _WITHIN.items() if name not in _NOT_OF_PLANES}, _PLANAR_LIMITS)
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

# Of two modalities that only learned features compare, the deformation alone.
_MODALITIES = {name: _WITHIN[name] for name in ("spread", "bending", "displacement", "stretch", "scale")}

MODELS: dict[str, Model] = {
    "ct": _WITHIN,
    "other": _WITHIN,
    "across": _ACROSS,
    "planar": _PLANAR,
    "labels": _LABELS,
    "modalities": _MODALITIES,
}
