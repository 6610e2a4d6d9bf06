"""``learngn series``: motion of a series of scans."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from learngn.cli import console
from learngn.cli.grouping import with_options
from learngn.cli.log import command_line, run_log
from learngn.cli.options import Device, LabelNames, Threads, check_device, prepare_process
from learngn.cli.panels import INPUT, OUTPUT, REGISTRATION
from learngn.cli.settings_options import SettingsOptions
from learngn.cli.startup import importing
from learngn.errors import SettingsError, header_warnings

_MEAN = "mean"


@with_options
def series(
    frames: Annotated[
        list[Path],
        typer.Argument(
            metavar="FRAMES...",
            help="4D file, folder of frames or DICOM slices, or several files.",
            show_default=False,
            rich_help_panel=INPUT,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the result.", rich_help_panel=OUTPUT)
    ],
    options: SettingsOptions,
    transform: Annotated[
        str,
        typer.Option(
            "--transform",
            metavar="KIND",
            help="deformable, or linear motion alone: affine, similarity, rigid or translation.",
            rich_help_panel=REGISTRATION,
        ),
    ] = "deformable",
    frame: Annotated[
        str | None,
        typer.Option(
            "--frame",
            metavar="N|mean",
            help="Reference, counted from 0; by default the frame of the labels or points, else the mean of all.",
            show_default=False,
            rich_help_panel=REGISTRATION,
        ),
    ] = None,
    smooth: Annotated[
        float | None,
        typer.Option(
            "--smooth-in-time",
            metavar="FRAMES",
            help="Smooth the motion in time: of oscillations of this period, half is kept.",
            rich_help_panel=REGISTRATION,
        ),
    ] = None,
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds",
            metavar="N",
            min=1,
            help="Registrations of all frames to their mean.",
            rich_help_panel=REGISTRATION,
        ),
    ] = 3,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="Label map of one frame, carried to all.", rich_help_panel=INPUT),
    ] = None,
    labels_frame: Annotated[
        int | None,
        typer.Option("--labels-frame", metavar="N", min=0, help="Its frame, from 0.", rich_help_panel=INPUT),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option("--points", metavar="FILE", help="Points of one frame, carried to all.", rich_help_panel=INPUT),
    ] = None,
    points_frame: Annotated[
        int | None,
        typer.Option("--points-frame", metavar="N", min=0, help="Their frame, from 0.", rich_help_panel=INPUT),
    ] = None,
    label_names: LabelNames = None,
    device: Device = "auto",
    threads: Threads = None,
    report: console.Report = True,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Follow motion: register all frames of a series, and carry labels and points of one frame to all.

    Example:  learngn series heart4d.nii.gz --labels frame5.nii.gz --labels-frame 5 -o motion
    """
    prepare_process(threads)
    check_device(device)
    reference = _reference(frame, {"labels": (labels, labels_frame), "points": (points, points_frame)})
    with importing():
        from learngn.io import read_label_names
        from learngn.series.register import SeriesEvents
        from learngn.series.settings import check_transform
        from learngn.workflow.series import CarriedFiles, SeriesOptions, register_series_files

    request, kind = options.request(device), check_transform(transform)
    names = None if label_names is None else read_label_names(label_names)
    with console.progress(quiet) as bars, run_log() as log:
        console.compile_kernels(3, bars)
        task = bars.add_task("reading", total=None)
        events = SeriesEvents(
            begins=lambda count: bars.update(task, total=count, completed=0),
            step=lambda number: bars.update(task, advance=1, description=f"frame {number}"),
            stage=lambda name: bars.update(task, description=name),
        )
        with header_warnings(show=lambda message: None):  # they are among the warnings of the result
            metrics = register_series_files(
                frames,
                output,
                request,
                options=SeriesOptions(reference, kind, rounds, smooth),
                carry=CarriedFiles(labels, labels_frame, points, points_frame, names),
                report=report,
                command=command_line(),
                events=events,
                ends=log.write,
            )
    console.warn(metrics["warnings"], quiet)
    if json:
        console.print_json(metrics)
    elif not quiet:
        for line in _summary(metrics):
            typer.echo(line)
        typer.echo(f"see {output / 'report.html'}" if report else f"written to {output}")


def _reference(text: str | None, carried: Mapping[str, tuple[Path | None, int | None]]) -> int | None:
    """Return the number of the reference, None for the mean; raise an error if a frame is not known."""
    for what, (path, number) in carried.items():
        if path is None and number is not None:
            raise SettingsError(f"--{what}-frame", f"{number} without --{what}", "both", f"name the {what}, too")
    numbers = {number for path, number in carried.values() if path is not None and number is not None}
    if text is None or text == _MEAN:
        unknown = [what for what, (path, number) in carried.items() if path is not None and number is None]
        if unknown:
            raise SettingsError(
                f"--{unknown[0]}", "no frame", f"the number of the frame to which the {unknown[0]} belong",
                f"name it with --{unknown[0]}-frame, counted from 0",
            )  # fmt: skip
        return min(numbers) if text is None and numbers else None
    try:
        return int(text)
    except ValueError:
        raise SettingsError("--frame", repr(text), "a number, counted from 0, or mean", "correct it") from None


def _summary(metrics: Mapping[str, Any]) -> list[str]:
    """Return lines of text with the motion, the volumes and the time."""
    rows = metrics["frames"]
    largest, change = max(rows, key=lambda row: float(row["mean_mm"])), metrics["change_in_time"]
    where = "their mean" if metrics["reference"] == _MEAN else f"frame {metrics['reference']}"
    lines = [
        f"{len(rows)} frames onto {where}: frame {largest['frame']} moves most, {largest['mean_mm']:.2g} mm on average",
        f"change in time {change['before']:.3g} -> {change['after']:.3g}",
    ]
    for label, entry in metrics.get("labels", {}).items():
        values = entry["volumes"]
        name = f"{label} {entry['name']}".strip()
        lines.append(
            f"label {name}: {min(values):.3g} to {max(values):.3g} {metrics['volume_unit']}, "
            f"{entry['ejection_fraction']:.0f} % of the largest volume"
        )
    lines.append(f"{metrics['seconds']['total']:.1f} s, {metrics['peak_memory_mb']:.0f} MB")
    return lines
