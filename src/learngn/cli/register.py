"""``learngn register``: registration of one pair of files."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learngn.cli import console
from learngn.cli.options import (
    FAILED,
    INFINITE,
    Device,
    KeypointScale,
    LabelNames,
    ModelOptions,
    SettingsOptions,
    Threads,
    check_device,
    prepare_process,
    with_options,
)
from learngn.cli.resampling import BackgroundOption, InterpolationOption, name_of
from learngn.cli.startup import importing
from learngn.errors import SettingsError, header_warnings

if TYPE_CHECKING:
    from learngn.io import Subject
    from learngn.registration import Request


@with_options
def register(
    fixed: Annotated[Path, typer.Argument(help="Fixed (reference) image.", show_default=False)],
    moving: Annotated[Path, typer.Argument(help="Moving image.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the result.")],
    options: SettingsOptions,
    trained: ModelOptions,
    fixed_labels: Annotated[Path | None, typer.Option(help="Label map of FIXED: for the scores.")] = None,
    moving_labels: Annotated[Path | None, typer.Option(help="Label map of MOVING: for the scores, and warped.")] = None,
    label_names: LabelNames = None,
    fixed_landmarks: Annotated[Path | None, typer.Option(help="Points in FIXED (CSV): for the scores.")] = None,
    moving_landmarks: Annotated[Path | None, typer.Option(help="The same points in MOVING (CSV).")] = None,
    fixed_mask: Annotated[Path | None, typer.Option(help="Mask of FIXED, 0 to 1: the region to compare.")] = None,
    moving_mask: Annotated[Path | None, typer.Option(help="Mask of MOVING.")] = None,
    tissue: Annotated[
        Path | None, typer.Option(help="Label map of FIXED; organs may slide along its boundaries.")
    ] = None,
    fixed_keypoints: Annotated[
        Path | None, typer.Option(help="Key points in FIXED (CSV) that guide the registration.")
    ] = None,
    moving_keypoints: Annotated[Path | None, typer.Option(help="The same points in MOVING (CSV).")] = None,
    keypoint_weight: Annotated[float, typer.Option(help="Weight of their mean squared distance [1/mm²].")] = 1.0,
    keypoint_scale: KeypointScale = INFINITE,
    interpolation: InterpolationOption = None,
    background: BackgroundOption = None,
    device: Device = "auto",
    threads: Threads = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")] = True,
    strict: Annotated[bool, typer.Option("--strict", help="End with status 3 if the verdict is failed.")] = False,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Register one pair: align MOVING with FIXED.

    Example:  learngn register fixed.nii.gz moving.nii.gz -o result
    """
    prepare_process(threads)
    check_device(device)
    with importing():
        request = options.request(device)
        from learngn.geometry.grid_map import Resampling
        from learngn.io import Subject, read_label_names
        from learngn.registration import Guidance

    if (fixed_keypoints is None) != (moving_keypoints is None):
        raise SettingsError(
            "keypoints", "those of one scan", "those of both", "give --fixed-keypoints and --moving-keypoints"
        )
    metrics = register_files(
        Subject(fixed, fixed_labels, fixed_landmarks, fixed_mask, fixed_keypoints),
        Subject(moving, moving_labels, moving_landmarks, moving_mask, moving_keypoints),
        output,
        request,
        quiet=quiet,
        model=trained.read(),
        guidance=Guidance(masks=True, keypoints=keypoint_weight, scale=keypoint_scale),
        tissue=tissue,
        resampling=Resampling(name_of(interpolation), background),
        label_names=None if label_names is None else read_label_names(label_names),
        report=report,
    )
    where = f"see {output / 'report.html'}" if report else f"written to {output}"
    show(metrics, where, json=json, quiet=quiet)
    if strict and metrics.get("verdict") == "failed":
        raise typer.Exit(FAILED)


def register_files(
    fixed: Subject, moving: Subject, output: Path, request: Request, *, quiet: bool, **given: Any
) -> dict[str, Any]:
    """Register a pair of files with a progress bar; see :func:`learngn.workflow.register_files`."""
    with importing():
        from learngn.workflow import PairEvents
        from learngn.workflow import register_files as register_pair
    with console.progress(quiet) as bars:
        task = bars.add_task("preparing", total=None)
        events = PairEvents(
            dimension=lambda ndim: console.compile_kernels(ndim, bars),
            begins=lambda settings: bars.update(task, total=sum(settings.iterations)),
            step=lambda step: bars.update(task, advance=1, description=f"level 1/{step.stride:g}"),
            stage=lambda name: bars.update(task, description=name),
        )
        command = shlex.join(["learngn", *sys.argv[1:]])
        with header_warnings(show=lambda message: None):  # they are among the warnings of the result
            return register_pair(fixed, moving, output, request, command=command, events=events, **given)


def show(metrics: Mapping[str, Any], where: str, *, json: bool, quiet: bool) -> None:
    """Print a result: warnings, then JSON or a few lines of text, of which `where` is the last."""
    console.warn(metrics["warnings"], quiet)
    if json:
        console.print_json(metrics)
    elif not quiet:
        for line in (*_summary(metrics), where):
            typer.echo(line)


def _summary(metrics: Mapping[str, Any]) -> list[str]:
    """Return lines of text with scores, folding and time."""
    lines = []
    if "preset" in metrics:
        lines.append(f"preset {metrics['preset']['name']}: {metrics['preset']['because']}")
    for name, after, before, unit in (
        ("Dice", "dice_mean", "dice_mean_before", ""),
        ("TRE", "tre", "tre_before", " mm"),
    ):
        if metrics.get(after) is not None:
            lines.append(f"{name} {metrics[before]:.3f} -> {metrics[after]:.3f}{unit}")
    from learngn.results import readable_spacing

    lines.append(f"finest level {readable_spacing(metrics['finest_level_mm'])}")
    if "verdict" in metrics:
        lines.append(f"verdict {metrics['verdict']}" + "".join(f"\n  {reason}" for reason in metrics["reasons"]))
    lines.append(f"folds {metrics['folds_percent']:.3g} %, stopped: {metrics['stop']}")
    if "uncertainty" in metrics:
        spread = metrics["uncertainty"]
        lines.append(f"uncertain by {spread['median']:.2g} mm (median), {spread['p95']:.2g} mm (95 %)")
    if metrics.get("inverse_error") is not None:
        lines.append(f"inverse off by {metrics['inverse_error']:.2g} voxels on average")
    lines.append(f"{metrics['seconds']['total']:.1f} s, {metrics['peak_memory_mb']:.0f} MB")
    return lines
