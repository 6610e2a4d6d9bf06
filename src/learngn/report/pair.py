"""Report of one pair: the result of ``learngn register`` on one page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from learngn.geometry.transform import Transform
from learngn.io import write_text
from learngn.registration import Registration
from learngn.report import banner, html, numbers, radiotherapy
from learngn.report.fit import fit
from learngn.report.material import Material, material_in_memory, material_of
from learngn.report.viewer import BUDGET, viewer_data

VIEW_FILES = (
    "viewer.css", "volumes.js", "drawing.js", "contrast.js", "zoom.js", "model.js", "points.js", "overlays.js",
    "view.js", "gestures.js",
)  # fmt: skip
VIEWER_FILES = (*VIEW_FILES, "readout.js", "controls.js", "tour.js", "tools.js", "viewer.js")


def write_pair_report(directory: str | Path, *, transform: Transform | None = None, budget: int = BUDGET) -> Path:
    """Write ``report.html`` into the result folder of ``learngn register``.

    Parameters
    ----------
    directory : path
        Folder with ``metrics.json`` and, if they exist, ``warped.nii.gz``, ``displacement.nii.gz`` and
        ``warped_labels.nii.gz``. The inputs are read from the paths in ``metrics.json``; the page says which of them
        are missing or have changed, and shows the others.
    transform : Transform, optional
        The transform, for a folder without its displacement. Images that the folder lacks are warped by it.
    budget : int
        Largest size of the pictures [bytes]; on the page they take a third more.

    Returns
    -------
    Path
        The page, a single file that needs no network.

    Raises
    ------
    DatasetError
        If the folder has no readable ``metrics.json``.
    OutputError
        If the page cannot be written.
    """
    path = Path(directory) / "report.html"
    write_text(_page(material_of(path.parent, transform), budget), path)
    return path


def page_of_registration(registration: Registration, metrics: Mapping[str, Any], *, budget: int = BUDGET) -> str:
    """Return the page of a registration in memory.

    Parameters
    ----------
    registration : Registration
    metrics : dict
        Content of its ``metrics.json``, see :func:`learngn.results.metrics_of`.
    budget : int
        Largest size of the pictures [bytes]; on the page they take a third more.
    """
    return _page(material_in_memory(registration, metrics), budget)


def _page(material: Material, budget: int) -> str:
    metrics = material.metrics
    fixed, moving = (_name(metrics, role) for role in ("fixed", "moving"))
    sections: list[str] = []
    needed: tuple[str, ...] = ()
    shown = viewer_data(material, budget)
    if shown is not None:
        description, parts = shown
        pictures = html.binary({name: part.data for name, part in parts.items()})
        content = html.asset("viewer.html"), html.data("payload", description), pictures
        sections.append(html.section("Pictures", "", *content))
        needed = VIEWER_FILES
    if metrics.get("radiotherapy"):
        sections.append(radiotherapy.dose_volume(metrics))
    beside = [numbers.overlap(metrics)] if metrics.get("dice") else []
    if metrics.get("fit"):
        beside.append(fit(metrics))
    if metrics.get("uncertainty"):
        beside.append(numbers.uncertainty(metrics))
    if metrics["history"]:
        beside.append(numbers.progress(metrics))
    sections.append(html.columns(*beside, numbers.times(metrics), numbers.settings(metrics)))
    sections.append(numbers.provenance(metrics))
    title = f"{_stem(moving)} <span>onto</span> {_stem(fixed)}"
    notes = [*metrics.get("warnings", []), *material.notes]
    header = html.heading("Registration of a pair", title, notes) + banner.of_pair(metrics) + numbers.tiles(metrics)
    return html.page(f"{moving} onto {fixed}", numbers.verdict(metrics), header, sections, needed)


def _name(metrics: Mapping[str, Any], role: str) -> str:
    """Return the file name of a scan; scans that were made in memory have none."""
    source = metrics["inputs"].get(role)
    return f"{role} scan" if source is None else Path(source["path"]).name


def _stem(name: str) -> str:
    """Return the name of a scan as HTML without its suffix; a line may break after its underscores."""
    stem = re.sub(r"(\.nii|\.nrrd|\.mha)?(\.gz)?$", "", name) or name
    return escape(stem).replace("_", "_<wbr>")
