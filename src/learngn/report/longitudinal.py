"""Report of two time points of one subject: both in their mean position, what changed, and the table of regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from learngn.evaluation import VolumeChange
from learngn.report import html
from learngn.report.material import Material
from learngn.report.numbers import number, setting
from learngn.report.pair import VIEWER_FILES
from learngn.report.palette import label_colour
from learngn.report.viewer import BUDGET, label_name, viewer_data

_LEAD = (
    "Flicker changes between the baseline and the follow-up: Before is after the rigid alignment alone, where all that "
    "changed is seen; Registered is after the deformation. The overlay of volume change shows growth and shrinkage "
    "from the baseline to the follow-up."
)


def longitudinal_page(
    material: Material,
    names: Sequence[str],
    index: int,
    content: Mapping[str, Any],
    changes: Sequence[VolumeChange],
    pages: Mapping[str, str],
    *,
    budget: int = BUDGET,
) -> str:
    """Return the page of the baseline and one follow-up.

    Parameters
    ----------
    material : Material
        Baseline, follow-up before and after the deformation, and the transform, on the grid of the mean space.
    names : sequence of str
        Names of all time points.
    index : int
        Number of the follow-up, from 1.
    content : dict
        Content of ``metrics.json``.
    changes : sequence of VolumeChange
        Of the regions; without any there is no table.
    pages : dict
        Other follow-ups' names and pages.
    budget : int
        Largest size of the pictures [bytes].
    """
    sections: list[str] = []
    needed: tuple[str, ...] = ()
    shown = viewer_data(material, budget)
    if shown is not None:
        description, parts = shown
        pictures = html.binary({name: part.data for name, part in parts.items()})
        view = html.asset("viewer.html"), html.data("payload", description), pictures
        sections.append(html.section("Pictures", _LEAD, *view))
        needed = VIEWER_FILES
    if changes:
        sections.append(_regions(material, changes))
    facts = [(key.replace("_", " "), setting(value)) for key, value in content["settings"].items()]
    sections.append(html.columns(_points(content), html.section("Settings", "", html.facts(facts))))
    if pages:
        links = "".join(f"<li>{html.link(name, page)}</li>" for name, page in pages.items())
        sections.append(html.section("Other follow-ups", "", f"<ul>{links}</ul>"))
    origin = [("version", f"learngn {content['version']}")]
    origin += [("command", str(content["command"]))] if content.get("command") else []
    for role, source in content["inputs"].items():
        origin += [(role.replace("_", " "), str(source["path"])), ("sha256", str(source["sha256"]))]
    sections.append(html.section("Provenance", "", f'<div class="provenance">{html.definitions(origin)}</div>'))
    title = f"{escape(names[0])} <span>to</span> {escape(names[index])}"
    header = html.heading("Time points of one subject", title, material.notes) + _tiles(content, index, changes)
    summary = "; ".join(f"{_name(material, one)} {one.change_percent:+.2f} %" for one in changes) or "change of volume"
    return html.page(f"{names[0]} to {names[index]}", summary, header, sections, needed)


def _tiles(content: Mapping[str, Any], index: int, changes: Sequence[VolumeChange]) -> str:
    point = content["time_points"][index]
    items = []
    if changes:
        before, after = (sum(getattr(one, side) for one in changes) for side in ("before", "after"))
        items.append(("All regions", f"{100 * (after / before - 1):+.2f}".replace("-", "−"), "%", "change of volume"))
    summary = point["change"]
    items.append(("Std log J", number(summary["log_deviation"]), "", "of log volume change"))
    items.append(("Folds", number(summary["folds"]), "voxels", ""))
    items.append(("Brightness", f"{point['gain'] / content['time_points'][0]['gain']:.3f}", "", "of the baseline's"))
    items.append(("Time", f"{content['seconds']['total']:.1f}", "s", ""))
    return html.tiles(items)


def _regions(material: Material, changes: Sequence[VolumeChange]) -> str:
    interval = any(one.low_percent is not None for one in changes)
    rows = []
    for one in changes:
        cells = [
            html.chip(label_colour(one.label), _name(material, one)),
            f"{one.before:.0f}",
            f"{one.after:.0f}",
            f"<strong>{_signed(one.change_percent)}</strong>",
        ]
        if one.low_percent is not None and one.high_percent is not None:
            cells.append(f"{_signed(one.low_percent)} to {_signed(one.high_percent)}")
        rows.append([*cells, _signed(one.log_mean, 4)])
    head = ["", "before [mm³]", "after [mm³]", "change [%]", *(["95 % interval [%]"] if interval else []), "mean log J"]
    lead = "Volume of the baseline's labels, and of the same tissue in the follow-up."
    return html.section("Regions", lead, html.table(head, rows, "Volumes by label"))


def _points(content: Mapping[str, Any]) -> str:
    rows = [
        (escape(point["name"]), f"{point['turned_degree']:.2f}", f"{point['moved_mm']:.2f}", f"{point['gain']:.3f}")
        for point in content["time_points"]
    ]
    head = ("", "turned [°]", "moved [mm]", "brightness")
    lead = "Rigid map from the mean position to each scan, and brightness relative to their mean."
    return html.section("Time points", lead, html.table(head, rows, "Time points"))


def _name(material: Material, change: VolumeChange) -> str:
    return change.name or label_name(material.metrics, change.label)


def _signed(value: float, decimals: int = 2) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")
