"""Plots: the convergence of a registration, and how the scores of many pairs are distributed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.report import svg

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 600.0, 260.0, 48.0, 8.0, 26.0, 48.0
_STRIP, _GUTTER = 300.0, 10.0  # of a distribution: width, and room at its sides


def convergence(history: Sequence[Mapping[str, Any]]) -> str:
    """Energy after every step in per cent of its level's first, as levels differ in scale; rejected steps hollow."""
    position: list[int] = list(range(1, len(history) + 1))
    whole, data = _relative(history, "energy"), _relative(history, "data_energy")
    low = float(np.nanmin([*whole, *data]))
    high = max(100.0, float(np.nanmax(whole)))
    marks = svg.ticks(low, high)
    low = min(low, marks[0])
    across = (_WIDTH - _LEFT - _RIGHT) / max(len(history), 1)

    def x(step: float) -> float:
        return _LEFT + (step - 0.5) * across

    def y(value: float) -> float:
        return _TOP + (high - value) / max(high - low, 1e-9) * (_HEIGHT - _TOP - _BOTTOM)

    shapes = [svg.line(_LEFT, y(m), _WIDTH - _RIGHT, y(m), "rule") for m in marks]
    shapes += [svg.text(_LEFT - 8, y(m) + 4, f"{m:g}", "end") for m in marks]
    for _, group in groupby(position, key=lambda p: history[p - 1]["level"]):
        steps = list(group)
        shapes += _level(steps, history, whole, data, x, y)
        shapes.append(svg.text(x((steps[0] + steps[-1]) / 2), _HEIGHT - 28, f"{len(steps)}"))
        if steps[0] > 1:
            edge = x(steps[0] - 0.5)
            shapes.append(svg.line(edge, _TOP - 20, edge, _HEIGHT - _BOTTOM, "edge"))
    shapes.append(svg.text(_LEFT, 14, "%", "end"))
    shapes.append(svg.text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 4, "steps of every level"))
    return svg.drawing((_WIDTH, _HEIGHT), shapes, "Energy after every step, in per cent of its level's first")


def _level(
    steps: list[int], history: Sequence[Mapping[str, Any]], whole: list[float], data: list[float], x: Any, y: Any
) -> list[str]:
    shapes = [
        svg.text(x((steps[0] + steps[-1]) / 2), 14, f"1/{history[steps[0] - 1]['stride']:g}"),
        svg.polyline([(x(s), y(data[s - 1])) for s in steps if np.isfinite(data[s - 1])], "data"),
        svg.polyline([(x(s), y(whole[s - 1])) for s in steps if np.isfinite(whole[s - 1])], "curve"),
    ]
    for s in steps:
        if np.isfinite(whole[s - 1]):
            title = f"step {s}: energy {history[s - 1]['energy']:.4g}"
            kind = "dot" if history[s - 1]["accepted"] else "dot rejected"
            shapes.append(svg.circle(x(s), y(whole[s - 1]), 3, kind, title))
    return shapes


def _relative(history: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    """One energy of every step in per cent of the whole energy of its level's first step."""
    result = []
    for _, group in groupby(history, key=lambda step: step["level"]):
        steps = list(group)
        first = _number(steps[0]["energy"])
        scale = 100 / first if first > 0 else 100.0
        result += [_number(step[key]) * scale for step in steps]
    return result


def _number(value: Any) -> float:
    """A number from JSON, where NaN is null and infinity a string that no plot can show."""
    return float(value) if isinstance(value, int | float) else float("nan")


def distribution(
    values: Sequence[float],
    names: Sequence[str],
    label: str,
    *,
    before: Sequence[float] | None = None,
    span: tuple[float, float] | None = None,
) -> str:
    """Every value as a dot, their quartiles as a box; those before registration above, paler.

    Parameters
    ----------
    values : sequence of float
        NaN and infinity are left out.
    names : sequence of str
        Of the pairs, shown by the pointer.
    label : str
        For screen readers.
    before : sequence of float, optional
    span : (float, float), optional
        Ends of the axis; by default those of the values.
    """
    rows = [(before, "before")] if before is not None else []
    rows.append((values, "after"))
    known = np.array([v for row, _ in rows if row is not None for v in row if np.isfinite(v)])
    if not known.size:
        return ""
    low, high = span or _padded(float(known.min()), float(known.max()))
    height = 34.0 * len(rows) + 22

    def x(value: float) -> float:
        return _GUTTER + (value - low) / (high - low) * (_STRIP - 2 * _GUTTER)

    marks = svg.ticks(low, high, 4)
    shapes = [svg.line(x(m), 2, x(m), height - 20, "rule") for m in marks]
    shapes += [svg.text(x(m), height - 6, f"{m:g}") for m in marks]
    for number, (row, kind) in enumerate(rows):
        shapes += _strip(np.array(row, dtype=np.float64), names, 34.0 * number + 18, x, kind)
    return svg.drawing((_STRIP, height), shapes, label, "strip")


def _strip(values: NDArray[np.float64], names: Sequence[str], y: float, x: Any, kind: str) -> list[str]:
    known = np.flatnonzero(np.isfinite(values))
    if not known.size:
        return []
    first, middle, third = np.percentile(values[known], (25, 50, 75))
    shapes = [svg.box(x(first), y - 12, x(third) - x(first), 24, f"box {kind}")]
    # Neighbours in value lie at different heights: the golden ratio spreads any number of them evenly.
    order = known[np.argsort(values[known], kind="stable")]
    for rank, index in enumerate(order):
        height = y + 18 * ((rank * 0.618034) % 1 - 0.5)
        shapes.append(svg.circle(x(values[index]), height, 2.6, f"dot {kind}", f"{names[index]}: {values[index]:.4g}"))
    shapes.append(svg.line(x(middle), y - 13, x(middle), y + 13, f"median {kind}"))
    return shapes


def _padded(low: float, high: float) -> tuple[float, float]:
    pad = 0.04 * (high - low) or 0.05 * abs(high) or 0.5
    return (max(0.0, low - pad) if low >= 0 else low - pad), high + pad
