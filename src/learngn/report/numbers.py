"""Numbers: from a result's metrics to the verdict, the tables and the lists of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from learngn.report import html
from learngn.report.figures import convergence, label_colour

Metrics = Mapping[str, Any]


def verdict(metrics: Metrics) -> str:
    """One line: Dice before and after, folds, seconds."""
    parts = []
    if metrics.get("dice_mean") is not None:
        before = metrics.get("dice_mean_before")
        start = "" if before is None else f"{before:.3f} → "
        parts.append(f"Dice {start}{metrics['dice_mean']:.3f}")
    parts.append(f"{_percent(metrics['folds_percent'])} folds")
    parts.append(f"{metrics['seconds']['total']:.1f} s")
    # A line breaks between the parts alone, never between a number and its unit.
    return " · ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)


def label_name(metrics: Metrics, label: int | str) -> str:
    """Name of a label, or ``label 7``."""
    return str(metrics.get("label_names", {}).get(str(label), f"label {label}")).replace("_", " ")


def overlap(metrics: Metrics) -> str:
    """Dice and HD95 of every label, before and after, and their means."""
    after: Mapping[str, float | None] = metrics["dice"]
    before: Mapping[str, float | None] = metrics.get("dice_before", {})
    distance: Mapping[str, float | str | None] = metrics.get("hd95", {})
    rows = [
        _score_row(
            html.chip(label_colour(int(label)), label_name(metrics, label)),
            label_colour(int(label)),
            before.get(label),
            after[label],
            distance.get(label),
        )
        for label in sorted(after, key=int)
    ]
    means = (metrics.get(key) for key in ("dice_mean_before", "dice_mean", "hd95_mean"))
    rows.append(_score_row("<strong>mean</strong>", "var(--soft)", *means))
    head = ["", "", "before", "after", "change", "HD95 [voxel]"]
    columns = len(head) if distance else len(head) - 1
    return html.section(
        "Overlap",
        "Dice of every label; the tick marks where it was before registration.",
        f'<div class="scores">{html.table(head[:columns], [row[:columns] for row in rows])}</div>',
    )


def progress(metrics: Metrics) -> str:
    """Energy against iteration, and a table of the levels."""
    history: Sequence[Mapping[str, Any]] = metrics["history"]
    rows = []
    for _, group in groupby(history, key=lambda step: step["level"]):
        steps = list(group)
        first, last = steps[0], steps[-1]
        rows.append(
            (
                f"1/{first['stride']:g}",
                " × ".join(str(n) for n in first["shape"]),
                f"{len(steps)}",
                _number(last["lam"]),
                _number(last["energy"]),
                _number(min(step["min_jacobian"] for step in steps)),
                f"{sum(step['solver_iterations'] for step in steps) / len(steps):.1f}",
            )
        )
    curve = html.svg(convergence(history), "Energy against iteration")
    levels = html.table(("level", "grid", "steps", "λ", "energy", "min det J", "solver"), rows)
    return html.section(
        "Convergence",
        "Energy after every step: whole (line) and its data term (dashed), level by level. "
        f"Stopped: {metrics['stop']}.",
        f'<div class="pair"><div>{curve}</div><div>{levels}</div></div>',
    )


def deformation(metrics: Metrics) -> str:
    """Folds and spread of the Jacobian determinant, as one line of HTML."""
    items = (
        ("folded voxels", _percent(metrics["folds_percent"])),
        ("std of log det J", _number(metrics.get("std_log_jacobian"))),
        ("SDlogJ (Learn2Reg)", _number(metrics.get("sdlogj"))),
    )
    return html.definitions(items)


def run(metrics: Metrics) -> str:
    """Times and settings, side by side."""
    times = [(name, f"{value:.2f} s") for name, value in metrics["seconds"].items()]
    if metrics.get("peak_memory_mb") is not None:
        times.append(("peak memory", f"{metrics['peak_memory_mb']:.0f} MB"))
    settings = [(name.replace("_", " "), _setting(value)) for name, value in metrics["settings"].items()]
    return html.section(
        "Run",
        "",
        '<div class="pair" style="align-items:start">'
        f"<div><h3>Time</h3>{html.definitions(times)}</div>"
        f"<div><h3>Settings</h3>{html.definitions(settings)}</div></div>",
    )


def provenance(metrics: Metrics) -> str:
    """Version, command, and every input with its hash."""
    items = [("version", f"learngn {metrics['version']}")]
    if metrics.get("command"):
        items.append(("command", str(metrics["command"])))
    for name, source in metrics["inputs"].items():
        items.append((name.replace("_", " "), str(source["path"])))
        items.append(("sha256", str(source["sha256"])))
    return html.section("Provenance", "", f'<div class="provenance">{html.definitions(items)}</div>')


def _score_row(
    name: str, colour: str, before: float | None, after: float | None, distance: float | str | None
) -> tuple[str, ...]:
    change = "–" if before is None or after is None else f"{after - before:+.3f}".replace("-", "−")
    return name, html.bar(after, before, colour), _score(before), _score(after), change, _number(distance)


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _number(value: float | str | None) -> str:
    if value is None or isinstance(value, str):  # JSON has no infinity: it is the string "inf"
        return "–" if value is None else "∞"
    return f"{value:.3g}".replace("-", "−")


def _percent(value: float) -> str:
    return f"{value:.2g} %" if value else "0 %"


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_setting(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def heading(fixed: str, moving: str) -> str:
    """Title of the page, HTML: what was brought onto what."""
    return f"<h1>{escape(moving)} <span>onto</span> {escape(fixed)}</h1>"
