"""The verdict on a registration, with its reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from learngn.quality.learned import LearnedMeasures
from learngn.quality.measures import Measures
from learngn.quality.thresholds import MODELS, Model

Status = Literal["ok", "check", "failed"]
STATUSES: tuple[Status, ...] = ("failed", "check", "ok")  # the worst first

_SHARE = 0.15  # least share of the doubt by which a measure becomes a reason
_CERTAIN = 4.0  # doubt from which the share of a reason does not grow
_MOST = 4  # reasons

# What a measure says when its value is odd: {0} is the value, {1} the limit of good pairs.
_SENTENCES = {
    "patterns_linear": "after the linear map the patterns of both agree by {0:.2f} (good pairs: {1:.2f} and more)",
    "patterns_after": "the patterns of both scans agree by {0:.2f} in the end (good pairs: {1:.2f} and more)",
    "local_after": "the local correlation of both scans is {0:.2f} (good pairs: {1:.2f} and more)",
    "information_after": "the mutual information of both scans is {0:.2f} (good pairs: {1:.2f} and more)",
    "agreement": "at the best position both scans agree by {0:.2f} (good pairs: {1:.2f} and more)",
    "labels_after": "the labels overlap by {0:.2f} (good pairs: {1:.2f} and more)",
    "bodies_linear": "the bodies overlap by {0:.2f} (good pairs: {1:.2f} and more)",
    "covered_linear": "the moving scan covers {0:.0%} of the fixed body (good pairs: {1:.0%} and more)",
    "turned": "the moving scan fits better {how}: by {0:.2f} (good pairs: {1:.2f} at most)",
    "both_ways": "the two directions of the registration differ by {0:.2f} of the body's size (good pairs: {1:.2f} at "
    "most)",
    "spread": "volumes change unevenly, by a standard deviation of {0:.2f} of their logarithm (good pairs: {1:.2f} at "
    "most)",
    "folds": "{0:.1%} of the body folds on a coarse grid (good pairs: {1:.1%} at most)",
    "displacement": "displacements are {0:.2f} of the body's size (good pairs: {1:.2f} at most)",
    "bending": "the displacement bends by {0:.2f} voxels (good pairs: {1:.2f} at most)",
    "turn": "the linear map turns by {0:.0f}° (good pairs: {1:.0f}° at most)",
    "scale": "the linear map changes lengths by a factor of {ratio:.2f}",
    "stretch": "the linear map stretches its axes differently, by {0:.2f} (good pairs: {1:.2f} at most)",
    "field": "the fields of view differ by a factor of {ratio:.1f}",
    "body": "the bodies in view differ in size by a factor of {ratio:.1f}",
}


@dataclass(frozen=True)
class Reason:
    """A reason for a verdict.

    Attributes
    ----------
    measure : str
        Name of the measure.
    text : str
        A sentence with its number.
    """

    measure: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """Whether a registration can be trusted.

    Attributes
    ----------
    status : {"ok", "check", "failed"}
        ``"check"``: look at the result; ``"failed"``: it is wrong, or the scans do not belong together.
    reasons : tuple of Reason
        Empty for ``"ok"``; what was given before what came of it, the weightiest first.
    measures : dict
        All measures by name; see docs/quality.md.
    left_out : bool
        Whether a step was left out since it fitted no better.
    doubt : float
        How far the result is from good ones: ``"check"`` from 1, ``"failed"`` from 2.
    fit : dict
        The measures by stage, for JSON.
    """

    status: Status
    reasons: tuple[Reason, ...]
    measures: Mapping[str, float]
    left_out: bool
    doubt: float
    fit: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the entries ``verdict``, ``reasons`` and ``fit`` of ``metrics.json``."""
        return {
            "verdict": self.status,
            "reasons": [reason.text for reason in self.reasons],
            "fit": {"doubt": round(self.doubt, 3), **self.fit},
        }

    def __repr__(self) -> str:
        return f"Verdict({self.line}, doubt {self.doubt:.2f})"

    @property
    def line(self) -> str:
        """The verdict in a line of text."""
        return ": ".join(part for part in (self.status, "; ".join(reason.text for reason in self.reasons)) if part)


def judge(measures: Measures, notes: tuple[Reason, ...] = (), learned: LearnedMeasures | None = None) -> Verdict:
    """Judge a registration by its measures.

    Parameters
    ----------
    measures : Measures
    notes : tuple of Reason
        What was left out since it fitted no better: at least to be checked.
    learned : LearnedMeasures, optional
        What a model sees in the pair, whose doubts are added.
    """
    model, values, fit = MODELS[measures.kind], measures.flat(), measures.to_json()
    sentences, causes = (learned.sentences, learned.causes) if learned is not None else ({}, frozenset[str]())
    if learned is not None:
        model, values = learned.adapted(model), values | learned.flat
        fit["learned"] = learned.to_json()
    doubts = contributions(model, values)
    doubt = sum(doubts.values())
    if notes:
        doubt = max(doubt, 1.0)
    status: Status = "ok" if doubt < 1 else "check" if doubt < 2 else "failed"
    reasons = list(notes)
    if status != "ok":
        named = [name for name in doubts if doubts[name] > _SHARE * min(doubt, _CERTAIN)]
        named.sort(key=lambda name: (name not in causes, -doubts[name]))
        for name in named[: _MOST - len(notes)]:
            text = sentences.get(name) or _sentence(name, values[name], model[name].limit, measures.how)
            reasons.append(Reason(name, text))
    return Verdict(status, tuple(reasons), values, bool(notes), doubt, fit)


def contributions(model: Model, values: Mapping[str, float]) -> dict[str, float]:
    """Return what each measure adds to the doubt: its distance beyond the limit of good pairs, times its weight."""
    doubts = {}
    for name, term in model.items():
        value = values.get(name, float("nan"))
        if math.isfinite(value):
            beyond = (value - term.limit) if term.weight > 0 else (term.limit - value)
            doubts[name] = min(max(0.0, beyond) * abs(term.weight), term.most)
    return doubts


def _sentence(name: str, value: float, limit: float, how: str) -> str:
    ratio = math.exp(min(abs(value), 50.0))
    return _SENTENCES[name].format(value, limit, how=how, ratio=ratio)
