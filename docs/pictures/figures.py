"""Figures of the documentation, drawn by matplotlib: channels of MIND, pull-back, presets, a template, a surface."""

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
from skimage.measure import marching_cubes

import learngn
from learngn import Image
from learngn.arrays import as_numpy
from learngn.atlas import build_template
from learngn.features import parse_features
from learngn.io import Mesh, Subject
from learngn.longitudinal import compare_time_points
from learngn.phantom import Phantom, abdomen, stained_sections
from learngn.registration import Request, recognise
from learngn.report.palette import LABELS
from learngn.report.slices import before_and_after, slices_of, tones_of
from learngn.series import register_frames

ACCENT = "#0b7a75"
_ASPECT = 1.24  # of a panel of the presets
_PLANE = (192, 132)
_LIVER, _LINE = 1, "#ffb000"
_INK = {"color": "#171a21"}


def mind() -> Figure:
    """Channels of MIND-SSC of one subject in two contrasts."""
    seed = scenes.SEEDS[0]
    ct, other = abdomen(scenes.SHAPE, seed=seed, noise=6), scenes.mr(seed=seed)
    computed = parse_features("mind")(ct.scan, other.scan, float(min(ct.scan.grid.spacing)))
    cut = slices_of(ct.scan.grid, ct.labels)[0]
    figure = _figure(2, 5, 360 / 290)
    rows = zip(figure.axes_rows, ("CT", "MR-like contrast"), (ct.scan, other.scan), computed, strict=True)
    for row, name, scan, channels in rows:
        row[0].imshow(tones_of(scan)[0](cut.of(scan, outside=0.0)), cmap="gray")
        row[0].set_ylabel(name, **_INK)
        for panel, index in zip(row[1:], (0, 3, 6, 9), strict=True):
            values = np.ascontiguousarray(as_numpy(channels.data)[0, index])
            shown = cut.of(Image.from_array(values, channels.grid), outside=1.0)
            panel.imshow(shown, cmap="gray", vmin=0, vmax=1)
            if row is figure.axes_rows[0]:
                panel.set_title(f"channel {index + 1}", fontsize=10, **_INK)
    figure.axes_rows[0][0].set_title("scan", fontsize=10, **_INK)
    return figure


def pull_back() -> Figure:
    """Points of the fixed scan, and where the transform finds their values in the moving scan."""
    fixed, moving = scenes.pair(_PLANE)
    moving = scenes.moved(moving, (-26.0, 14.0))
    found = learngn.register(fixed.scan, moving.scan)
    figure = _figure(1, 2, 360 / 250, width=10.5)
    left, right = figure.axes_rows[0]
    for panel, phantom, title in (
        (left, fixed, "fixed scan, and points p of its grid"),
        (right, moving, "moving scan: arrows from p to T(p), where values are read"),
    ):
        low, high = (phantom.scan.grid.index_to_world(ends) for ends in _ends(phantom.scan))
        grey = tones_of(phantom.scan)[0](phantom.scan.data[0, 0])
        panel.imshow(grey.T, cmap="gray", origin="lower", extent=(low[0], high[0], low[1], high[1]))
        panel.set_title(title, fontsize=10.5, **_INK)
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
    figure.supxlabel("dashed: the value that is read there goes to p of the result", fontsize=10.5, **_INK)
    return figure


