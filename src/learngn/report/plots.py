"""Plots of the convergence of a registration, and of the distribution of scores over many pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learngn.report import svg

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 600.0, 260.0, 48.0, 8.0, 26.0, 48.0
_STRIP, _MARGIN = 300.0, 10.0  # width of a distribution, and margin at its sides


class _Size(NamedTuple):
    """Sizes of a distribution: height of a row, height below the rows, radius of a dot."""

    row: float
    foot: float
    dot: float


_WIDE, _SLIM = _Size(40.0, 20.0, 3.0), _Size(15.0, 1.0, 2.0)


def convergence(history: Sequence[Mapping[str, Any]]) -> str:
    """Plot the energy after every step in per cent of its level's first; rejected steps are hollow dots.

    The energies of different levels have different scales.
    """
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
    """Compute an energy of every step in per cent of the total energy of its level's first step."""
    result = []
    for _, group in groupby(history, key=lambda step: step["level"]):
        steps = list(group)
        first = _number(steps[0]["energy"])
        scale = 100 / first if first > 0 else 100.0
        result += [_number(step[key]) * scale for step in steps]
    return result


def _number(value: Any) -> float:
    """Convert a number from JSON, where NaN is null and infinity a string, to a float that may be NaN."""
    return float(value) if isinstance(value, int | float) else float("nan")


def distribution(
    values: Sequence[float],
    names: Sequence[str],
    label: str,
    *,
    before: Sequence[float] | None = None,
    span: tuple[float, float] | None = None,
    slim: bool = False,
) -> str:
    """Plot every value as a dot and the quartiles as a box; values before registration are above, paler.

    Parameters
    ----------
    values : sequence of float
        Values; NaN and infinity are ignored.
    names : sequence of str
        Names of the pairs, shown at the pointer.
    label : str
        Description for screen readers.
    before : sequence of float, optional
    span : (float, float), optional
        Ends of the axis; by default from the values.
    slim : bool
        Whether to draw it for the row of a table, low and without numbers at the axis.

    Returns
    -------
    str
        SVG whose dots have the attribute ``data-pair``; empty if there is no value.
    """
    rows = [(before, "before")] if before is not None else []
    rows.append((values, "after"))
    known = np.array([v for row, _ in rows if row is not None for v in row if np.isfinite(v)])
    if not known.size:
        return ""
    low, high = span or _padded(float(known.min()), float(known.max()))
    size = _SLIM if slim else _WIDE
    height = size.row * len(rows) + size.foot

    def x(value: float) -> float:
        return _MARGIN + (value - low) / (high - low) * (_STRIP - 2 * _MARGIN)

    marks = svg.ticks(low, high, 4)
    shapes = [svg.line(x(m), 1, x(m), height - size.foot, "rule") for m in marks]
    if not slim:
        shapes += [svg.text(x(m), height - 4, f"{m:g}") for m in marks]
    for number, (row, kind) in enumerate(rows):
        shapes += _strip(np.array(row, dtype=np.float64), names, size.row * (number + 0.5), x, kind, size)
    return svg.drawing((_STRIP, height), shapes, label, "strip")


def scatter(before: Sequence[float], after: Sequence[float], names: Sequence[str], label: str) -> str:
    """Plot scores from 0 to 1 after registration (vertical) against before; dots above the diagonal have improved."""
    side, left, bottom = 220.0, 34.0, 34.0

    def place(first: float, second: float) -> tuple[float, float]:
        return left + first * side, 8 + (1 - second) * side

    shapes = []
    for mark in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = place(mark, mark)
        shapes += [svg.line(x, 8, x, 8 + side, "rule"), svg.line(left, y, left + side, y, "rule")]
        if mark in (0.0, 0.5, 1.0):
            shapes += [svg.text(x, side + 24, f"{mark:g}"), svg.text(left - 6, y + 4, f"{mark:g}", "end")]
    shapes.append(svg.line(*place(0, 0), *place(1, 1), "edge"))
    shapes += [svg.text(left + side / 2, side + 38, "before"), svg.text(left + 6, 22, "after", "start")]
    for index, (first, second) in enumerate(zip(before, after, strict=True)):
        if np.isfinite(first) and np.isfinite(second):
            title = f"{names[index]}: {first:.3f} before, {second:.3f} after"
            shapes.append(svg.circle(*place(first, second), 3.4, "dot after", title, index))
    return svg.drawing((left + side + 10, side + 8 + bottom), shapes, label, "scatter")


def _strip(values: NDArray[np.float64], names: Sequence[str], y: float, x: Any, kind: str, size: _Size) -> list[str]:
    known = np.flatnonzero(np.isfinite(values))
    if not known.size:
        return []
    first, middle, third = np.percentile(values[known], (25, 50, 75))
    half = 0.36 * size.row
    shapes = [svg.box(x(first), y - half, x(third) - x(first), 2 * half, f"box {kind}")]
    # Dots of similar value are drawn at different heights: the golden ratio spreads any number of them evenly.
    order = known[np.argsort(values[known], kind="stable")]
    for rank, index in enumerate(order):
        height = y + 1.5 * half * ((rank * 0.618034) % 1 - 0.5)
        title = f"{names[index]}: {values[index]:.4g}"
        shapes.append(svg.circle(x(values[index]), height, size.dot, f"dot {kind}", title, int(index)))
    shapes.append(svg.line(x(middle), y - half, x(middle), y + half, f"median {kind}"))
    return shapes


def _padded(low: float, high: float) -> tuple[float, float]:
    pad = 0.04 * (high - low) or 0.05 * abs(high) or 0.5
    return (max(0.0, low - pad) if low >= 0 else low - pad), high + pad
