"""Film strips: one slice of every frame of a series, as acquired and registered, with the outlines of labels."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import as_numpy
from learngn.geometry.image import Image
from learngn.report import html, volumes
from learngn.report.palette import label_colour
from learngn.report.slices import Picture, Slice, jpeg, slices_of
from learngn.series import SeriesMotion, carried_labels

_MOST = 16  # frames of a strip


def film(motion: SeriesMotion, labels: Sequence[Image] = ()) -> str:
    """Make the section of film strips, one for every orthogonal view.

    Parameters
    ----------
    motion : SeriesMotion
    labels : sequence of Image
        Label maps of all frames, if there are any.
    """
    count = len(motion)
    shown = np.unique(np.linspace(0, count - 1, min(count, _MOST)).round().astype(int)).tolist()
    window = volumes.window_of(as_numpy(motion.frames[shown[0]].data)[0, 0])
    still = _labels_of_reference(motion, labels)
    strips = []
    for cut in slices_of(motion.grid, still):
        figures = []
        for number in shown:
            frame, transform = motion.frames[number], motion.transforms[number]
            before = volumes.grey(cut.of(frame, outside=0.0), window)
            after = volumes.grey(cut.of(frame, transform, 0.0), window)
            if still is not None:
                before = _outlined(before, cut, labels[number])
                after = _outlined(after, cut, still)
            kind = ' class="chosen"' if number == motion.frame else ""
            pictures = _img(before, f"frame {number} as acquired") + _img(after, f"frame {number} registered")
            figures.append(f"<figure{kind}>{pictures}<figcaption>{number}</figcaption></figure>")
        name = f'<h3 class="strip-title">{escape(cut.view.name)}</h3>'
        strip = f'<div class="film" tabindex="0" role="region" aria-label="{escape(cut.view.name)} slices">'
        strips.append(f"{name}{strip}{''.join(figures)}</div>")
    lead = "Above every frame as acquired, below registered: there, what still moves is not explained by the motion."
    if len(shown) < count:
        lead += f" {len(shown)} of {count} frames."
    return html.section("Film strip", lead, *strips)


def _labels_of_reference(motion: SeriesMotion, labels: Sequence[Image]) -> Image | None:
    """Return the label map on the reference, from the frame that is nearest to it."""
    if not labels:
        return None
    if motion.frame is not None:
        return labels[motion.frame]
    return carried_labels(labels[0], motion.transforms[0], motion.grid)


def _outlined(picture: Picture, cut: Slice, labels: Image) -> Picture:
    """Return a picture in RGB with the outlines of labels in their colours."""
    values = cut.of(labels, outside=0.0)
    result = np.repeat(picture[..., None], 3, axis=-1)
    for label in np.unique(values[values != 0]).tolist():
        edge = _edge(values == label)
        colour = label_colour(int(label)).lstrip("#")
        result[edge] = [int(colour[i : i + 2], 16) for i in (0, 2, 4)]
    return result


def _edge(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the outermost pixels of a mask."""
    inner = mask.copy()
    for axis in (0, 1):
        for step in (1, -1):
            inner &= np.roll(mask, step, axis)
    return np.asarray(mask & ~inner)


def _img(picture: Picture, text: str) -> str:
    content = base64.b64encode(jpeg(picture)).decode()
    return f'<img alt="{escape(text, quote=True)}" src="data:image/jpeg;base64,{content}">'
