"""``learngn register``: registration of one pair of files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from learngn.cli import console
from learngn.cli.bids_options import BidsOptions
from learngn.cli.grouping import with_options
from learngn.cli.log import command_line, run_log
from learngn.cli.options import FAILED, Device, ModelOptions, Threads, check_device, prepare_process
from learngn.cli.pair_options import PairOptions
from learngn.cli.panels import OUTPUT, SCORES
from learngn.cli.resampling import BackgroundOption, InterpolationOption, name_of
from learngn.cli.settings_options import SettingsOptions
from learngn.cli.startup import importing
from learngn.errors import header_warnings

if TYPE_CHECKING:
    from learngn.io import Subject
    from learngn.registration import Registration, Request
    from learngn.workflow.radiotherapy import PlanOptions


@with_options
def register(
    pair: PairOptions,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the result.", rich_help_panel=OUTPUT),
    ],
    options: SettingsOptions,
    trained: ModelOptions,
    derivatives: BidsOptions,
    interpolation: InterpolationOption = None,
    background: BackgroundOption = None,
    device: Device = "auto",
    threads: Threads = None,
    report: console.Report = True,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="End with status 3 if the verdict is failed.", rich_help_panel=SCORES),
    ] = False,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Register one pair: align the moving image with the fixed image.

    Example:  learngn register fixed.nii.gz moving.nii.gz -o result
    """
    prepare_process(threads)
    check_device(device)
    with importing():
        request = options.request(device)
        from learngn.geometry.grid_map import Resampling
        from learngn.io import read_label_names

    fixed, moving = pair.subjects()
    bids = derivatives.output()
    if bids is not None:
        bids.check(fixed.image, moving.image)
    metrics = register_files(
        fixed,
        moving,
        output,
        request,
        quiet=quiet,
        registered=None if bids is None else bids.write_registration,
        model=trained.read(),
        guidance=pair.guidance(),
        tissue=pair.tissue,
        resampling=Resampling(name_of(interpolation), background),
        label_names=None if pair.label_names is None else read_label_names(pair.label_names),
        report=report,
    )
    where = f"see {output / 'report.html'}" if report else f"written to {output}"
    show(metrics, where, json=json, quiet=quiet)
    if strict and metrics.get("verdict") == "failed":
        raise typer.Exit(FAILED)


def register_files(
    fixed: Path | Subject,
    moving: Path | Subject,
    output: Path,
    request: Request,
    *,
    quiet: bool,
    registered: Callable[[Registration], None] | None = None,
    plan: PlanOptions | None = None,
    **given: Any,
) -> dict[str, Any]:
    """Register a pair of files with a progress bar and a log; see :func:`learngn.workflow.register_files`.

    With `plan`, structures and dose are carried along: :func:`learngn.workflow.register_plan`.
    """
    with importing():
        from learngn import workflow
        from learngn.workflow import PairEvents

        run: Callable[..., dict[str, Any]] = workflow.register_files
        if plan is not None:
            from learngn.workflow.radiotherapy import register_plan

            run = partial(cast("Callable[..., dict[str, Any]]", register_plan), options=plan)
    with console.progress(quiet) as bars, run_log() as log:
        task = bars.add_task("preparing", total=None)
        events = PairEvents(
            dimension=lambda ndim: console.compile_kernels(ndim, bars),
            begins=lambda settings: bars.update(task, total=sum(settings.iterations)),
            step=lambda step: bars.update(task, advance=1, description=f"level 1/{step.stride:g}"),
            stage=lambda name: bars.update(task, description=name),
            registered=registered or (lambda registration: None),
            ends=log.write,
        )
        with header_warnings(show=lambda message: None):  # they are among the warnings of the result
            return run(fixed, moving, output, request, command=command_line(), events=events, **given)


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
    if metrics["settings"].get("stains"):
        lines.append(f"compared in {metrics['settings']['stains'].replace(',', ' and ')}")
    if "initial_transform" in metrics:
        lines.append(f"started from {metrics['initial_transform']['description']}")
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
