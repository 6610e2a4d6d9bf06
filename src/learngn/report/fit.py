"""Fit of a pair without labels, on its report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learngn.report import html
from learngn.report.numbers import number

_FIT = {
    "patterns": "local patterns (MIND)",
    "local": "local correlation",
    "information": "mutual information",
    "labels": "Dice of the label maps",
    "bodies": "overlap of the bodies",
}
_OF_THE_BODY = {"both_ways": "there and back", "displacement": "displacement (root mean square)"}
_STAGES = {"before": "before", "linear": "affine", "after": "after"}


def fit(metrics: Mapping[str, Any]) -> str:
    """Make the section of the fit without labels: similarity and overlap of the bodies, stage by stage."""
    found: Mapping[str, Any] = metrics["fit"]
    stages = [name for name in _STAGES if found.get(name)]
    rows = [
        (name, *(number(found[stage].get(key)) for stage in stages))
        for key, name in _FIT.items()
        if any(key in found[stage] for stage in stages)
    ]
    others: Mapping[str, float] = found.get("others", {})
    parts = [
        f"{name} {number(100 * others[key])} %" for key, name in _OF_THE_BODY.items() if others.get(key) is not None
    ]
    lead = "From the scans alone, without labels: 1 is a perfect fit."
    if parts:
        lead += f" Of the body's size: {', '.join(parts)}."
    names = _STAGES | ({"before": "initial position"} if metrics.get("initial_transform") else {})
    head = ("", *(names[stage] for stage in stages))
    return html.section("Fit", lead, f'<div class="levels">{html.table(head, rows, "Fit by stage")}</div>')
