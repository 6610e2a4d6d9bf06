"""Numbers of a pair's report: summary, tiles, tables and lists, from a result's metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from learngn.report import html
from learngn.report.palette import label_colour
from learngn.report.plots import convergence
from learngn.report.viewer import label_name

Metrics = Mapping[str, Any]


def verdict(metrics: Metrics) -> str:
    """Summarise the scores before and after registration, folding and time in one line."""
    parts = []
    for name, key, unit in (("Dice", "dice_mean", ""), ("landmarks", "tre", " mm")):
        if metrics.get(key) is not None:
            before = metrics.get(f"{key}_before")
            start = "" if before is None else f"{_score(before)} → "
            parts.append(f"{name} {start}{_score(metrics[key])}{unit}")
    parts.append(f"{percent(metrics['folds_percent'])} folds")
    parts.append(f"{metrics['seconds']['total']:.1f} s")
    # Lines may break between the parts, but not between a number and its unit.
    return " · ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)


def tiles(metrics: Metrics) -> str:
    """Make tiles of the scores of a pair, with those before registration."""
    items = []
    for name, key, unit, decimals in (("Dice", "dice_mean", "", 3), ("Landmark error", "tre", "mm", 2)):
        if metrics.get(key) is not None:
            before = metrics.get(f"{key}_before")
            note = "" if before is None else f"before {before:.{decimals}f}{f' {unit}' if unit else ''}"
            items.append((name, f"{metrics[key]:.{decimals}f}", unit, note))
    if metrics.get("hd95_mm_mean") is not None:
        items.append(
            ("HD95", number(metrics["hd95_mm_mean"]), "mm", f"{number(metrics['hd95_mean'])} voxel, Learn2Reg")
        )
    elif metrics.get("hd95_mean") is not None:  # results of earlier versions have no mm
        items.append(("HD95", number(metrics["hd95_mean"]), "voxel", "mean of labels"))
    fitted = metrics.get("fit") or {}
    if not items and fitted.get("after", {}).get("patterns") is not None:  # without labels and landmarks
        before = fitted.get("before", {}).get("patterns")
        word = "initial position" if metrics.get("initial_transform") else "before"
        note = "of local patterns" if before is None else f"{word} {number(before)}"
        items.append(("Similarity", number(fitted["after"]["patterns"]), "", note))
    items.append(("Folds", percent(metrics["folds_percent"]).removesuffix(" %"), "%", _in_body(metrics)))
    if metrics.get("std_log_jacobian") is not None:
        items.append(("Std log J", number(metrics["std_log_jacobian"]), "", "of log volume change"))
    if metrics.get("sdlogj") is not None:
        items.append(("SDlogJ", number(metrics["sdlogj"]), "", "as in Learn2Reg"))
    if metrics.get("inverse_error") is not None:
        items.append(("Inverse", number(metrics["inverse_error"]), "voxel", "mean error"))
    memory = metrics.get("peak_memory_mb")
    items.append(
        ("Time", f"{metrics['seconds']['total']:.1f}", "s", "" if memory is None else f"{memory:.0f} MB at most")
    )
    return html.tiles(items)


def overlap(metrics: Metrics) -> str:
    """Make the section of overlap: Dice of every label before and after registration, HD95, and their means."""
    after: Mapping[str, float | None] = metrics["dice"]
    before: Mapping[str, float | None] = metrics.get("dice_before", {})
    distance: Mapping[str, float | str | None] = metrics.get("hd95", {})
    in_mm: Mapping[str, float | str | None] = metrics.get("hd95_mm", {})
    rows = [
        _score_row(
            html.chip(label_colour(int(label)), label_name(metrics, label)),
            label_colour(int(label)),
            before.get(label),
            after[label],
            _distance(in_mm.get(label), distance.get(label)),
        )
        for label in sorted(after, key=int)
    ]
    mean_before, mean = metrics.get("dice_mean_before"), metrics.get("dice_mean")
    mean_distance = _distance(metrics.get("hd95_mm_mean"), metrics.get("hd95_mean"))
    rows.append(_score_row("<strong>mean</strong>", "var(--soft)", mean_before, mean, mean_distance))
    head = ["", "", "before", "after", "change", f"HD95 [{'mm' if in_mm else 'voxel'}]"]
    columns = len(head) if distance else len(head) - 1
    return html.section(
        "Overlap",
        "Dice of every label; the tick marks where it was before registration."
        + (" HD95 in mm; in small print in voxels, as in Learn2Reg." if in_mm else ""),
        f'<div class="scores">{html.table(head[:columns], [row[:columns] for row in rows], "Overlap by label")}</div>',
    )


def uncertainty(metrics: Metrics) -> str:
    """Make the section of uncertainty: what the standard deviation of the displacement means for every label."""
    found: Mapping[str, Any] = metrics["uncertainty"]
    rows = [
        (
            html.chip(label_colour(int(label)), label_name(metrics, label)),
            number(values["deviation"]),
            number(values["across"]),
            number(values["dice_loss"]),
        )
        for label, values in sorted(found["labels"].items(), key=lambda item: int(item[0]))
    ]
    head = ("", "deviation [mm]", "across the surface [mm]", "expected loss of Dice")
    return html.section(
        "Uncertainty",
        f"Standard deviation of the displacement: {number(found['median'])} mm (median), "
        f"below {number(found['p95'])} mm in 95 % of the voxels.",
        *([html.table(head, rows, "Uncertainty by label")] if rows else []),
    )


def progress(metrics: Metrics) -> str:
    """Make the section of convergence: a plot of the energy against the steps, and a table of the levels."""
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
                number(last["lam"]),
                number(last["energy"]),
                number(min(step["min_jacobian"] for step in steps)),
                f"{sum(step['solver_iterations'] for step in steps) / len(steps):.1f}",
            )
        )
    levels = html.table(("level", "grid", "steps", "λ", "energy", "min det J", "solver"), rows, "Levels")
    return html.section(
        "Convergence",
        "Energy after every step, in per cent of its level's first: whole (line) and its data term (dashed). "
        "Compare values within a level only: each level measures its energy anew, on finer images; its first step "
        "often gains most, later ones may rise a little, and a fixed number of steps is the usual end, not a failure. "
        f"Stopped: {metrics['stop']}.",
        convergence(history),
        f'<div class="levels">{levels}</div>',
    )


def times(metrics: Metrics) -> str:
    """Make the section of times: a bar for every stage."""
    seconds: Mapping[str, float] = metrics["seconds"]
    longest = max((value for name, value in seconds.items() if name != "total"), default=0.0) or 1.0
    rows = [
        (escape(name), html.bar(value / longest, None, "var(--accent)"), f"{value:.2f} s")
        for name, value in seconds.items()
        if name != "total"
    ]
    rows.append(("<strong>total</strong>", "", f"<strong>{seconds['total']:.2f} s</strong>"))
    if metrics.get("peak_memory_mb") is not None:
        rows.append(("peak memory", "", f"{metrics['peak_memory_mb']:.0f} MB"))
    return html.section("Time", "", f'<div class="times">{html.table((), rows, "Seconds of every stage")}</div>')


def settings(metrics: Metrics) -> str:
    """Make the section of settings, with the preset that they come from."""
    items = [(name.replace("_", " "), setting(value)) for name, value in metrics["settings"].items()]
    preset = metrics.get("preset")
    leads = [f"Preset {preset['name']}: {preset['because']}."] if preset else []
    if initial := metrics.get("initial_transform"):
        leads.append(f"Started from {initial['description']}.")
    return html.section("Settings", " ".join(leads), html.facts(items))


def provenance(metrics: Metrics) -> str:
    """Make the section of provenance: version, command, and inputs with their hashes."""
    items = [("version", f"learngn {metrics['version']}")]
    if metrics.get("date"):
        items.append(("date", str(metrics["date"])))
    if metrics.get("command"):
        items.append(("command", str(metrics["command"])))
    for name, source in metrics["inputs"].items():
        items.append((name.replace("_", " "), str(source["path"])))
        items.append(("sha256", str(source["sha256"])))
    return html.section("Provenance", "", f'<div class="provenance">{html.definitions(items)}</div>')


def _score_row(name: str, colour: str, before: float | None, after: float | None, distance: str) -> tuple[str, ...]:
    change = "–" if before is None or after is None else signed(after - before)
    return name, html.bar(after, before, colour), _score(before), _score(after), change, distance


def _distance(in_mm: float | str | None, voxels: float | str | None) -> str:
    """Format a distance as HTML: mm first, and voxels in small print; voxels alone in results of earlier versions."""
    return number(voxels) if in_mm is None else f"{number(in_mm)} <small>{number(voxels)}</small>"


def _in_body(metrics: Metrics) -> str:
    """Say how many folds are inside the body."""
    inside = metrics.get("folds_body_percent")
    if inside is None or not metrics["folds_percent"]:
        return "of all voxels"
    return f"{percent(inside)} of the body" if inside else "none in the body"


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def signed(change: float) -> str:
    """Format a change as HTML, coloured by its sign."""
    kind = "up" if change > 0.0005 else "down" if change < -0.0005 else "same"
    return f'<span class="{kind}">{change:+.3f}</span>'.replace("-0", "−0")


def number(value: float | str | None) -> str:
    """Format a number with three significant digits; a dash if it is not known."""
    if value is None:
        return "–"
    value = float(value)  # infinity is the string "inf" in JSON
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞"
    return f"{value:.3g}".replace("-", "−")


def percent(value: float) -> str:
    """Format a percentage with two significant digits; tiny ones as less than a thousandth of a per cent."""
    if 0 < value < 0.001:
        return "< 0.001 %"
    return f"{value:.2g} %" if value else "0 %"


def setting(value: Any) -> str:
    """Format the value of a setting."""
    if value is None or isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(setting(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
