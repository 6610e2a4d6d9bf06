"""``learngn template``: build the template of a group."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learngn.cli import console
from learngn.cli.cohort import CohortProgress, show_dashboard
from learngn.cli.grouping import with_options
from learngn.cli.options import DataSet, Device, Threads, check_device, prepare_process
from learngn.cli.panels import INPUT, OUTPUT, REGISTRATION
from learngn.cli.settings_options import SettingsOptions
from learngn.cli.worker_options import WorkerOptions
from learngn.errors import SettingsError


@with_options
def template(
    dataset: DataSet,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the template.", rich_help_panel=OUTPUT)
    ],
    options: SettingsOptions,
    workers: WorkerOptions,
    group: Annotated[
        str,
        typer.Option("--subjects", metavar="train|val|all", help="Subjects of the group.", rich_help_panel=INPUT),
    ] = "train",
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds",
            metavar="N",
            min=1,
            help="Number of registrations of all subjects to the current average.",
            rich_help_panel=REGISTRATION,
        ),
    ] = 3,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=2, help="Use only the first N subjects.", rich_help_panel=INPUT),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Build the template of a group: its mean intensity in its mean shape.

    Example:  learngn template BrainMR_dataset.json -o template --rounds 3 --workers 4
    """
    prepare_process(threads)
    from dataclasses import asdict

    from learngn.atlas import TEMPLATE_NAME, Round, build_template
    from learngn.cohort import open_pool
    from learngn.io import read_dataset, subjects

    check_device(device, elsewhere=bool(workers.scheduler or workers.cluster))
    request = options.request(device)
    description = read_dataset(dataset)
    groups = {"train": description.training, "val": subjects(description.validation)}
    groups["all"] = groups["val"] + groups["train"]
    if group not in groups:
        raise SettingsError("--subjects", repr(group), "train, val or all", "write one of them")
    members = groups[group][:limit]

    def after(entry: Round) -> None:
        if not quiet and not json:
            typer.echo(
                f"{entry.subjects} subjects: template moved by {entry.moved:.3g} mm, "
                f"subjects {entry.spread:.3g} mm from it, intensities changed by {entry.changed:.1%}"
            )

    console.compile_ahead(description.ndim, quiet)
    with open_pool(threads=threads, **workers.connection()) as pool:
        show_dashboard(pool, quiet)
        with console.progress(quiet) as bars:
            progress = CohortProgress(bars, rounds * len(members))
            history = build_template(
                members, output, request, progress.events,
                rounds=rounds, pool=pool, retries=workers.retries, after=after,
            )  # fmt: skip
    if json:
        console.print_json([asdict(entry) for entry in history])
    elif not quiet:
        typer.echo(f"see {output / TEMPLATE_NAME}")
