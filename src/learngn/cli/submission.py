"""``learngn submission``: pack the displacements of a data set for Learn2Reg."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from learngn.cli import console
from learngn.cli.options import DataSet
from learngn.cli.panels import INPUT, OUTPUT
from learngn.errors import DatasetError


class FieldFormat(str, Enum):
    """File formats of the challenge."""

    NIFTI = "nii.gz"
    NUMPY = "npz"


def submission(
    fields: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder of the displacements.", show_default=False, rich_help_panel=INPUT),
    ],
    dataset: DataSet,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE.zip", help="Archive to write.", rich_help_panel=OUTPUT),
    ] = Path("submission.zip"),
    pairs: Annotated[
        str,
        typer.Option(
            "--pairs",
            metavar="PAIRS",
            help="val, test, or a CSV file; all of them must have a displacement.",
            rich_help_panel=INPUT,
        ),
    ] = "val",
    form: Annotated[
        FieldFormat,
        typer.Option(
            "--format", metavar="nii.gz|npz", help="Format of the displacement files.", rich_help_panel=OUTPUT
        ),
    ] = FieldFormat.NIFTI,
    float16: Annotated[
        bool,
        typer.Option("--float16", help="Numbers of 16 bits, as before 2022; only for npz.", rich_help_panel=OUTPUT),
    ] = False,
    folder: Annotated[
        str,
        typer.Option(
            "--folder", metavar="NAME", help="Folder in the archive; by default none.", rich_help_panel=OUTPUT
        ),
    ] = "",
    full_names: Annotated[
        bool,
        typer.Option(
            "--full-names",
            help="Include both modalities in every file name, as in LUMIR.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Check the displacements of a data set's pairs, and pack them for a Learn2Reg submission.

    Example:  learngn submission result AbdomenCTCT_dataset.json -o submission.zip
    """
    from learngn.evaluation import SubmissionFormat, write_submission
    from learngn.io import check_writable, choose_pairs, read_dataset

    submission_format = SubmissionFormat(
        ".npz" if form is FieldFormat.NUMPY else ".nii.gz", float16, folder, full_names
    )
    chosen = choose_pairs(read_dataset(dataset), pairs)
    if not fields.is_dir():
        raise DatasetError(f"folder {fields}", "no such folder", "the folder of the displacements", "check its path")
    check_writable(output.parent)
    with console.progress(quiet) as bars:
        task = bars.add_task("packing", total=len(chosen))
        names = write_submission(
            chosen, fields, output, submission_format, progress=lambda *_: bars.update(task, advance=1)
        )
    megabytes = output.stat().st_size / 1e6
    if json:
        console.print_json({"archive": str(output), "megabytes": round(megabytes, 3), "files": names})
    elif not quiet:
        typer.echo(f"{len(names)} fields, {megabytes:.1f} MB, written to {output}")
