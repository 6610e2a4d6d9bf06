"""``learngn submission``: pack the displacements of a data set for Learn2Reg."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from learngn.cli import console
from learngn.errors import DatasetError


class FieldFormat(str, Enum):
    """File formats of the challenge."""

    NIFTI = "nii.gz"
    NUMPY = "npz"


def submission(
    fields: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the displacements.", show_default=False)],
    dataset: Annotated[Path, typer.Argument(metavar="DATASET.json", help="Learn2Reg data set.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.zip", help="Archive to write.")] = Path(
        "submission.zip"
    ),
    pairs: Annotated[
        str,
        typer.Option(
            "--pairs", metavar="val|test|FILE.csv", help="Pairs of the submission, which must all have a displacement."
        ),
    ] = "val",
    form: Annotated[
        FieldFormat, typer.Option("--format", help="Format of the displacement files.")
    ] = FieldFormat.NIFTI,
    float16: Annotated[
        bool, typer.Option("--float16", help="Numbers of 16 bits, as before 2022; only for npz.")
    ] = False,
    folder: Annotated[str, typer.Option(metavar="NAME", help="Folder in the archive; by default none.")] = "",
    full_names: Annotated[
        bool, typer.Option("--full-names", help="Include both modalities in every file name, as in LUMIR.")
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
