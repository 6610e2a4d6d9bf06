"""Plot of values over the frames of a series: a line for every label, point or parameter."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from learngn.report import svg

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 600.0, 240.0, 52.0, 10.0, 22.0, 34.0
_MOST_MARKS = 12  # numbers along the axis of time

Line = tuple[str, str, Sequence[float]]
"""Name, colour and values, frame by frame."""


def lines(series: Sequence[Line], unit: str, label: str) -> str:
    """Plot lines over the numbers of the frames.

    Parameters
    ----------
    series : sequence of (name, colour, values)
        At least one, all with as many values as there are frames.
    unit : str
        Unit of the values, shown above the axis.
    label : str
        Description for screen readers.

    Returns
    -------
    str
        SVG; the name of a line and a value are shown at the pointer.
    """
    count = len(series[0][2])
    low, high = min(min(values) for _, _, values in series), max(max(values) for _, _, values in series)
    pad = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    low, high = low - pad, high + pad

    def x(frame: int) -> float:
        return _LEFT + (frame + 0.5) / count * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    shapes = []
    for mark in svg.ticks(low, high):
        shapes.append(svg.line(_LEFT, y(mark), _WIDTH - _RIGHT, y(mark), "rule"))
        shapes.append(svg.text(_LEFT - 8, y(mark) + 4, f"{mark:g}", "end"))
    every = -(-count // _MOST_MARKS)
    shapes += [svg.text(x(frame), _HEIGHT - 18, f"{frame}") for frame in range(0, count, every)]
    shapes.append(svg.text(_LEFT - 8, 12, unit, "end"))
    shapes.append(svg.text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 3, "frame"))
    for name, colour, values in series:
        dots = [svg.circle(x(f), y(v), 3, "dot", f"{name}, frame {f}: {v:.4g} {unit}") for f, v in enumerate(values)]
        curve = svg.polyline([(x(f), y(v)) for f, v in enumerate(values)], "curve")
        shapes.append(f'<g style="--tone:{escape(colour, quote=True)}">{curve}{"".join(dots)}</g>')
    return svg.drawing((_WIDTH, _HEIGHT), shapes, label, "plot lines")
