"""Registration of doubtful pairs once more, by wider searches, of which the better result is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from learngn.clock import Clock
from learngn.cohort.records import Record
from learngn.errors import LearnGNError
from learngn.registration import Registration, Request

_SMOOTHER = 4.0  # factor of λ
_LEARNED = ("lam",)  # settings that are a model's own
# Linear maps to try instead: fewer parameters are led astray less often, and more of them reach what was missed.
_OTHER_MAPS = {
    "none": "rigid",
    "translation": "rigid",
    "rigid": "affine",
    "similarity": "affine",
    "affine": "similarity",
}

Register = Callable[[Request, Clock], Registration]


@dataclass(frozen=True, eq=False)
class Widened:
    """The best of several registrations of a pair.

    Attributes
    ----------
    result : Registration
        The registration with the least doubt.
    tried : tuple of dict
        Every registration, for the record: ``changes`` of the settings, and ``verdict`` and ``doubt``, or ``error``.
    kept : int
        Index of the result in `tried`.
    seconds : dict
        Times of the stages of all of them [s].
    """

    result: Registration
    tried: tuple[Mapping[str, Any], ...]
    kept: int
    seconds: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the entry ``searches`` of a pair's record."""
        return {"searches": {"tried": list(self.tried), "kept": self.kept}}


def is_doubtful(record: Record) -> bool:
    """Return whether a registered pair is to be registered again: it is not ``"ok"``, and was not widened before."""
    return record.get("verdict") in ("check", "failed") and "searches" not in record


def widened(first: Registration, request: Request, register: Register, *, learned: bool = False) -> Widened:
    """Register a doubtful pair again by wider searches, until one is beyond doubt, and keep the best result.

    Parameters
    ----------
    first : Registration
        The registration as requested, with a verdict.
    request : Request
        What was requested for it. Single values that it names are never changed.
    register : callable
        Registers the pair with another request; its clock has the times so far.
    learned : bool
        A model registers, which has learned λ.
    """
    best, kept, seconds = first, 0, first.seconds
    tried: list[Mapping[str, Any]] = [{"changes": {}, **_judged(first)}]
    changes: dict[str, Any] = {}
    for more in _searches(first, request, learned):
        if best.verdict is None or best.verdict.status == "ok":
            break
        wider = {**changes, **more}
        clock = Clock(dict(seconds))
        try:
            result = register(replace(request, changes={**request.changes, **wider}), clock)
        except LearnGNError as error:  # of maps or features that do not suit the pair: what there is remains
            tried.append({"changes": wider, "error": str(error)})
            continue
        seconds = result.seconds
        tried.append({"changes": wider, **_judged(result)})
        if _doubt(result) < _doubt(best):
            best, kept, changes = result, len(tried) - 1, wider
    return Widened(best, tuple(tried), kept, seconds)


def _searches(first: Registration, request: Request, learned: bool) -> Iterator[dict[str, Any]]:
    """Yield the changes of each search: of the position first, then of the deformation."""
    settings, fixed = first.settings, {*request.changes, *(_LEARNED if learned else ())}
    position: dict[str, Any] = {"affine": _OTHER_MAPS[settings.affine]}
    lam = settings.lam
    deformation: dict[str, Any] = {"lam": (_SMOOTHER * lam[0], _SMOOTHER * lam[1])}
    if not settings.is_baseline:
        position["overlap"] = True
    if first.resolved.feature.traits.searchable:
        deformation["discrete"] = True
    for search in (position, deformation):
        new = {name: value for name, value in search.items() if name not in fixed and value != getattr(settings, name)}
        if new:
            yield new


def _judged(result: Registration) -> dict[str, Any]:
    verdict = result.verdict
    return {} if verdict is None else {"verdict": verdict.status, "doubt": round(verdict.doubt, 3)}


def _doubt(result: Registration) -> float:
    return float("inf") if result.verdict is None else result.verdict.doubt
