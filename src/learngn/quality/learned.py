"""Evidence of learned features: their fit, and scans unlike those of the training, by the model's own record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from learngn.quality.experience import Experience, Range, ScanRanges
from learngn.quality.scan_summary import ScanSummary, unit_of_volume
from learngn.quality.thresholds import Model, Term

# There are few held-out pairs and training scans: limits lie beyond the worst of them, by a quarter or more.
_MARGIN = 1.25  # of what the worst held-out pair lacks to a perfect fit
_SLACK = {"organs": 0.05, "features": 0.02}  # beside it
_LESS = (
    0.15  # part of a limit of the similarity of images that pairs of a model may fall short of the worst held-out one
)
_STEP = 0.1  # least loss of fit by which the doubt grows by one
_UNSTEADY = 1.5  # as many times as much as the least steady training scan changes
_FARTHER = 1.5  # as many times as far from the mean of the training scans as the farthest of them
_SIZE = 1.3  # factor beyond the range of sizes
_VOLUME = 1.5  # factor beyond the range of an organ's volumes
_DOUBLE = math.log(2.0)
_MOST_VOLUME = math.log(8.0)  # what one organ's volume adds, as a logarithm
_NO_VOLUME = 0.05  # of the median volume: less is none

_SIDES = ("fixed", "moving")


@dataclass(frozen=True, eq=False)
class LearnedMeasures:
    """Measures of a pair by what a model has learned.

    Attributes
    ----------
    stages : dict
        Fit of φ ``before``, after the ``linear`` map and ``after`` registration, and numbers of both ``scans``.
    terms : dict
        What each measure adds to the doubt, by the model's own record; empty without one.
    sentences : dict
        A sentence with its number for every measure that has a term.
    causes : set of str
        Measures of what was given, not of what came of it: they are the first reasons.
    usual : dict
        Ranges of all measures of the held-out pairs.
    """

    stages: Mapping[str, Mapping[str, float]]
    terms: Model
    sentences: Mapping[str, str]
    causes: frozenset[str] = frozenset()
    usual: Mapping[str, Range] = field(default_factory=dict)

    def adapted(self, model: Model) -> Model:
        """Return the terms of a kind of pair with the limits of this model where these are wider, and its own terms.

        Parameters
        ----------
        model : dict
            See :data:`learngn.quality.thresholds.MODELS`.
        """
        return {name: _wider(term, self.usual.get(name)) for name, term in model.items()} | self.terms

    @property
    def flat(self) -> dict[str, float]:
        """All numbers by one name each."""
        scans = self.stages.get("scans", {})
        stages = {name: values for name, values in self.stages.items() if name != "scans"}
        return {f"{key}_{name}": value for name, values in stages.items() for key, value in values.items()} | dict(
            scans
        )

    def to_json(self) -> dict[str, Any]:
        """Return values for JSON."""
        return {
            name: {key: round(float(value), 5) if math.isfinite(value) else None for key, value in values.items()}
            for name, values in self.stages.items()
        }


def learned_measures(
    fits: Mapping[str, Mapping[str, float]],
    scans: tuple[ScanSummary, ScanSummary] | None = None,
    experience: Experience | None = None,
    modalities: tuple[int, int] = (0, 0),
    ndim: int = 3,
) -> LearnedMeasures:
    """Compare a pair with what a model knows of itself.

    Parameters
    ----------
    fits : dict
        Fit of φ ``before``, after the ``linear`` map and ``after`` registration; see
        :meth:`learngn.quality.feature_fit.FeaturePair.fit`.
    scans : (ScanSummary, ScanSummary), optional
        Numbers of the fixed and of the moving scan.
    experience : Experience, optional
        The record of the model; without one nothing is odd.
    modalities : (int, int)
        Modality of each scan in the order of the training.
    ndim : int
        2 or 3.
    """
    if experience is None or scans is None:
        return LearnedMeasures(fits, {}, {})
    terms, sentences = _of_fit(fits, experience)
    values: dict[str, float] = {}
    for side, scan, modality in zip(_SIDES, scans, modalities, strict=True):
        found = _of_scan(side, scan, experience.scans[min(modality, len(experience.scans) - 1)], experience, ndim)
        values |= {name: value for name, (value, _, _) in found.items()}
        terms |= {name: term for name, (_, term, _) in found.items()}
        sentences |= {name: sentence for name, (_, _, sentence) in found.items()}
    causes = frozenset((*values, "organs_before", "features_before"))
    return LearnedMeasures({**fits, "scans": values}, terms, sentences, causes, experience.pairs)


def _of_fit(fits: Mapping[str, Mapping[str, float]], experience: Experience) -> tuple[Model, dict[str, str]]:
    """Return terms and sentences of the fit of φ."""
    pairs, after, terms, sentences = experience.pairs, fits["after"], dict[str, Term](), dict[str, str]()
    words = {
        "organs": "the organs that the model sees in both scans overlap by",
        "features": "the learned features of both scans agree by",
    }
    for name, text in words.items():
        if name in after and f"{name}_after" in pairs:
            lost, slack = 1 - pairs[f"{name}_after"][0], _SLACK[name]
            term = Term(1 - _MARGIN * lost - slack, -1 / max(2 * slack, lost / 2), 2.0)
            terms[f"{name}_after"] = term
            sentences[f"{name}_after"] = _at_least(f"{text} {after[name]:.2f} in the end", pairs[f"{name}_after"])
    if "covers_after" in pairs:
        limit = 0.8 * pairs["covers_after"][0]
        terms["covers_after"] = Term(limit, -1.5 / max(limit, _STEP), 1.5)
        sentences["covers_after"] = _at_least(
            f"the moving scan covers {after['covers']:.2f} of what the model sees in the fixed scan",
            pairs["covers_after"],
        )
    name = "organs" if "organs_before" in pairs else "features"
    if f"{name}_before" in pairs and name in fits["before"]:
        limit = max(0.0, pairs[f"{name}_before"][0] / 2)
        terms[f"{name}_before"] = Term(limit, -0.7 / max(limit, _STEP), 0.7)
        sentences[f"{name}_before"] = _at_least(
            f"where the headers place them, {words[name].removeprefix('the ')} {fits['before'][name]:.2f}",
            pairs[f"{name}_before"],
        )
    return terms, sentences


def _of_scan(
    side: str, scan: ScanSummary, known: ScanRanges, experience: Experience, ndim: int
) -> dict[str, tuple[float, Term, str]]:
    """Return, by measure, its value, term and sentence for a scan."""
    what = f"the {side} scan"
    distance = known.distance(scan)
    found = {
        f"inputs_{side}": (
            distance,
            Term(_FARTHER, 1 / _FARTHER, 1.5),
            f"the intensities of {what} are distributed unlike those of the training scans: {distance:.1f} times as "
            "far from their mean as the farthest of them",
        )
    }
    for name, text, unit in (("spacing", "voxels of up to", "mm"), ("field", "a field of view of about", "mm")):
        value, usual = getattr(scan, name), getattr(known, name)
        found[f"{name}_{side}"] = (
            _beyond(value, usual),
            Term(math.log(_SIZE), 1 / (_DOUBLE - math.log(_SIZE)), 1.5),
            f"{what} has {text} {value:.3g} {unit} ({_between(usual)} {unit})",
        )
    if known.steady is not None and scan.steady is not None:
        changes = _UNSTEADY * (1 - known.steady[0]) + _STEP / 2
        found[f"steady_{side}"] = (
            scan.steady,
            Term(1 - changes, -1 / max(_STEP, changes), 1.5),
            f"what the model sees in {what} depends on its brightness and noise: features of changed copies agree by "
            f"{scan.steady:.2f} ({_between(known.steady)})",
        )
    if known.volumes and len(known.volumes) == len(scan.volumes):
        odd = [min(_odd(*one), _MOST_VOLUME) for one in zip(scan.volumes, known.volumes, strict=True)]
        worst, unit = int(np.argmax(odd)), unit_of_volume(ndim)
        found[f"volumes_{side}"] = (
            float(np.mean(odd)),
            Term(0.0, 1 / _DOUBLE, 2.0),
            f"the model sees {scan.volumes[worst]:.3g} {unit} of {experience.organs[worst]} in {what} "
            f"({_between(known.volumes[worst])} {unit})",
        )
    return found


def _wider(term: Term, usual: Range | None) -> Term:
    """Return a term whose limit the held-out pairs of a model do not exceed, with a margin."""
    if usual is None:
        return term
    if term.weight > 0:
        return term._replace(limit=max(term.limit, _MARGIN * usual[2]))
    return term._replace(limit=min(term.limit, usual[0] - _LESS * term.limit))


def _beyond(value: float, usual: Range) -> float:
    """Return how far a size lies outside a range, as a logarithm."""
    return max(0.0, math.log(value / usual[2]), math.log(usual[0] / value))


def _odd(volume: float, usual: Range) -> float:
    """Return how far an organ's volume lies outside a range that is wider than that of the training, as a logarithm."""
    none = max(_NO_VOLUME * usual[1], 1e-9)
    value, low, high = (max(number, none) for number in (volume, usual[0] / _VOLUME, usual[2] * _VOLUME))
    return max(0.0, math.log(value / high), math.log(low / value))


def _at_least(text: str, usual: Range) -> str:
    return f"{text} (pairs of the training's held-out scans: {usual[0]:.2f} and more)"


def _between(usual: Range) -> str:
    low, high = (f"{value:.3g}" for value in (usual[0], usual[2]))
    return f"training scans: {low}" if low == high else f"training scans: {low} to {high}"
