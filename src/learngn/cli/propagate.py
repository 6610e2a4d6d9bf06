"""``learngn propagate``: label scans by registered atlases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learngn.cli import console
from learngn.cli.cohort import CohortProgress, show_dashboard
from learngn.cli.grouping import with_options
from learngn.cli.options import Device, ModelOptions, Threads, check_device, check_judged, prepare_process
from learngn.cli.panels import INPUT, OUTPUT, REGISTRATION
from learngn.cli.settings_options import SettingsOptions
from learngn.cli.worker_options import Retry, WorkerOptions
from learngn.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@with_options
def propagate(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET.json",
            help="Data set whose training subjects are the atlases.",
            show_default=False,
            rich_help_panel=INPUT,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the label maps.", rich_help_panel=OUTPUT)
    ],
    options: SettingsOptions,
    trained: ModelOptions,
    workers: WorkerOptions,
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET]...",
            help="Scans to label; by default the validation subjects.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    voting: Annotated[
        str,
        typer.Option(
            "--voting", metavar="joint|majority", help="Method of label fusion.", rich_help_panel=REGISTRATION
        ),
    ] = "joint",
    weigh: Annotated[
        bool,
        typer.Option(
            "--weigh/--no-weigh",
            help="Weight the votes by the verdict on each atlas's registration (with --uncertainty, by that too) and "
            "leave out those that failed; or let all vote alike.",
            rich_help_panel=REGISTRATION,
        ),
    ] = True,
    retry: Retry = False,
    atlases: Annotated[
        int | None,
        typer.Option("--atlases", metavar="N", min=1, help="Use only the first N atlases.", rich_help_panel=INPUT),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Label scans: register every atlas to each scan, and fuse their labels.

    Example:  learngn propagate AbdomenCT_dataset.json -o labels --voting joint --workers 4
    """
    prepare_process(threads)
    from learngn.atlas import propagate as propagate_labels
    from learngn.cohort import open_pool
    from learngn.io import find_subject, read_dataset, subjects

    check_device(device, elsewhere=bool(workers.scheduler or workers.cluster))
    check_judged(options.quality, retry=retry)
    request, model = options.request(device), trained.read()
    description = read_dataset(dataset)
    atlas_subjects = description.training[:atlases]
    scans = [find_subject(str(Path(name).resolve()), description.root / "targets") for name in targets or []]
    scans = scans or list(subjects(description.validation))
    if not atlas_subjects or not scans:
        raise DatasetError(
            f"data set {dataset}", f"{len(atlas_subjects)} atlases, {len(scans)} targets", "one at least of each",
            "fill in training, with labelsTr, and registration_val, or name targets",
        )  # fmt: skip
    console.compile_ahead(description.ndim, quiet)
    with open_pool(threads=threads, **workers.connection()) as pool:
        show_dashboard(pool, quiet)
        with console.progress(quiet) as bars:
            results = propagate_labels(
                scans,
                atlas_subjects,
                output,
                request,
                CohortProgress(bars, len(scans) * len(atlas_subjects)).events,
                voting=voting,
                weigh=weigh,
                model=model,
                pool=pool,
                retries=workers.retries,
                retry=retry,
            )
    console.warn(_warnings(results), quiet)
    if json:
        console.print_json(results)
    elif not quiet:
        console.stdout().print(_tables(results, description.label_names))
        typer.echo(f"written to {output}")
    failed = [entry for entry in results if "error" in entry]
    if failed:
        count = f"{len(failed)} of {len(results)} targets failed"
        typer.echo(f"error: {count}, the first of them by {failed[0]['error']}", err=True)
        raise typer.Exit(2)


def _warnings(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for every target some or all of whose atlases have the verdict failed."""
    lines = []
    for entry in results:
        if "left_out" in entry:
            names = ", ".join(entry["left_out"])
            lines.append(f"{entry['target']}: no vote for {names}, since the verdict on the registration is failed")
        elif entry.get("all_failed"):
            lines.append(
                f"{entry['target']}: the verdict on every atlas's registration is failed; all vote nevertheless"
            )
    return lines


def _tables(results: Sequence[Mapping[str, Any]], names: Mapping[int, str]) -> Any:
    """Make a table with a row per target, and, if targets have labels, one with a row per label: no line is long."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    labels = sorted({int(label) for entry in results for label in entry.get("dice", {})})
    labelled = sum("error" not in entry for entry in results)
    targets = Table(title=f"{labelled} of {len(results)} scans labelled", title_justify="left")
    targets.add_column("Target", no_wrap=True, overflow="fold")
    for heading in ("Atlases", *(["Dice"] if labels else [])):
        targets.add_column(heading, justify="right")
    for entry in results:
        cells = [_dice(entry.get("dice_mean"))] if labels else []
        targets.add_row(escape(entry["target"]), str(entry.get("atlases", "failed")), *cells)
    if not labels:
        return targets
    by_label = Table(title="By label", title_justify="left")
    by_label.add_column("Label")
    for heading in ("Mean Dice", "Lowest"):
        by_label.add_column(heading, justify="right")
    by_label.add_column("of", no_wrap=True, overflow="fold")
    for label in labels:
        known = [(e["dice"][str(label)], e["target"]) for e in results if e.get("dice", {}).get(str(label)) is not None]
        lowest, target = min(known, default=(None, ""))
        mean = sum(value for value, _ in known) / len(known) if known else None
        name = escape(f"{label} {names.get(label, '')}".rstrip())
        by_label.add_row(name, _dice(mean), _dice(lowest), escape(target))
    return Group(targets, by_label)


def _dice(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
