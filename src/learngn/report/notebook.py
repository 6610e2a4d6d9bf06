"""Images and registrations as notebooks show them: a few pictures and numbers, without scripts and other files."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from learngn.geometry.image import Image
from learngn.registration import Registration
from learngn.report.numbers import verdict
from learngn.report.slices import Picture, before_and_after, jpeg, slices_of, tones_of
from learngn.results import readable_spacing
from learngn.results.metrics import finest_level, scores_json

# Colours that are readable on a light and on a dark page.
_COLOURS = {"ok": "#1a7f4b", "check": "#b35c00", "failed": "#c4314b"}
_LEGEND = "Grey where both scans agree, orange where the fixed one is brighter, blue where the moving one is."


def registration_html(registration: Registration) -> str:
    """Return the verdict, slices before and after registration, and the scores, as HTML."""
    scores = registration.scores
    seconds = {"total": sum(registration.seconds.values())}
    numbers = [verdict({**scores_json(scores), "seconds": seconds})]
    used = registration.resolved.preset or registration.settings.features
    numbers.append(f"{used}, finest level {readable_spacing(finest_level(registration))}")
    found = before_and_after(registration)
    rows = [
        ("before", [before for _, before, _ in found]),
        ("after", [after for _, _, after in found]),
    ]
    return _block(
        f"<b>{escape(registration.title)}</b> {_verdict(registration)}",
        _pictures([cut.view.name for cut, _, _ in found], rows),
        *(escape(line) for line in [*numbers, _LEGEND]),
    )


def image_html(image: Image) -> str:
    """Return three slices of an image as HTML, of the first sample and channel."""
    first = Image(image.data[:1, :1], image.grid, image.labels)
    (tone,), cuts = tones_of(first), slices_of(image.grid)
    return _block(
        escape(repr(image)),
        _pictures([cut.view.name for cut in cuts], [("", [tone(cut.of(first, outside=0.0)) for cut in cuts])]),
    )


def _verdict(registration: Registration) -> str:
    found = registration.verdict
    if found is None:
        return ""
    reasons = "".join(f"<br>{escape(reason.text)}" for reason in found.reasons)
    return f'<b style="color:{_COLOURS[found.status]}">{found.status}</b>{reasons}'


def _pictures(names: Sequence[str], rows: Sequence[tuple[str, Sequence[Picture]]]) -> str:
    """Make a table of pictures: a column for every view, a row for every state."""
    lines = []
    for state, pictures in rows:
        cells = "".join(
            f'<td style="padding:2px;text-align:center">{_img(picture, f"{name} {state}".strip())}</td>'
            for name, picture in zip(names, pictures, strict=True)
        )
        head = f'<th style="font-weight:normal">{escape(state)}</th>' if state else ""
        lines.append(f"<tr>{head}{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _img(picture: Picture, text: str) -> str:
    return f'<img alt="{escape(text)}" src="data:image/jpeg;base64,{base64.b64encode(jpeg(picture)).decode()}">'


def _block(*parts: str) -> str:
    return f'<div class="learngn">{"".join(f"<div>{part}</div>" for part in parts)}</div>'
