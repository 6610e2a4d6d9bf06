"""SVG shapes of the plots. Shapes have classes instead of styles, so that the page sets their colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape


def drawing(size: tuple[float, float], shapes: Iterable[str], title: str, kind: str = "plot") -> str:
    """Make a drawing that scales with the page; `title` is its description for screen readers."""
    width, height = size
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title, quote=True)}">'
        f"{''.join(shapes)}</svg>"
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Draw a straight line."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def polyline(points: Sequence[tuple[float, float]], kind: str) -> str:
    """Draw a line through points."""
    return f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def circle(x: float, y: float, radius: float, kind: str, title: str = "", pair: int | None = None) -> str:
    """Draw a dot; `title` is shown at the pointer, `pair` is the number of the pair that it represents."""
    inner = f"<title>{escape(title)}</title>" if title else ""
    marked = "" if pair is None else f' data-pair="{pair}"'
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"{marked}>{inner}</circle>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    """Draw a rectangle."""
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}"/>'


def text(x: float, y: float, content: str, anchor: str = "middle", kind: str = "label") -> str:
    """Draw a line of text whose start, middle or end is at x."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return about `count` round numbers from `low` to `high`."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]
