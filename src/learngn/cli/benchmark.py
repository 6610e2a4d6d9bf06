"""``learngn benchmark``: reproduction of the paper's comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learngn.cli import console
from learngn.cli.command import add_command
from learngn.cli.options import DataSet, Limit, Seed, Threads, prepare_process
from learngn.cli.panels import EXPERT, OUTPUT, REGISTRATION, TRAINING
from learngn.cli.train import check_installed, training_events
from learngn.errors import require_packages

benchmark = typer.Typer(name="benchmark", help="Reproduce comparisons on your own data.", no_args_is_help=True)


def paper(
    dataset: DataSet,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for models, table, figure.", rich_help_panel=OUTPUT),
    ],
    features: Annotated[
        str,
        typer.Option(
            "--features", metavar="NAME[:W],...", help="Features of every method.", rich_help_panel=REGISTRATION
        ),
    ] = "distance",
    steps: Annotated[
        int | None,
        typer.Option("--steps", metavar="N", min=1, help="Training steps of every method.", rich_help_panel=TRAINING),
    ] = None,
    seed: Seed = 0,
    limit: Limit = None,
    curve_pairs: Annotated[
        int,
        typer.Option(
            "--curve-pairs", metavar="N", min=1, help="Number of pairs in the figure.", rich_help_panel=EXPERT
        ),
    ] = 10,
    threads: Threads = None,
    quiet: console.Quiet = False,
) -> None:
    """Compare Adam, Gauss-Newton, VoxelMorph and learned Gauss-Newton; continue an earlier run.

    Example:  learngn benchmark paper AbdomenCT_dataset.json -o paper
    """
    prepare_process(threads)
    check_installed()
    require_packages("learngn benchmark paper", "plot", "matplotlib")
    from learngn.io import read_dataset
    from learngn.paper import PaperEvents, run_paper

    description = read_dataset(dataset)
    with console.progress(quiet) as bars:
        task = bars.add_task("", total=None)
        events = PaperEvents(lambda what: bars.update(task, description=what), training_events(bars, None, quiet))
        table = run_paper(
            description,
            output,
            features=features,
            steps=steps,
            seed=seed,
            limit=limit,
            curve_pairs=curve_pairs,
            events=events,
        )
    if not quiet:
        typer.echo(table.read_text(encoding="utf-8"))
        typer.echo(f"written to {table}")


add_command(benchmark, paper)
