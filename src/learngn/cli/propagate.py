"""``learngn propagate``: label scans by registered atlases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learngn.cli import console
from learngn.cli.cohort import CohortProgress, show_dashboard
from learngn.cli.options import (
    Device,
    ModelOptions,
    SettingsOptions,
    Threads,
    WorkerOptions,
    check_device,
    prepare_process,
    with_options,
)
from learngn.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@with_options
def propagate(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET.json", help="Data set whose training subjects are the atlases.", show_default=False
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the label maps.")],
    options: SettingsOptions,
    trained: ModelOptions,
    workers: WorkerOptions,
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TARGET]...", help="Scans to label; by default the validation subjects."),
    ] = None,
    voting: Annotated[str, typer.Option(metavar="joint|majority", help="Method of label fusion.")] = "joint",
    atlases: Annotated[int | None, typer.Option(min=1, help="Use only the first N atlases.")] = None,
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
                model=model,
                pool=pool,
                retries=workers.retries,
            )
    if json:
        console.print_json(results)
    elif not quiet:
        console.stdout().print(_table(results, description.label_names))
        typer.echo(f"written to {output}")
    failed = [entry for entry in results if "error" in entry]
    if failed:
        count = f"{len(failed)} of {len(results)} targets failed"
        typer.echo(f"error: {count}, the first of them by {failed[0]['error']}", err=True)
        raise typer.Exit(2)


def _table(results: Sequence[Mapping[str, Any]], names: Mapping[int, str]) -> Any:
    """Make a table with one row per target: number of atlases, and the Dice of every label if the target has labels."""
    from rich.table import Table

    labels = sorted({int(label) for entry in results for label in entry.get("dice", {})})
    labelled = sum("error" not in entry for entry in results)
    table = Table(title=f"{labelled} of {len(results)} scans labelled", title_justify="left")
    table.add_column("Target")
    for heading in ("Atlases", *(["Dice"] if labels else []), *(names.get(label) or str(label) for label in labels)):
        table.add_column(heading, justify="right")
    for entry in results:
        numbers = [entry.get("dice_mean"), *(entry.get("dice", {}).get(str(label)) for label in labels)]
        cells = ["" if number is None else f"{number:.3f}" for number in numbers] if labels else []
        table.add_row(entry["target"], str(entry.get("atlases", "failed")), *cells)
    return table
