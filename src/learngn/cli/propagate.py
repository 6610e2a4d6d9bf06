"""``learngn propagate``: label scans by atlases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learngn.cli import console
from learngn.cli.cohort import CohortProgress, recognised, tell_workers
from learngn.cli.options import (
    AffineFamily,
    Cluster,
    Features,
    Iterations,
    Lambda,
    NoAffine,
    PresetName,
    RegistrationOptions,
    Retries,
    SchedulerAddress,
    SettingsFile,
    Strides,
    Threads,
    TrainedModel,
    Workers,
    limit_threads,
    linear,
)
from learngn.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def propagate(
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET.json", help="Its training subjects are the atlases.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the label maps.")],
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TARGET]...", help="Scans to label; by default the validation subjects."),
    ] = None,
    voting: Annotated[str, typer.Option(metavar="joint|majority", help="How the atlases vote.")] = "joint",
    atlases: Annotated[int | None, typer.Option(min=1, help="Only so many atlases, the first ones.")] = None,
    features: Features = None,
    model: TrainedModel = None,
    settings: SettingsFile = None,
    preset: PresetName = None,
    affine: AffineFamily = None,
    no_affine: NoAffine = False,
    strides: Strides = None,
    iterations: Iterations = None,
    lam: Lambda = None,
    threads: Threads = None,
    workers: Workers = 0,
    scheduler: SchedulerAddress = None,
    cluster: Cluster = None,
    retries: Retries = 1,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Label scans: register every atlas to each of them, and let their labels vote.

    Example:  learngn propagate AbdomenCT_dataset.json -o labels --voting joint --workers 4
    """
    from learngn.atlas import propagate as propagate_labels
    from learngn.cohort import open_pool
    from learngn.io import find_subject, read_dataset, subjects

    limit_threads(threads)
    options = RegistrationOptions(
        features=features,
        affine=linear(affine, no_affine),
        strides=strides,
        iterations=iterations,
        lam=lam,
        model=model,
        file=settings,
        preset=preset,
    )
    description = read_dataset(dataset)
    teachers = description.training[:atlases]
    pupils = [find_subject(str(Path(name).resolve()), description.root / "targets") for name in targets or []]
    pupils = pupils or list(subjects(description.validation))
    if not teachers or not pupils:
        raise DatasetError(
            f"data set {dataset}", f"{len(teachers)} atlases, {len(pupils)} targets", "one at least of each",
            "fill in training, with labelsTr, and registration_val, or name targets",
        )  # fmt: skip
    options = recognised(options, (pupils[0], teachers[0]), quiet)
    with open_pool(workers, threads=threads, scheduler=scheduler, cluster=cluster) as pool:
        tell_workers(pool, quiet)
        with console.progress(quiet) as bars:
            found = propagate_labels(
                pupils,
                teachers,
                output,
                options.settings,
                CohortProgress(bars, len(pupils) * len(teachers)).events,
                voting=voting,
                model=options.trained,
                pool=pool,
                retries=retries,
            )
    if json:
        console.print_json(found)
    elif not quiet:
        console.stdout().print(_table(found, description.label_names))
        typer.echo(f"written to {output}")
    failed = [entry for entry in found if "error" in entry]
    if failed:
        count = f"{len(failed)} of {len(found)} targets failed"
        typer.echo(f"error: {count}, the first of them by {failed[0]['error']}", err=True)
        raise typer.Exit(2)


def _table(found: Sequence[Mapping[str, Any]], names: Mapping[int, str]) -> Any:
    """One row a target: how many voted, and the Dice of every label if the target has labels."""
    from rich.table import Table

    labels = sorted({int(label) for entry in found for label in entry.get("dice", {})})
    table = Table(title=f"{sum('error' not in e for e in found)} of {len(found)} scans labelled", title_justify="left")
    table.add_column("Target")
    for heading in ("Atlases", *(["Dice"] if labels else []), *(names.get(label) or str(label) for label in labels)):
        table.add_column(heading, justify="right")
    for entry in found:
        numbers = [entry.get("dice_mean"), *(entry.get("dice", {}).get(str(label)) for label in labels)]
        cells = ["" if number is None else f"{number:.3f}" for number in numbers] if labels else []
        table.add_row(entry["target"], str(entry.get("atlases", "failed")), *cells)
    return table
