"""Dose-volume numbers and curves of a plan on a pair's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from learngn.report import html, svg
from learngn.report.numbers import number

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 600.0, 300.0, 48.0, 8.0, 12.0, 40.0
_LEVELS = (0, 25, 50, 75, 100)
_NAMES = {"volume_cm3": "volume [cm³]", "mean": "mean", "min": "min", "max": "max"}
_LEFT_OUT = {"curve", "outside_percent"}


def dose_volume(metrics: Mapping[str, Any]) -> str:
    """Make the section of a plan: numbers of every structure as planned and as carried, and their curves."""
    plan = metrics["radiotherapy"]
    structures: Sequence[Mapping[str, Any]] = plan["structures"]
    dose = plan.get("dose", {})
    unit = {"GY": "Gy", "RELATIVE": "%"}.get(dose.get("units", ""), "")
    keys = list(
        dict.fromkeys(key for entry in structures for which in ("planned", "carried") for key in entry[which] or {})
    )
    keys = [key for key in keys if key not in _LEFT_OUT]
    rows = []
    for entry in structures:
        colour = "#{:02x}{:02x}{:02x}".format(*entry["colour"])
        cells = [_change(entry["planned"], entry["carried"], key) for key in keys]
        rows.append((html.chip(colour, entry["name"]), *cells))
    head = ["", *(_NAMES.get(key) or f"{key[0].upper()}{key[1:]}{' [%]' if key[0] == 'v' else ''}" for key in keys)]
    lead = "On the moving scan → as carried to the fixed scan" + (f"; doses in {unit}." if unit else ".")
    parts = [html.table(head, rows, "Dose and volume of every structure")] if rows else []
    if any("curve" in (entry["planned"] or {}) for entry in structures):
        parts.append(_curves(structures, unit))
    if "energy_joule" in dose:
        energy = dose["energy_joule"]
        text = (
            f"Energy absorbed within the scans: {number(energy['planned'])} J planned, {number(energy['carried'])} J "
            f"carried ({dose['mapping']} mapping)."
        )
        parts.append(f'<p class="lead">{escape(text)}</p>')
    return html.section("Dose and volume", lead, *parts)


def _change(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, key: str) -> str:
    values = ["–" if entry is None or key not in entry else number(entry[key]) for entry in (before, after)]
    return escape(" → ".join(values)).replace(" ", "\N{NO-BREAK SPACE}")


def _curves(structures: Sequence[Mapping[str, Any]], unit: str) -> str:
    """Draw the dose-volume curves: planned dashed, carried solid, in the colours of the structures."""
    drawn = [
        (entry, which, entry[which]["curve"])
        for entry in structures
        for which in ("planned", "carried")
        if entry[which] is not None
    ]
    high = max(curve[0][-1] for *_, curve in drawn)

    def place(dose: float, part: float) -> tuple[float, float]:
        across, up = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        return _LEFT + across * dose / high, _TOP + up * (1 - part / 100)

    shapes = []
    for level in _LEVELS:
        y = place(0, level)[1]
        shapes += [svg.line(_LEFT, y, _WIDTH - _RIGHT, y, "rule"), svg.text(_LEFT - 6, y + 4, f"{level}", "end")]
    for dose in svg.ticks(0, high, 6):
        shapes.append(svg.text(place(dose, 0)[0], _HEIGHT - 22, f"{dose:g}"))
    shapes.append(svg.text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 4, f"dose [{unit}], volume [%]"))
    for entry, which, (doses, parts) in drawn:
        colour = "#{:02x}{:02x}{:02x}".format(*entry["colour"])
        line = svg.polyline([place(x, y) for x, y in zip(doses, parts, strict=True)], "curve")
        dash = ' stroke-dasharray="5 4"' if which == "planned" else ""
        shapes.append(f'<g style="--accent:{colour}"{dash}><title>{escape(entry["name"])}, {which}</title>{line}</g>')
    plot = svg.drawing((_WIDTH, _HEIGHT), shapes, "Dose-volume curves: planned dashed, carried solid")
    return f'<p class="lead">Dose-volume curves: planned dashed, carried solid.</p>{plot}'
