"""Do no harm: what fits no better than what it started from is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from learngn.geometry.grid import FloatArray
from learngn.geometry.transform import Affine, Composite, DisplacementField
from learngn.quality import Evidence, Reason, Verdict, evidence, judge, measure
from learngn.registration.learned import Seen
from learngn.registration.pair import RegistrationPair
from learngn.registration.prealign import PLACED, Prealigned

_BY_CHANCE = (
    "the linear stage has found no more agreement than unrelated scans have ({linear:.2f}; in {position} "
    "{before:.2f}): that position is kept"
)
_NO_BETTER = "the linear map fits worse ({linear:.2f}) than {position} ({before:.2f}): that is kept"
_NO_MAP = "the linear stage has found no alignment: {position} is kept"
_NOT_SHOWN = "no displacement is kept, since the scans agree no more than unrelated ones do ({0:.2f})"
_NO_GAIN = "the displacement is left out, since it fits worse: local correlation {0:.2f} without and {1:.2f} with it"
_NO_BETTER_FIELD = (
    "the initial displacement is kept, since the result fits worse: local correlation {0:.2f} and {1:.2f}"
)
_HEADERS, _PLACED = "the headers' position", "the initial position"


@dataclass(frozen=True, eq=False)
class Harmless:
    """Choice between the headers' position, the linear map and the displacement, and the verdict.

    Attributes
    ----------
    found : Evidence
        What speaks for the linear map in use.
    notes : tuple of Reason
        What was left out, and why.
    guided : bool
        Key points guide the registration: nothing is left out.
    seen : Seen, optional
        What a model sees in the pair. Then its features alone decide what is left out.
    placed : bool
        An initial transform has placed the moving scan: its position, not that of the headers, is what is kept.
    """

    found: Evidence
    notes: tuple[Reason, ...] = ()
    guided: bool = False
    seen: Seen | None = None
    placed: bool = False

    @classmethod
    def of(cls, pair: RegistrationPair, matrix: FloatArray | None, *, placed: bool = False) -> Harmless:
        """Compare a linear map with the headers' position.

        Parameters
        ----------
        pair : RegistrationPair
        matrix : array, shape (D+1, D+1), optional
            The map of the linear stage, fixed RAS mm to moving RAS mm; None if it has found none.
        placed : bool
            See :attr:`placed`.
        """
        position = _PLACED if placed else _HEADERS
        fixed, moving = pair.fixed, pair.moving
        linear = np.eye(fixed.grid.ndim + 1) if matrix is None else matrix
        found = evidence(fixed.scan, moving.scan, linear, (fixed.mask, moving.mask))
        if matrix is None:
            return cls(found, (Reason("patterns_linear", _NO_MAP.format(position=position)),), placed=placed)
        guided = pair.keypoints is not None
        if guided or found.linear is found.before or not found.header_better:
            return cls(found, guided=guided, placed=placed)
        text = _NO_BETTER if found.supported else _BY_CHANCE
        values = {"before": found.before["patterns"], "linear": found.linear["patterns"], "position": position}
        return cls(found.unmoved(), (Reason("patterns_linear", text.format(**values)),), placed=placed)

    @classmethod
    def of_learned(
        cls,
        pair: RegistrationPair,
        matrix: FloatArray,
        reason: Reason | None = None,
        *,
        comparable: bool = True,
        placed: bool = False,
    ) -> Harmless:
        """Take the linear map that learned features have found.

        Parameters
        ----------
        pair : RegistrationPair
        matrix : array, shape (D+1, D+1)
            Fixed RAS mm to moving RAS mm.
        reason : Reason, optional
            Why the headers' position is kept instead.
        comparable : bool
            The intensities of both scans can be compared, too.
        placed : bool
            See :attr:`placed`.
        """
        fixed, moving, guided = pair.fixed, pair.moving, pair.keypoints is not None
        notes = () if reason is None or guided else (reason,)
        linear = np.eye(fixed.grid.ndim + 1) if notes else matrix
        masks = fixed.mask, moving.mask
        found = evidence(fixed.scan, moving.scan, linear, masks, comparable=comparable)
        return cls(found, notes, guided, placed=placed)

    def start(self, aligned: Prealigned) -> Prealigned:
        """Return the linear map to use."""
        return Prealigned(self.found.matrix, PLACED if self.placed else "header") if self.notes else aligned

    def judged(
        self, field: DisplacementField, affine: Affine, given: DisplacementField | None = None
    ) -> tuple[Verdict, bool]:
        """Return the verdict on a result, and whether its displacement is kept.

        Parameters
        ----------
        field : DisplacementField
        affine : Affine
            The linear map in use.
        given : DisplacementField, optional
            The initial displacement, to which the verdict applies if that of the result is not kept; zero by default.
        """
        transform = Composite((field, affine))
        after = self.found.fit(transform)
        learned = None if self.seen is None else self.seen.fit(transform)
        still = Composite((DisplacementField.zero(field.grid) if given is None else given, affine))
        unchanged = self.found.linear if given is None else self.found.fit(still)
        unmoved = None if self.seen is None else self.seen.linear if given is None else self.seen.fit(still)
        reason = self._left_out(after, learned, unchanged, unmoved, _NO_GAIN if given is None else _NO_BETTER_FIELD)
        if reason is None:
            return self._verdict(transform, after, learned), True
        return replace(self, notes=(*self.notes, reason))._verdict(still, unchanged, unmoved), False

    def _left_out(
        self,
        after: Mapping[str, float],
        learned: Mapping[str, float] | None,
        unchanged: Mapping[str, float],
        unmoved: Mapping[str, float] | None,
        text: str,
    ) -> Reason | None:
        """Return why a displacement is to be left out, for the fit before the optimisation; None to keep it."""
        if self.guided:
            return None
        if self.seen is not None and learned is not None and unmoved is not None:
            return self.seen.left_out(learned, unmoved)
        if self.notes and not self.found.supported:
            return Reason("patterns_linear", _NOT_SHOWN.format(self.found.linear["patterns"]))
        if not self.found.worsened(after, unchanged):
            return None
        name = "labels" if self.found.pair.kind == "labels" else "local"
        return Reason(f"{name}_after", text.format(unchanged[name], after[name]))

    def _verdict(
        self, transform: Composite, after: Mapping[str, float], learned: Mapping[str, float] | None
    ) -> Verdict:
        seen = None if self.seen is None or learned is None else self.seen.measures(learned)
        return judge(measure(self.found, transform, after), self.notes, seen)
