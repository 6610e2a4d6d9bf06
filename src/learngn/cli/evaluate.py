"""``learngn evaluate``: score a folder of displacements as Learn2Reg does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli import console
from learngn.cli.options import DataSetOrTable, LabelNames, Pairs
from learngn.cli.panels import INPUT, OUTPUT, SCORES
from learngn.errors import DatasetError, require_packages

if TYPE_CHECKING:
    from learngn.evaluation import PairScores, Summary
    from learngn.io import Pair

_SEED = 0  # random seed of the bootstrap


class RankingTest(str, Enum):
    """Statistical tests for the ranking of methods; see :func:`learngn.evaluation.rank`."""

    RANK_SUM = "rank-sum"
    SIGNED_RANK = "signed-rank"


def evaluate(
    dataset: DataSetOrTable,
    fields: Annotated[
        list[str],
        typer.Option(
            "--fields",
            metavar="[NAME=]DIR",
            help="Folder of disp_FFFF_MMMM.nii.gz or .npz; repeat it for each method to compare.",
            rich_help_panel=INPUT,
        ),
    ],
    pairs: Pairs = "val",
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write the scores of every pair as CSV.", rich_help_panel=OUTPUT),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Write scores.csv and scores.json.", rich_help_panel=OUTPUT),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Plot the scores of the methods: .png, .svg or .pdf.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    label_names: LabelNames = None,
    test: Annotated[
        RankingTest,
        typer.Option(
            "--test",
            metavar="rank-sum|signed-rank",
            help="Test for the ranking of several methods.",
            rich_help_panel=SCORES,
        ),
    ] = RankingTest.RANK_SUM,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Score the displacements of a data set's validation pairs: Dice, HD95, TRE, SDlogJ, folding.

    Example:  learngn evaluate AbdomenCT_dataset.json --fields result --csv scores.csv
    """
    import numpy as np

    from learngn.evaluation import compare_methods, score_dataset, summarise
    from learngn.evaluation.tables import render, render_comparison
    from learngn.io import check_writable, choose_pairs, read_dataset, read_label_names, write_json, write_text

    folders = named_folders(fields)
    description = read_dataset(dataset)
    names = description.label_names if label_names is None else read_label_names(label_names)
    chosen = choose_pairs(description, pairs)
    if output is not None:
        check_writable(output)
    if plot is not None:
        from learngn.evaluation.plot import check_plot_path

        require_packages("learngn evaluate --plot", "plot", "matplotlib")
        check_plot_path(plot)
    summaries: dict[str, Summary] = {}
    with console.progress(quiet) as bars:
        task = bars.add_task("scoring", total=len(chosen) * len(folders))
        for name, folder in folders.items():
            scores = score_dataset(description, folder, pairs=chosen, progress=lambda *_: bars.update(task, advance=1))
            scores = with_verdicts(scores, chosen, folder)
            summaries[name] = summarise(scores, np.random.default_rng(_SEED), names=names)
    first = next(iter(summaries.values()))
    comparison = compare_methods(summaries, test=test.value) if len(summaries) > 1 else None
    result = first.to_json() if comparison is None else comparison.to_json()
    for path in [csv, *([] if output is None else [output / "scores.csv"])]:
        if path is not None:
            write_text(_csv(summaries), path)
    if output is not None:
        write_json(result, output / "scores.json")
    if plot is not None:
        from learngn.evaluation.plot import draw_methods

        draw_methods(summaries, plot)
    if json:
        console.print_json(result)
    elif not quiet:
        console.stdout().print(render(first) if comparison is None else render_comparison(comparison))
    for summary in summaries.values():
        end_if_failed(summary)


def with_verdicts(scores: Sequence[PairScores], pairs: Sequence[Pair], folder: Path) -> list[PairScores]:
    """Return scores with the verdicts that ``learngn cohort`` has recorded in the folder, if it has."""
    from learngn.cohort import read_records

    try:
        records = read_records(folder)
    except DatasetError:  # a file of this name by another program: displacements of any origin are scored
        return list(scores)
    judged = []
    for score, pair in zip(scores, pairs, strict=True):
        record = records.get(pair.id, {})
        known = "verdict" in record and score.error is None
        words = {"verdict": record["verdict"], "reasons": tuple(record.get("reasons", ()))} if known else {}
        judged.append(replace(score, **words))
    return judged


def named_folders(fields: list[str]) -> dict[str, Path]:
    """Return folders by the name of their method: the text before ``=``, or else the folder's name.

    Raises
    ------
    DatasetError
        If a folder does not exist, or two have the same name.
    """
    folders: dict[str, Path] = {}
    for text in fields:
        before, equals, after = text.partition("=")
        # The name of a folder may contain "=".
        name, path = ("", Path(text)) if not equals or Path(text).is_dir() else (before, Path(after))
        if not path.is_dir():
            raise DatasetError(f"folder {path}", "no such folder", "the folder of the displacements", "check --fields")
        name = name or path.resolve().name
        if name in folders:
            raise DatasetError(
                f"--fields {text}", f"the name {name!r} again", "one name for each method", "write --fields NAME=DIR"
            )
        folders[name] = path
    return folders


def end_if_failed(summary: Summary) -> None:
    """Exit with status 2 if pairs have failed, with the error of the first one."""
    if summary.failed:
        count = f"{len(summary.failed)} of {len(summary.pairs)} pairs failed"
        typer.echo(f"error: {count}, the first of them by {summary.failed[0].error}", err=True)
        raise typer.Exit(2)


def _csv(summaries: dict[str, Summary]) -> str:
    """Format scores as one table; for several methods with a column for the method, and all columns of any of them."""
    from learngn.evaluation.score_csv import csv_rows, csv_text

    if len(summaries) == 1:
        return csv_text(csv_rows(next(iter(summaries.values()))))
    tables = {name: csv_rows(summary) for name, summary in summaries.items()}
    columns = list(dict.fromkeys(column for rows in tables.values() for column in rows[0]))
    lines = [["method", *columns]]
    for name, (heading, *rows) in tables.items():
        cells = (dict(zip(heading, row, strict=True)) for row in rows)
        lines += [[name, *(entry.get(column, "") for column in columns)] for entry in cells]
    return csv_text(lines)
