"""Trust in the registered atlases of a target, from the verdicts on their registrations and their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def trusted(records: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Choose the atlases of a target that vote, and how much.

    An atlas has ``1 / (1 + doubt)`` of a vote, by the doubt of the verdict on its registration, times the least median
    standard deviation of all these displacements over its own, if uncertainty was estimated. Atlases whose verdict is
    ``"failed"`` have no vote, unless all have failed. What is unknown makes no difference.

    Parameters
    ----------
    records : sequence of Record
        Records of the registrations onto one target, see :func:`learngn.cohort.run_cohort`.

    Returns
    -------
    dict
        Trust, above zero, by index of the record; without those that have failed.
    """
    registered = [index for index, record in enumerate(records) if "error" not in record]
    chosen = [index for index in registered if records[index].get("verdict") != "failed"] or registered
    deviations = {index: _deviation(records[index]) for index in chosen}
    known = [value for value in deviations.values() if value is not None]
    trust = {}
    for index in chosen:
        doubt, deviation = records[index].get("fit", {}).get("doubt", 0.0), deviations[index]
        share = 1.0 if deviation is None else min(known) / deviation
        trust[index] = share / (1.0 + float(doubt))
    return trust


def _deviation(record: Mapping[str, Any]) -> float | None:
    """Return the median standard deviation of a displacement [mm]; None if it is unknown."""
    value = record.get("uncertainty", {}).get("median")
    return None if value is None or not float(value) > 0 else float(value)
