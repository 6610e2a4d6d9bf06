"""Figures: from slices to matplotlib figures. Panels carry no text, which the page sets in its own type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from contourpy import LineType, contour_generator
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from learngn.report.planes import Plane

# Categorical, told apart on grey and on black; a label keeps its colour in every figure and table.
PALETTE = (
    "#e6584f", "#4aa3ff", "#3fc380", "#f5b83d", "#b07cf0", "#22c7c7", "#ff8f3f", "#f277b6",
    "#a3d13f", "#7d8cff", "#d6a77a", "#5fd3a6", "#e0dc5a", "#c9556f", "#79bfe8", "#bdb4c6",
)  # fmt: skip

# Legible on white and on black alike, so that one figure serves both themes.
_INK, _LINE = "#808894", "#3b82f6"

LENGTH: Colormap = LinearSegmentedColormap.from_list(
    "length", ["#0d1017", "#1d3a63", "#1f7a8c", "#4fc08d", "#f0e27a"], N=256
)
LOG_JACOBIAN: Colormap = LinearSegmentedColormap.from_list(
    "log_jacobian", ["#a8e6ff", "#2f8fe0", "#17365c", "#0d1017", "#5c2417", "#e0662f", "#ffd9a0"], N=256
)
FOLD = "#ff2fd0"

_PIXELS = 560
_DPI = 100


def label_colour(label: int) -> str:
    """Colour of a label, ``"#rrggbb"``."""
    return PALETTE[(label - 1) % len(PALETTE)]


def scan_panel(scan: NDArray[Any], plane: Plane, window: tuple[float, float]) -> Figure:
    """A slice in grey; `window` holds the values that are black and white."""
    figure, axes = _panel(plane, scan.shape)
    axes.imshow(scan, cmap="gray", vmin=window[0], vmax=window[1], interpolation="bilinear", **_fill(scan))
    return figure


def label_panel(labels: NDArray[Any], plane: Plane) -> Figure:
    """A slice of a label map, its labels filled with their colours."""
    figure, axes = _panel(plane, labels.shape)
    axes.imshow(_coloured(labels), interpolation="nearest", **_fill(labels))
    return figure


def checkerboard(first: NDArray[Any], second: NDArray[Any], plane: Plane, fields: int = 8) -> NDArray[Any]:
    """Two slices of the same plane in alternating square fields, `fields` along the longer side."""
    side = max(plane.size) / fields
    down, right = (
        ((np.arange(count) + 0.5) * size / count // side)
        for count, size in zip(first.shape, reversed(plane.size), strict=True)
    )
    return np.where((down[:, None] + right[None]) % 2 == 0, first, second)


def add_contours(
    figure: Figure, labels: NDArray[Any], *, colour: str | None = None, width: float, alpha: float = 1.0
) -> None:
    """Draw the outlines of a label map onto a panel, in the labels' colours or in one colour."""
    axes = figure.axes[0]
    for value in np.unique(labels):
        if value != 0:
            # A rim of background closes the outlines at the edge of the slice.
            mask = np.pad(labels == value, 1).astype(np.float32)
            down, right = (np.arange(-1, count - 1) for count in mask.shape)
            lines: Any = contour_generator(right, down, mask, line_type=LineType.Separate).lines(0.5)
            ink = colour or label_colour(int(value))
            axes.add_collection(LineCollection(lines, colors=ink, linewidths=width, alpha=alpha), autolim=False)


def displacement_panel(
    length: NDArray[Any], shift: tuple[NDArray[Any], NDArray[Any]], plane: Plane, top: float
) -> Figure:
    """Length of the displacement [mm] as colour up to `top`, and a lattice that it deforms.

    The lattice shows ``x + u(x)`` within the plane without the plane's median shift, which would push it off the page.
    """
    figure, axes = _panel(plane, length.shape)
    axes.imshow(length, cmap=LENGTH, vmin=0, vmax=top, interpolation="bilinear", **_fill(length))
    height, width = length.shape
    x = np.arange(width)[None] + shift[0] - np.median(shift[0])
    y = np.arange(height)[:, None] + shift[1] - np.median(shift[1])
    # Lines a fixed number of millimetres apart in both directions: squares where nothing is deformed.
    gap = max(plane.size) / 28
    for column in _lattice(width, plane.size[0], gap):
        axes.plot(x[:, column], y[:, column], color="white", alpha=0.6, linewidth=0.9)
    for row in _lattice(height, plane.size[1], gap):
        axes.plot(x[row], y[row], color="white", alpha=0.6, linewidth=0.9)
    return figure


