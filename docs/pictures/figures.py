"""Figures of pairs, drawn by matplotlib: channels of MIND, pull-back, presets, before and after, a template."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill
from typing import Any

import numpy as np
import scenes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from panel import INK, panels

import learngn
from learngn import Image
from learngn.arrays import as_numpy
from learngn.atlas import build_template
from learngn.features import parse_features
from learngn.io import Subject
from learngn.phantom import Phantom, abdomen
from learngn.registration import Request, recognise
from learngn.report.palette import LABELS
from learngn.report.slices import before_and_after, slices_of, tones_of

ACCENT = "#0b7a75"
_ASPECT = 1.24  # of a panel of the presets
_PLANE = (192, 132)


def mind() -> Figure:
    """Channels of MIND-SSC of one subject in two contrasts."""
    seed = scenes.SEEDS[0]
    ct, other = abdomen(scenes.SHAPE, seed=seed, noise=6), scenes.mr(seed=seed)
    computed = parse_features("mind")(ct.scan, other.scan, float(min(ct.scan.grid.spacing)))
    cut = slices_of(ct.scan.grid, ct.labels)[0]
    figure = panels(2, 5, 360 / 290)
    rows = zip(figure.axes_rows, ("CT", "MR-like contrast"), (ct.scan, other.scan), computed, strict=True)
    for row, name, scan, channels in rows:
        row[0].imshow(tones_of(scan)[0](cut.of(scan, outside=0.0)), cmap="gray")
        row[0].set_ylabel(name, **INK)
        for panel, index in zip(row[1:], (0, 3, 6, 9), strict=True):
            values = np.ascontiguousarray(as_numpy(channels.data)[0, index])
            shown = cut.of(Image.from_array(values, channels.grid), outside=1.0)
            panel.imshow(shown, cmap="gray", vmin=0, vmax=1)
            if row is figure.axes_rows[0]:
                panel.set_title(f"channel {index + 1}", fontsize=10, **INK)
    figure.axes_rows[0][0].set_title("scan", fontsize=10, **INK)
    return figure


def pull_back() -> Figure:
    """Points of the fixed scan, and where the transform finds their values in the moving scan."""
    fixed, moving = scenes.pair(_PLANE)
    moving = scenes.moved(moving, (-26.0, 14.0))
    found = learngn.register(fixed.scan, moving.scan)
    figure = panels(1, 2, 360 / 250, width=10.5)
    left, right = figure.axes_rows[0]
    for panel, phantom, title in (
        (left, fixed, "fixed scan, and points p of its grid"),
        (right, moving, "moving scan: arrows from p to T(p), where values are read"),
    ):
        low, high = (phantom.scan.grid.index_to_world(ends) for ends in _ends(phantom.scan))
        grey = tones_of(phantom.scan)[0](phantom.scan.data[0, 0])
        panel.imshow(grey.T, cmap="gray", origin="lower", extent=(low[0], high[0], low[1], high[1]))
        panel.set_title(title, fontsize=10.5, **INK)
        low, high = (fixed.scan.grid.index_to_world(ends) for ends in _ends(fixed.scan))
        panel.set(xlim=(high[0], low[0]), ylim=(low[1], high[1]), facecolor="black")  # the patient's right on the left
    points = _centres(fixed.labels, (1, 2, 3))
    for number, (point, there) in enumerate(zip(points, found.transform.map_points(points), strict=True)):
        colour = LABELS[(0, 3, 1)[number]]
        for panel in (left, right):
            panel.plot(*point, "o", ms=9, mfc="none", mec=colour, mew=2)
        right.plot(*there, "o", ms=6, color=colour)
        right.annotate("", there, point, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2, "shrinkA": 5})
        back = ConnectionPatch(
            there, point, "data", "data", axesA=right, axesB=left, color=colour, lw=1.3, ls=(0, (4, 3)),
            arrowstyle="-|>", shrinkA=6, shrinkB=7, connectionstyle=f"arc3,rad={0.2 - 0.12 * number}",
        )  # fmt: skip
        figure.add_artist(back)
    figure.supxlabel("dashed: the value that is read there goes to p of the result", fontsize=10.5, **INK)
    return figure


def presets() -> Figure:
    """A pair of every kind, and the preset that is recognised from it."""
    ct, flat = scenes.pair(), scenes.pair(_PLANE)
    other = [scenes.mr(seed=seed) for seed in scenes.SEEDS]
    pairs = (
        ct, [scenes.chest(each) for each in ct], other, [scenes.head(seed=seed) for seed in scenes.SEEDS],
        (ct[0], other[1]), flat, [replace(each, scan=each.labels) for each in ct],
    )  # fmt: skip
    figure = panels(2, len(pairs), _ASPECT, width=13.5)
    for column, couple in enumerate(pairs):
        found = recognise(*(each.scan for each in couple))
        for row, phantom in zip(figure.axes_rows, couple, strict=True):
            _show(row[column], phantom)
        figure.axes_rows[0][column].set_title(found.preset.name, fontsize=11.5, weight="bold", color=ACCENT)
        figure.axes_rows[1][column].set_xlabel(fill(found.because, 24), fontsize=9, **INK)
    for row, name in zip(figure.axes_rows, ("fixed", "moving"), strict=True):
        row[0].set_ylabel(name, **INK)
    return figure


def before_after() -> Figure:
    """Both scans, and overlays before and after registration."""
    fixed, moving = scenes.pair()
    found = learngn.register(fixed.scan, moving.scan, fixed_labels=fixed.labels, moving_labels=moving.labels)
    cut, before, after = before_and_after(found)[0]
    tones = tones_of(fixed.scan, moving.scan)
    pictures = (
        ("fixed", tones[0](cut.of(fixed.scan))), ("moving", tones[1](cut.of(moving.scan))),
        ("before", before), ("after", after),
    )  # fmt: skip
    figure = panels(2, 2, 360 / 290, width=7)
    for panel, (name, picture) in zip(figure.axes_rows.ravel(), pictures, strict=True):
        panel.imshow(picture, cmap="gray")
        panel.set_title(name, fontsize=11, **INK)
    return figure


def template() -> Figure:
    """Scans of a group, and its template."""
    phantoms = [abdomen(_PLANE, seed=seed) for seed in range(1, 7)]
    with TemporaryDirectory() as folder:
        root = Path(folder)
        paths = []
        for number, phantom in enumerate(phantoms, 1):
            paths.append(root / f"Phantoms_{number:04d}_0000.nii.gz")
            phantom.scan.save(paths[-1])
        build_template([Subject(path) for path in paths], root / "template", Request(), rounds=2)
        mean = learngn.read_image(root / "template" / "template.nii.gz")
    figure = panels(2, 4, _PLANE[0] / _PLANE[1])
    shown = [*(each.scan for each in phantoms[:3]), None, *(each.scan for each in phantoms[3:]), mean]
    for panel, scan in zip(figure.axes_rows.ravel(), shown, strict=True):
        if scan is None:
            panel.set_visible(False)
            continue
        panel.imshow(tones_of(scan)[0](slices_of(scan.grid)[0].of(scan)), cmap="gray")
    figure.axes_rows[1][3].set_title("template", fontsize=11, weight="bold", color=ACCENT)
    figure.axes_rows[0][0].set_title("subjects", fontsize=11, **INK)
    return figure


FIGURES = {
    "features-mind": mind,
    "coordinates-pull-back": pull_back,
    "scans-presets": presets,
    "before-after": before_after,
    "template": template,
}


def _show(panel: Any, phantom: Phantom) -> None:
    """Show the first slice of a scan, or colours of labels, on black of one shape."""
    scan = phantom.scan
    values = slices_of(scan.grid, phantom.labels)[0].of(scan, outside=0.0 if scan.labels else None)
    if scan.labels:
        colours = np.array([(0, 0, 0), *(tuple(bytes.fromhex(colour[1:])) for colour in LABELS)], np.uint8)
        panel.imshow(colours[values.astype(int)])
    else:
        panel.imshow(tones_of(scan)[0](values), cmap="gray")
    rows, columns = values.shape[:2]
    half = max(rows * _ASPECT, columns) / 2
    panel.set(
        facecolor="black",
        xlim=(columns / 2 - half, columns / 2 + half),
        ylim=(rows / 2 + half / _ASPECT, rows / 2 - half / _ASPECT),
    )


def _ends(image: Image) -> tuple[list[float], list[float]]:
    """Return the corners of a scan as indices."""
    return [-0.5] * image.grid.ndim, [n - 0.5 for n in image.grid.shape]


def _centres(labels: Image, values: tuple[int, ...]) -> Any:
    """Return a point of each label [mm], shape (n, 2)."""
    array = labels.data[0, 0]
    return np.array([labels.grid.index_to_world(np.argwhere(array == value).mean(axis=0)) for value in values])
