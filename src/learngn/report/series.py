"""Report of a series: the result of ``learngn series`` on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from learngn.geometry.image import Image
from learngn.report import html
from learngn.report.film import film
from learngn.report.lines import Line, lines
from learngn.report.numbers import setting
from learngn.report.palette import LABELS, label_colour
from learngn.series import SeriesMotion

_FILES = ("viewer.css", "series.css")
_HEADINGS = {
    "time_s": "time [s]",
    "mean_mm": "mean [mm]",
    "p95_mm": "95 % [mm]",
    "largest_mm": "largest [mm]",
    "smallest_jacobian": "smallest Jacobian",
    "from_frame_before_mm": "from the frame before [mm]",
    **{f"{axis}_mm": f"{axis} [mm]" for axis in "xyz"},
    **{f"r{axis}_deg": f"rotation {axis} [°]" for axis in "xyz"},
}


def page_of_series(
    motion: SeriesMotion,
    metrics: Mapping[str, Any],
    *,
    labels: Sequence[Image] = (),
) -> str:
    """Return the page of a series.

    Parameters
    ----------
    motion : SeriesMotion
    metrics : dict
        Content of its ``metrics.json``, see docs/series.md.
    labels : sequence of Image
        Label maps of all frames, if there are any.
    """
    reference = "their mean" if motion.frame is None else f"frame {motion.frame}"
    title = f"{len(motion)} frames <span>onto</span> {escape(reference)}"
    sections = [film(motion, labels)]
    beside = [_volumes(metrics)] if metrics.get("labels") else []
    if metrics.get("trajectories"):
        beside.append(_trajectories(metrics))
    beside.append(_motion(metrics))
    sections += [html.columns(*beside), _table(metrics), _settings(metrics)]
    header = html.heading("Motion of a series", title, metrics.get("warnings", ())) + _tiles(metrics)
    summary = f"{len(motion)} frames, {metrics['transform']} motion onto {reference}"
    return html.page(summary, summary, header, sections, _FILES)


def _tiles(metrics: Mapping[str, Any]) -> str:
    rows: Sequence[Mapping[str, Any]] = metrics["frames"]
    largest = max(rows, key=lambda row: row["mean_mm"])
    change = metrics["change_in_time"]
    items = [
        ("Frames", f"{len(rows)}", "", f"{metrics['transform']} motion"),
        ("Motion", f"{largest['mean_mm']:.2g}", "mm", f"mean of frame {largest['frame']}, which moves most"),
        ("Change in time", f"{change['after']:.3g}", "", f"before {change['before']:.3g}, mean over the voxels"),
    ]
    judged = [row["verdict"] for row in rows if row["verdict"] is not None]
    if judged:
        doubtful = [str(row["frame"]) for row in rows if row["verdict"] not in (None, "ok")]
        note = f"frames {', '.join(doubtful)}" if doubtful else "no frame is doubtful"
        items.append(("Verdict ok", f"{judged.count('ok')} of {len(judged)}", "", note))
    items.append(("Time", f"{metrics['seconds']['total']:.1f}", "s", f"{metrics['peak_memory_mb']:.0f} MB at most"))
    return html.tiles(items)


def _volumes(metrics: Mapping[str, Any]) -> str:
    """Make the section of volumes: a line for every label, and a table of extremes."""
    curves: list[Line] = []
    rows = []
    for label, entry in metrics["labels"].items():
        colour, name = label_colour(int(label)), entry["name"] or f"label {label}"
        values = entry["volumes"]
        first = values[metrics["labels_frame"]]
        curves.append((name, colour, [100 * value / first if first else 0.0 for value in values]))
        rows.append(
            (
                html.chip(colour, name),
                f"{first:.3g}",
                f"{min(values):.3g}",
                f"{max(values):.3g}",
                f"{entry['ejection_fraction']:.0f} %",
            )
        )
    unit = metrics["volume_unit"]
    head = (
        "label",
        f"frame {metrics['labels_frame']} [{unit}]",
        "smallest",
        "largest",
        "(largest − smallest) / largest",
    )
    return html.section(
        "Volumes",
        f"In per cent of frame {metrics['labels_frame']}, where the labels were drawn.",
        lines(curves, "%", "Volume of every label over the frames"),
        html.table(head, rows, "Volumes of the labels"),
    )


def _trajectories(metrics: Mapping[str, Any]) -> str:
    curves = [
        (entry["name"], LABELS[index % len(LABELS)], entry["moved_mm"])
        for index, entry in enumerate(metrics["trajectories"][: len(LABELS)])
    ]
    lead = f"Distance of every point from its place in frame {metrics['points_frame']}; trajectories.csv has all."
    return html.section("Points", lead, lines(curves, "mm", "Distance of every point over the frames"), _legend(curves))


def _motion(metrics: Mapping[str, Any]) -> str:
    rows = metrics["frames"]
    names = [key for key in ("mean_mm", "p95_mm", "x_mm", "y_mm", "z_mm") if key in rows[0]]
    curves = [
        (_HEADINGS[key].removesuffix(" [mm]"), LABELS[index], [row[key] for row in rows])
        for index, key in enumerate(names)
    ]
    lead = "Distance of every frame from the reference."
    return html.section("Motion", lead, lines(curves, "mm", "Motion over the frames"), _legend(curves))


def _legend(curves: Sequence[Line]) -> str:
    return f'<div class="chips legend">{"".join(html.chip(colour, name) for name, colour, _ in curves)}</div>'


def _table(metrics: Mapping[str, Any]) -> str:
    rows: Sequence[Mapping[str, Any]] = metrics["frames"]
    keys = [key for key in rows[0] if any(row[key] is not None for row in rows)]
    cells = [[_cell(row[key]) for key in keys] for row in rows]
    heads = [_HEADINGS.get(key, key.replace("_", " ")) for key in keys]
    return html.section("Frames", "", html.table(heads, cells, "Motion of every frame"))


def _settings(metrics: Mapping[str, Any]) -> str:
    items = [("transform", metrics["transform"]), ("reference", str(metrics["reference"]))]
    items += [(key.replace("_", " "), setting(value)) for key, value in (metrics.get("settings") or {}).items()]
    items += [("smooth in time", f"{metrics['smooth_in_time']:g} frames")] if metrics["smooth_in_time"] else []
    items += [("version", f"learngn {metrics['version']}")]
    items += [("command", metrics["command"])] if metrics["command"] else []
    return html.section("Settings", "", html.facts(items))


def _cell(value: Any) -> str:
    if value is None:
        return "reference"
    return f"{value:.3g}".replace("-", "−") if isinstance(value, float) else escape(str(value))
