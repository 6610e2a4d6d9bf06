"""``learngn evaluate``: score a folder of displacements as Learn2Reg does."""

from __future__ import annotations

import csv as csv_files
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli import console
from learngn.errors import DatasetError

if TYPE_CHECKING:
    from learngn.evaluation import Summary

_SEED = 0  # of the bootstrap


def evaluate(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET.json", help="Learn2Reg data set.", show_default=False)],
    fields: Annotated[Path, typer.Option(metavar="DIR", help="Folder of disp_FFFF_MMMM.nii.gz or .npz.")],
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the scores of every pair as CSV.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write scores.csv and scores.json.")
    ] = None,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Score the displacements of a data set's validation pairs: Dice, HD95, TRE, SDlogJ, folds.

    Example:  learngn evaluate AbdomenCT_dataset.json --fields result --csv scores.csv
    """
    import numpy as np

    from learngn.evaluation import score_dataset, summarise
    from learngn.evaluation.tables import render
    from learngn.io import check_writable, read_dataset, write_json, write_text

    description = read_dataset(dataset)
    if not fields.is_dir():
        raise DatasetError(f"folder {fields}", "no such folder", "the folder of the displacements", "check --fields")
    if output is not None:
        check_writable(output)
    with console.progress(quiet) as bars:
        task = bars.add_task("scoring", total=len(description.validation))
        pairs = score_dataset(description, fields, progress=lambda *_: bars.update(task, advance=1))
    summary = summarise(pairs, np.random.default_rng(_SEED), names=description.label_names)
    if csv is not None:
        write_text(_csv(summary), csv)
    if output is not None:
        write_text(_csv(summary), output / "scores.csv")
        write_json(summary.to_json(), output / "scores.json")
    if json:
        console.print_json(summary.to_json())
    elif not quiet:
        console.stdout().print(render(summary))
    end_if_failed(summary)


def end_if_failed(summary: Summary) -> None:
    """End with status 2 if pairs have failed, and say why the first one has."""
    if summary.failed:
        count = f"{len(summary.failed)} of {len(summary.pairs)} pairs failed"
        typer.echo(f"error: {count}, the first of them by {summary.failed[0].error}", err=True)
        raise typer.Exit(2)


def _csv(summary: Summary) -> str:
    from learngn.evaluation.tables import csv_rows

    text = io.StringIO()
    csv_files.writer(text, lineterminator="\n").writerows(csv_rows(summary))
    return text.getvalue()
