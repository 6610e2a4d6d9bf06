"""Figures of applications, drawn by matplotlib: stains, a surface, a follow-up, a series, volumes, a plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import scenes
from matplotlib.figure import Figure
from panel import INK, panels
from skimage.measure import marching_cubes

import learngn
from learngn import Affine, Image
from learngn.arrays import as_numpy
from learngn.io import Mesh, StructureSet, read_dose, read_structures
from learngn.longitudinal import compare_time_points
from learngn.phantom import abdomen, stained_sections, write_plan
from learngn.report.palette import LABELS
from learngn.report.slices import slices_of, tones_of
from learngn.series import register_frames
from learngn.workflow.radiotherapy import register_plan

_LIVER, _LINE = 1, "#ffb000"
_CHANGE = {"cmap": "RdBu_r", "vmin": -0.4, "vmax": 0.4}


def histology() -> Figure:
    """Two stained sections, and the second one warped onto the first."""
    sections = stained_sections((420, 320), seed=2, angle=140)
    found = learngn.register(sections.fixed, sections.moving)
    if found.warped_colour is None:
        raise RuntimeError("the sections are no colour pictures")
    figure = panels(1, 3, 420 / 320)
    shown = {"fixed": sections.fixed, "moving": sections.moving, "warped": found.warped_colour}
    for panel, (name, picture) in zip(figure.axes_rows[0], shown.items(), strict=True):
        panel.imshow(as_numpy(picture.data)[0].transpose(2, 1, 0) / 255)
        panel.set_title(name, fontsize=11, **INK)
    return figure


def carried() -> Figure:
    """Surface of the liver in the moving scan, and in the fixed scan before and after it was carried there."""
    fixed, moving = scenes.pair()
    found = learngn.register(fixed.scan, moving.scan)
    grid = moving.labels.grid
    corners, faces, _, _ = marching_cubes((moving.labels.data[0, 0] == _LIVER).astype(np.float32), 0.5)
    surface = Mesh(grid.index_to_world(corners), faces)
    there = surface.map(found.transform, inverse=True)
    figure = panels(1, 3, 360 / 290)
    shown = (
        ("moving, its liver", moving.scan, surface, surface),
        ("fixed, the same surface", fixed.scan, surface, there),
        ("fixed, the surface carried there", fixed.scan, there, there),
    )
    for panel, (name, scan, mesh, centred) in zip(figure.axes_rows[0], shown, strict=True):
        _section(panel, scan, mesh, float(np.median(centred.points[:, 1])))
        panel.set_title(name, fontsize=11, **INK)
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
    figure = panels(1, 4, 1.1, width=11.0)
    first, second, difference, change = figure.axes_rows[0]
    for panel, image, title in ((first, made.scan, "baseline"), (second, shrunk, "follow-up")):
        panel.imshow(tones_of(made.scan)[0](cut.of(image)), cmap="gray")
        panel.set_title(title, fontsize=10, **INK)
    on_baseline = study.points[0].transform.inverse().warp(study.difference(1), made.scan.grid)
    difference.imshow(cut.of(on_baseline, outside=0.0), cmap="gray", vmin=-150, vmax=150)
    difference.set_title("difference", fontsize=10, **INK)
    shown = change.imshow(cut.of(study.jacobian(1).logarithm, outside=0.0), cmap="RdBu_r", vmin=-0.2, vmax=0.2)
    change.set_title("log Jacobian: blue has shrunk", fontsize=10, **INK)
    figure.colorbar(shown, ax=change, shrink=0.8)
    return figure


def film() -> Figure:
    """Frames of a breathing abdomen with the outline of the liver, as acquired and registered."""
    frames, liver = scenes.breathing(5)
    motion = register_frames(frames, frame=0)
    labels = list(motion.labels(liver, 0))
    cut = slices_of(motion.grid, liver)[1]
    figure, tone = panels(2, len(frames), 360 / 250, width=11.0), tones_of(frames[0])[0]
    for number, frame in enumerate(frames):
        for row, name, transform, outline in (
            (0, "as acquired", None, labels[number]),
            (1, "registered", motion.transforms[number], liver),
        ):
            panel = figure.axes_rows[row][number]
            panel.imshow(tone(cut.of(frame, transform, -1000.0)), cmap="gray")
            panel.contour(cut.of(outline, outside=0.0) > 0, [0.5], colors=[LABELS[0]], linewidths=1.2)
            if number == 0:
                panel.set_ylabel(name, **INK)
        figure.axes_rows[0][number].set_title(f"frame {number}", fontsize=10, **INK)
    return figure


def volumes() -> Figure:
    """A subject, a larger copy whose liver has lost a fifth, and the log Jacobian with and without the affine part."""
    fixed = scenes.pair()[0]
    moving = scenes.larger(replace(fixed, scan=scenes.shrunk(fixed, label=_LIVER, amount=0.2)), 1.06)
    found = learngn.register(fixed.scan, moving.scan, lam=(30.0, 3.0))
    cut, tone = slices_of(fixed.scan.grid, fixed.labels)[1], tones_of(fixed.scan)[0]
    outline = cut.of(fixed.labels, outside=0.0) == _LIVER
    figure = panels(1, 4, 360 / 290, width=13.0)
    pictures = (
        ("fixed", tone(cut.of(fixed.scan)), {"cmap": "gray"}),
        ("moving: larger, but for the liver", tone(cut.of(moving.scan)), {"cmap": "gray"}),
        ("log Jacobian", cut.of(found.jacobian(log=True), outside=0.0), _CHANGE),
        ("without the affine part", cut.of(found.jacobian(log=True, affine=False), outside=0.0), _CHANGE),
    )
    for panel, (title, picture, style) in zip(figure.axes_rows[0], pictures, strict=True):
        shown = panel.imshow(picture, **style)
        panel.set_title(title, fontsize=11, **INK)
        if "moving" not in title:
            panel.contour(outline, [0.5], colors=[_LINE], linewidths=1.2)
    figure.colorbar(shown, ax=panel, shrink=0.8, label="red: larger in the moving scan")
    return figure


def plan() -> Figure:
    """Contours and dose of a plan on its scan, and carried to a new one."""
    with TemporaryDirectory() as folder:
        planning, today, result = (Path(folder, name) for name in ("planning", "today", "result"))
        organs = {2: "right_kidney", 5: "aorta"}
        for path, seed in ((planning, 1), (today, 2)):
            write_plan(abdomen((96, 80, 64), seed=seed, variation=0.25), path, organs=organs, target=2)
        for name in ("RS.dcm", "RD.dcm"):
            Path(today, name).unlink()
        register_plan(today, planning, result)
        figure = panels(1, 2, 360 / 290, width=9.5)
        before, after = figure.axes_rows[0]
        for panel, scan, objects, title in (
            (before, planning, (planning / "RS.dcm", planning / "RD.dcm"), "planned"),
            (after, today, (result / "structures.dcm", result / "dose.dcm"), "carried to today's scan"),
        ):
            _planned(panel, learngn.read_image(scan), read_structures(objects[0]), read_dose(objects[1]).image)
            panel.set_title(title, fontsize=11, **INK)
    return figure


def _planned(panel: Any, scan: Image, drawn: StructureSet, dose: Image) -> None:
    """Show the axial plane of a scan through the middle of its target, with the contours there, over the dose."""
    grid, target = scan.grid, drawn.structures[-1]
    middle = np.concatenate(target.regions).mean(axis=0)
    plane = round(float(grid.world_to_index(middle)[2]))
    ends = grid.index_to_world([[-0.5, -0.5, plane], [grid.shape[0] - 0.5, grid.shape[1] - 0.5, plane]])
    extent = (ends[0, 0], ends[1, 0], ends[0, 1], ends[1, 1])
    panel.imshow(tones_of(scan)[0](scan.data[0, 0, :, :, plane].T), cmap="gray", origin="lower", extent=extent)
    gray = Affine.identity(3).warp(dose, grid, background=0.0).data[0, 0, :, :, plane].T
    seen = np.ma.masked_less(gray, 0.1 * float(dose.data.max()))
    panel.imshow(seen, cmap="inferno", alpha=0.45, origin="lower", extent=extent)
    for structure in drawn.structures:
        for points in structure.regions:
            if abs(points[0, 2] - ends[0, 2]) < grid.spacing[2] / 2:
                colour = np.array(structure.colour) / 255
                panel.plot(*np.vstack([points, points[:1]])[:, :2].T, color=colour, linewidth=1.6)
    panel.set(xlim=sorted(extent[:2], reverse=True), ylim=sorted(extent[2:]))  # as radiologists look at it


FIGURES = {
    "jacobian": volumes,
    "radiotherapy": plan,
    "series-film": film,
    "histology": histology,
    "shapes-carried": carried,
    "follow-up": follow_up,
}
