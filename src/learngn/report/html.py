"""HTML: the pieces of which a report's page is put together. Everything is inline: no network, no other file."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from matplotlib import rc_context
from matplotlib.colors import Colormap, to_hex
from matplotlib.figure import Figure

from learngn.report.planes import Plane


@dataclass(frozen=True)
class Panel:
    """A picture of one plane with its caption."""

    figure: Figure
    plane: Plane
    caption: str

    def html(self) -> str:
        """A ``<figure>`` with the plane's marks laid over it; panels of one row get the same height."""
        marks = self.plane.marks
        letters = (
            ""
            if marks is None
            else "".join(
                f'<span class="mark {side}">{getattr(marks, side)}</span>'
                for side in ("left", "right", "top", "bottom")
            )
        )
        alt = escape(f"{self.caption}, {self.plane.name}", quote=True)
        return (
            f'<figure class="panel" style="--aspect:{self.plane.aspect:.4f}">'
            f'<div class="frame">{_png(self.figure, alt)}{letters}</div>'
            f"<figcaption>{escape(self.caption)}</figcaption></figure>"
        )


def page(title: str, verdict: str, notes: Iterable[str], sections: Iterable[str], *, heading: str) -> str:
    """The whole page; `heading` is HTML, the other texts are plain."""
    style = files("learngn.report").joinpath("page.css").read_text(encoding="utf-8")
    remarks = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f'<header>{heading}<p class="verdict">{escape(verdict)}</p>{remarks}</header>\n'
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(title: str, lead: str, *parts: str) -> str:
    """A section: its title, one sentence that says how to read it, and its parts (HTML)."""
    identity = re.sub(r"\W+", "-", title.lower())
    sentence = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f'<section id="{identity}"><h2>{escape(title)}</h2>{sentence}{"".join(parts)}</section>'


def row(panels: Sequence[Panel], *, comparison: bool = False) -> str:
    """Panels side by side; those of a comparison stay together on a phone, the first one large."""
    kind = "row comparison" if comparison else "row"
    return f'<div class="{kind}">{"".join(panel.html() for panel in panels)}</div>'


def colour_bar(colours: Colormap, low: str, middle: str, high: str, extra: str = "") -> str:
    """A legend of a colour scale; `extra` is HTML set beside it."""
    stops = ",".join(to_hex(colours(i / 16)) for i in range(17))
    return (
        f'<div class="legend"><span>{escape(low)}</span><div class="scale">'
        f'<div class="bar" style="background:linear-gradient(90deg,{stops})"></div>'
        f"<small>{escape(middle)}</small></div><span>{escape(high)}</span>{extra}</div>"
    )


def chips(items: Iterable[tuple[str, str]]) -> str:
    """A legend of (colour, name)."""
    return '<div class="chips">' + "".join(chip(colour, name) for colour, name in items) + "</div>"


def chip(colour: str, name: str) -> str:
    """One colour and its name."""
    return f'<span class="chip"><i style="background:{colour}"></i>{escape(name)}</span>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of HTML cells; the first column is text, the others are numbers."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for cells in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def bar(value: float | None, before: float | None, colour: str) -> str:
    """A bar of length `value` (0 to 1) with a tick where it was `before`."""
    tick = "" if before is None else f'<b style="left:{100 * before:.1f}%"></b>'
    return f'<div class="meter"><i style="width:{100 * (value or 0):.1f}%;background:{colour}"></i>{tick}</div>'


def definitions(items: Iterable[tuple[str, str]]) -> str:
    """Names and values, both plain text."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in items) + "</dl>"


def svg(figure: Figure, alt: str) -> str:
    """A figure as inline SVG with selectable text."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "learngn"}):
        figure.savefig(buffer, format="svg", metadata=nothing)
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    # Inline, HTML knows the namespaces; the fixed size would not shrink with the page.
    drawing = re.sub(r' xmlns(:\w+)?="[^"]*"', "", drawing)
    drawing = re.sub(r'^<svg([^>]*?) width="[^"]*"', r"<svg\1", drawing)
    drawing = re.sub(r'^<svg([^>]*?) height="[^"]*"', r"<svg\1", drawing)
    return drawing.replace("<svg", f'<svg role="img" aria-label="{escape(alt, quote=True)}"', 1)


def _png(figure: Figure, alt: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="black", pil_kwargs={"compress_level": 3})
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{alt}" src="data:image/png;base64,{data}">'
