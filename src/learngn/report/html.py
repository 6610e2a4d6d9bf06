"""HTML elements of a report's page. Everything is inline, so that the page needs no network and no other file."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any
from urllib.parse import quote

# The policy of the page forbids all requests to the network.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(title: str, summary: str, header: str, sections: Iterable[str], files: Sequence[str] = ()) -> str:
    """Make the whole page.

    Parameters
    ----------
    title, summary : str
        Plain text; the summary is the description of the page for search and link previews.
    header : str
        HTML above the sections.
    sections : iterable of str
        HTML.
    files : sequence of str
        Names of the package's styles and scripts for the page, in the order in which they apply.
    """
    style = "".join(asset(name) for name in ("page.css", *files) if name.endswith(".css"))
    code = "".join(f"<script>\n{asset(name)}</script>\n" for name in files if name.endswith(".js"))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="description" content="{escape(summary, quote=True)}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"<header>{header}</header>\n" + "\n".join(sections) + f"\n</main>\n{code}</body>\n</html>\n"
    )


def asset(name: str) -> str:
    """Read one of the package's files for pages."""
    return files("learngn.report").joinpath("page", name).read_text(encoding="utf-8")


def heading(kind: str, title: str, notes: Iterable[str]) -> str:
    """Make the heading of a page: its kind, its title (HTML), and notes."""
    remarks = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    return f'<p class="kind">{escape(kind)}</p><h1>{title}</h1>{remarks}'


def columns(*sections: str) -> str:
    """Place sections side by side where the page is wide enough."""
    return f'<div class="columns">{"".join(sections)}</div>' if len(sections) > 1 else "".join(sections)


def section(title: str, lead: str, *parts: str) -> str:
    """Make a section of a title, a sentence of explanation, and its parts (HTML)."""
    identity = re.sub(r"\W+", "-", title.lower())
    sentence = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f'<section id="{identity}"><h2>{escape(title)}</h2>{sentence}{"".join(parts)}</section>'


def tiles(items: Iterable[tuple[str, str, str, str]]) -> str:
    """Make tiles of the main numbers: (name, value, unit, note), all plain text."""
    return (
        '<dl class="tiles">'
        + "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}{f' <small>{escape(unit)}</small>' if unit else ''}"
            f"<em>{escape(note)}</em></dd></div>"
            for name, value, unit, note in items
        )
        + "</dl>"
    )


def link(text: str, target: str | None) -> str:
    """Make a link to a page by its path relative to this one; only the text without a path."""
    return escape(text) if target is None else f'<a href="{escape(quote(target), quote=True)}">{escape(text)}</a>'


def download(text: str, name: str, kind: str, content: str) -> str:
    """Make a button that saves a file, whose content is a part of the page.

    Parameters
    ----------
    text : str
        Text of the button.
    name : str
        Proposed name of the file.
    kind : str
        Media type.
    content : str
    """
    encoded = base64.b64encode(content.encode("utf-8")).decode("ascii")
    address = f"data:{kind};charset=utf-8;base64,{encoded}"
    return f'<a class="button" download="{escape(name, quote=True)}" href="{address}">{escape(text)}</a>'


def chip(colour: str, name: str) -> str:
    """Make a chip that shows a colour and its name."""
    return f'<span class="chip"><i style="background:{colour}"></i>{escape(name)}</span>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """Make a table of HTML cells; the first column is text, the others are numbers."""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{cells[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in cells[1:]) + "</tr>"
        for cells in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption, quote=True)}">'
        f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def bar(value: float | None, before: float | None, colour: str) -> str:
    """Make a bar of length `value` (0 to 1) with a tick at `before`."""
    tick = "" if before is None else f'<b style="left:{100 * before:.1f}%"></b>'
    return f'<div class="meter"><i style="width:{100 * (value or 0):.1f}%;background:{colour}"></i>{tick}</div>'


def definitions(items: Iterable[tuple[str, str]]) -> str:
    """Make a list of names and values, both plain text, in two columns."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in items) + "</dl>"


def facts(items: Iterable[tuple[str, str]]) -> str:
    """Make a list of many short names and values, both plain text, in as many columns as fit."""
    inner = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in items)
    return f'<dl class="facts">{inner}</dl>'


def data(identity: str, value: Any) -> str:
    """Embed values for the page's scripts, as JSON."""
    # "<" is escaped, so that no name can end the element.
    content = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{identity}">{content}</script>\n'


def binary(parts: Mapping[str, bytes], prefix: str = "volume") -> str:
    """Embed bytes for the page's scripts, in base64, in elements with the id ``PREFIX-NAME``."""
    return "".join(
        f'<script type="application/octet-stream" id="{escape(f"{prefix}-{name}", quote=True)}">'
        f"{base64.b64encode(content).decode('ascii')}</script>\n"
        for name, content in parts.items()
    )