def jacobian_panel(determinant: NDArray[Any], plane: Plane, top: float) -> Figure:
    """Logarithm of the Jacobian determinant between -`top` and `top`; folds (determinant ≤ 0) in their own colour."""
    figure, axes = _panel(plane, determinant.shape)
    folds = determinant <= 0
    logarithm = np.log(np.where(folds, 1.0, determinant))
    axes.imshow(logarithm, cmap=LOG_JACOBIAN, vmin=-top, vmax=top, interpolation="bilinear", **_fill(folds))
    if folds.any():
        marked = np.where(folds, 1.0, np.nan)
        axes.imshow(marked, cmap=ListedColormap([FOLD]), interpolation="nearest", **_fill(folds))
        # Single voxels would be lost in a large slice.
        rows, columns = np.nonzero(folds)
        axes.plot(columns, rows, linestyle="", marker="s", markersize=2.5, color=FOLD)
    return figure


def convergence(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Energy after every step in per cent of its level's first, as levels differ in scale; rejected steps hollow."""
    figure = Figure(figsize=(5.4, 2.7), dpi=_DPI)
    figure.patch.set_alpha(0)
    axes = figure.add_axes((0.12, 0.17, 0.86, 0.74))
    axes.patch.set_alpha(0)
    levels = np.array([step["level"] for step in history])
    energy, data = (np.array([step[key] for step in history], dtype=np.float64) for key in ("energy", "data_energy"))
    accepted = np.array([step["accepted"] for step in history], dtype=bool)
    position = np.arange(1, len(history) + 1)
    for level in np.unique(levels):
        here = levels == level
        first = int(here.argmax())
        scale = 100 / energy[first] if energy[first] > 0 else 100.0
        at, whole, taken = position[here], energy[here] * scale, accepted[here]
        axes.plot(at, data[here] * scale, color=_INK, linewidth=1, linestyle=(0, (3, 2)))
        axes.plot(at, whole, color=_LINE, linewidth=1.8)
        axes.plot(at[taken], whole[taken], "o", color=_LINE, markersize=3.5)
        axes.plot(at[~taken], whole[~taken], "o", color=_LINE, markersize=4.5, markerfacecolor="none")
        if first:
            axes.axvline(first + 0.5, color=_INK, linewidth=0.6, alpha=0.5)
        axes.annotate(
            f"1/{history[first]['stride']:g}",
            (float(at.mean()), 1.02),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            color=_INK,
            fontsize=8,
        )
    axes.set_xlabel("iteration", color=_INK, fontsize=9)
    axes.set_ylabel("energy [% of level's first]", color=_INK, fontsize=9)
    axes.tick_params(colors=_INK, labelsize=8, width=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set(color=_INK, linewidth=0.6)
    return figure


def _panel(plane: Plane, shape: tuple[int, ...]) -> tuple[Figure, Axes]:
    """An empty figure of the plane's proportions whose axes fill it and count pixels, rows downwards."""
    scale = _PIXELS / max(plane.size) / _DPI
    width, height = (max(0.4, side * scale) for side in plane.size)
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="black")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_autoscale_on(False)
    axes.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))
    return figure, axes


def _fill(page: NDArray[Any]) -> dict[str, Any]:
    rows, columns = page.shape
    return {"aspect": "auto", "extent": (-0.5, columns - 0.5, rows - 0.5, -0.5)}


def _coloured(labels: NDArray[Any]) -> NDArray[np.uint8]:
    page = np.zeros((*labels.shape, 3), dtype=np.uint8)
    for value in np.unique(labels):
        if value != 0:
            page[labels == value] = tuple(bytes.fromhex(label_colour(int(value))[1:]))
    return page


def _lattice(count: int, size: float, gap: float) -> NDArray[np.intp]:
    lines = max(2, round(size / gap))
    return np.unique(np.linspace(0, count - 1, lines).round().astype(np.intp))