def presets() -> Figure:
    """A pair of every kind, and the preset that is recognised from it."""
    ct, flat = scenes.pair(), scenes.pair(_PLANE)
    other = [scenes.mr(seed=seed) for seed in scenes.SEEDS]
    pairs = (
        ct, [scenes.chest(each) for each in ct], other, [scenes.head(seed=seed) for seed in scenes.SEEDS],
        (ct[0], other[1]), flat, [replace(each, scan=each.labels) for each in ct],
    )  # fmt: skip
    figure = _figure(2, len(pairs), _ASPECT, width=13.5)
    for column, couple in enumerate(pairs):
        found = recognise(*(each.scan for each in couple))
        for row, phantom in zip(figure.axes_rows, couple, strict=True):
            _show(row[column], phantom)
        figure.axes_rows[0][column].set_title(found.preset.name, fontsize=11.5, weight="bold", color=ACCENT)
        figure.axes_rows[1][column].set_xlabel(fill(found.because, 24), fontsize=9, **_INK)
    for row, name in zip(figure.axes_rows, ("fixed", "moving"), strict=True):
        row[0].set_ylabel(name, **_INK)
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
    figure = _figure(2, 2, 360 / 290, width=7)
    for panel, (name, picture) in zip(figure.axes_rows.ravel(), pictures, strict=True):
        panel.imshow(picture, cmap="gray")
        panel.set_title(name, fontsize=11, **_INK)
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
    figure = _figure(2, 4, _PLANE[0] / _PLANE[1])
    shown = [*(each.scan for each in phantoms[:3]), None, *(each.scan for each in phantoms[3:]), mean]
    for panel, scan in zip(figure.axes_rows.ravel(), shown, strict=True):
        if scan is None:
            panel.set_visible(False)
            continue
        panel.imshow(tones_of(scan)[0](slices_of(scan.grid)[0].of(scan)), cmap="gray")
    figure.axes_rows[1][3].set_title("template", fontsize=11, weight="bold", color=ACCENT)
    figure.axes_rows[0][0].set_title("subjects", fontsize=11, **_INK)
    return figure


def histology() -> Figure:
    """Two stained sections, and the second one warped onto the first."""
    sections = stained_sections((420, 320), seed=2, angle=140)
    found = learngn.register(sections.fixed, sections.moving)
    if found.warped_colour is None:
        raise RuntimeError("the sections are no colour pictures")
    figure = _figure(1, 3, 420 / 320)
    shown = {"fixed": sections.fixed, "moving": sections.moving, "warped": found.warped_colour}
    for panel, (name, picture) in zip(figure.axes_rows[0], shown.items(), strict=True):
        panel.imshow(as_numpy(picture.data)[0].transpose(2, 1, 0) / 255)
        panel.set_title(name, fontsize=11, **_INK)
    return figure


def carried() -> Figure:
    """Surface of the liver in the moving scan, and in the fixed scan before and after it was carried there."""
    fixed, moving = scenes.pair()
    found = learngn.register(fixed.scan, moving.scan)
    grid = moving.labels.grid
    corners, faces, _, _ = marching_cubes((moving.labels.data[0, 0] == _LIVER).astype(np.float32), 0.5)
    surface = Mesh(grid.index_to_world(corners), faces)
    there = surface.map(found.transform, inverse=True)
    figure = _figure(1, 3, 360 / 290)
    shown = (
        ("moving, its liver", moving.scan, surface, surface),
        ("fixed, the same surface", fixed.scan, surface, there),
        ("fixed, the surface carried there", fixed.scan, there, there),
    )
    for panel, (name, scan, mesh, centred) in zip(figure.axes_rows[0], shown, strict=True):
        _section(panel, scan, mesh, float(np.median(centred.points[:, 1])))
        panel.set_title(name, fontsize=11, **_INK)
    return figure


def _section(panel: Any, scan: Image, mesh: Mesh, plane: float) -> None:
    """Show the coronal plane of a scan at a place [mm, anterior], and where it cuts the faces of a mesh."""
    grid = scan.grid
    row = int(np.clip(round(float(grid.world_to_index([0.0, plane, 0.0])[1])), 0, grid.shape[1] - 1))
    values = scan.data[0, 0, :, row]
    left, right = grid.index_to_world([[0, row, 0], [grid.shape[0] - 1, row, grid.shape[2] - 1]])
    panel.imshow(
        tones_of(scan)[0](values.T), cmap="gray", origin="lower", extent=(left[0], right[0], left[2], right[2])
    )
    panel.set(xlim=(right[0], left[0]), ylim=(left[2], right[2]))  # as radiologists look at it
    triangles = mesh.points[mesh.triangles]
    height = triangles[:, :, 1] - left[1] + 1e-3  # corners of a surface of voxels lie in the planes between them
    for triangle, side in zip(triangles, height, strict=True):
        if side.min() < 0 < side.max():
            ends = [
                triangle[a] + side[a] / (side[a] - side[b]) * (triangle[b] - triangle[a])
                for a, b in ((0, 1), (1, 2), (2, 0))
                if side[a] * side[b] < 0
            ]
            panel.plot(*np.array(ends)[:, [0, 2]].T, color=_LINE, linewidth=1.6)


