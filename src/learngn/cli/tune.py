"""``learngn tune``: find settings for a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli import console
from learngn.cli.grouping import with_options
from learngn.cli.options import DataSetOrTable, Seed, Threads, prepare_process
from learngn.cli.panels import INPUT, OUTPUT, REGISTRATION
from learngn.cli.settings_options import SettingsOptions

if TYPE_CHECKING:
    from learngn.workflow.tune import Trial


@with_options
def tune(
    dataset: DataSetOrTable,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="JSON file for the settings found.", rich_help_panel=OUTPUT
        ),
    ],
    options: SettingsOptions,
    pairs: Annotated[
        int,
        typer.Option(
            "--pairs",
            metavar="N",
            min=1,
            help="Number of pairs of training subjects, chosen at random.",
            rich_help_panel=INPUT,
        ),
    ] = 8,
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds",
            metavar="N",
            min=1,
            help="Rounds of the search, with decreasing steps.",
            rich_help_panel=REGISTRATION,
        ),
    ] = 3,
    folds: Annotated[
        float,
        typer.Option(
            "--folds", metavar="X", min=0, help="Folding that is not penalised [%].", rich_help_panel=REGISTRATION
        ),
    ] = 0.1,
    seed: Seed = 0,
    threads: Threads = None,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Find λ, levels and iterations on the training subjects of a data set, or on the pairs of a CSV of paths.

    The validation pairs of a data set are not used. Use the result with --settings FILE.

    Example:  learngn tune AbdomenCT_dataset.json -o settings.json
    """
    prepare_process(threads)
    from learngn.io import check_writable, read_dataset
    from learngn.settings import write_settings
    from learngn.workflow.tune import best
    from learngn.workflow.tune import tune as search

    check_writable(output.parent)
    description = read_dataset(dataset)
    request = options.request()
    console.compile_ahead(description.ndim, quiet)

    def tried(trial: Trial, is_best: bool) -> None:
        if not (quiet or json):
            typer.echo(_line(trial, is_best))

    trials = search(description, request, pairs=pairs, rounds=rounds, most_folds=folds, seed=seed, callback=tried)
    winner = best(trials)
    write_settings(winner.settings, output)
    if json:
        console.print_json({"best": winner.to_json(), "trials": [trial.to_json() for trial in trials]})
    elif not quiet:
        typer.echo(f"{len(trials)} trials: {trials[0].objective:.4f} -> {winner.objective:.4f}")
        typer.echo(f"try  learngn cohort {dataset} -o DIR --settings {output}")


def _line(trial: Trial, is_best: bool) -> str:
    s = trial.settings
    levels = ", ".join(f"{n}/{stride:g}" for n, stride in zip(s.iterations, s.strides, strict=True))
    return (
        f"{trial.objective:.4f}  folds {trial.folds:.3f} %  {trial.seconds:.2f} s  λ {s.lam[0]:.3g} to {s.lam[1]:.3g}, "
        f"iterations/stride {levels}{'  *' if is_best else ''}"
    )