def follow_up() -> Figure:
    """A subject with an organ that loses a tenth of its volume, before and after, difference and log Jacobian."""
    shape = (96, 80, 64)
    made = abdomen(shape, seed=scenes.SEEDS[0], noise=8)
    shrunk = scenes.shrunk(made, label=1, amount=0.1)
    study = compare_time_points([made.scan, shrunk])
    cut = slices_of(made.scan.grid, made.labels)[0]
    figure = _figure(1, 4, 1.1, width=11.0)
    first, second, difference, change = figure.axes_rows[0]
    for panel, image, title in ((first, made.scan, "baseline"), (second, shrunk, "follow-up")):
        panel.imshow(tones_of(made.scan)[0](cut.of(image)), cmap="gray")
        panel.set_title(title, fontsize=10, **_INK)
    on_baseline = study.points[0].transform.inverse().warp(study.difference(1), made.scan.grid)
    difference.imshow(cut.of(on_baseline, outside=0.0), cmap="gray", vmin=-150, vmax=150)
    difference.set_title("difference", fontsize=10, **_INK)
    shown = change.imshow(cut.of(study.jacobian(1).logarithm, outside=0.0), cmap="RdBu_r", vmin=-0.2, vmax=0.2)
    change.set_title("log Jacobian: blue has shrunk", fontsize=10, **_INK)
    figure.colorbar(shown, ax=change, shrink=0.8)
    return figure


def film() -> Figure:
    """Frames of a breathing abdomen with the outline of the liver, as acquired and registered."""
    frames, liver = scenes.breathing(5)
    motion = register_frames(frames, frame=0)
    labels = list(motion.labels(liver, 0))
    cut = slices_of(motion.grid, liver)[1]
    figure, tone = _figure(2, len(frames), 360 / 250, width=11.0), tones_of(frames[0])[0]
    for number, frame in enumerate(frames):
        for row, name, transform, outline in (
            (0, "as acquired", None, labels[number]),
            (1, "registered", motion.transforms[number], liver),
        ):
            panel = figure.axes_rows[row][number]
            panel.imshow(tone(cut.of(frame, transform, -1000.0)), cmap="gray")
            panel.contour(cut.of(outline, outside=0.0) > 0, [0.5], colors=[LABELS[0]], linewidths=1.2)
            if number == 0:
                panel.set_ylabel(name, **_INK)
        figure.axes_rows[0][number].set_title(f"frame {number}", fontsize=10, **_INK)
    return figure


FIGURES = {
    "series-film": film,
    "features-mind": mind,
    "coordinates-pull-back": pull_back,
    "scans-presets": presets,
    "before-after": before_after,
    "template": template,
    "histology": histology,
    "shapes-carried": carried,
    "follow-up": follow_up,
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


def _figure(rows: int, columns: int, aspect: float, width: float = 10.0) -> Any:
    """Return a figure of panels without ticks, with its panels by row as `axes_rows`.

    Parameters
    ----------
    rows, columns : int
    aspect : float
        Width of a panel over its height.
    width : float
        Width of the figure [inch].
    """
    height = rows * (width / columns / aspect) + 0.7
    figure: Any = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    figure.axes_rows = figure.subplots(rows, columns, squeeze=False)
    for panel in figure.axes_rows.ravel():
        panel.set_xticks([])
        panel.set_yticks([])
        for edge in panel.spines.values():
            edge.set_visible(False)
    return figure
