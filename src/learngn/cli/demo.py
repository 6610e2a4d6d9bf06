"""``learngn demo``: registration of two synthetic abdomens, with a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learngn.cli import console
from learngn.cli.options import Threads, prepare_process
from learngn.cli.panels import OUTPUT
from learngn.cli.register import register_files, show

_SHAPE = (96, 80, 64)
_SEEDS = {"fixed": 1, "moving": 2}


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the result.", rich_help_panel=OUTPUT)
    ] = Path("learngn-demo"),
    threads: Threads = None,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Make two synthetic abdomens, register them, and write a report.

    Example:  learngn demo
    """
    prepare_process(threads)
    from learngn.io import Subject, check_writable, write_image
    from learngn.phantom import ORGANS, abdomen
    from learngn.registration import Request

    inputs = output / "inputs"
    check_writable(inputs)
    subjects = []
    with console.progress(quiet) as bars:
        task = bars.add_task("making two abdomens", total=len(_SEEDS))
        for name, seed in _SEEDS.items():
            phantom = abdomen(_SHAPE, seed=seed)
            image, labels = inputs / f"{name}.nii.gz", inputs / f"{name}_labels.nii.gz"
            write_image(phantom.scan, image)
            write_image(phantom.labels, labels)
            subjects.append(Subject(image, labels))
            bars.update(task, advance=1)
    fixed, moving = subjects
    metrics = register_files(fixed, moving, output, Request(), quiet=quiet, label_names=ORGANS)
    show(metrics, f"report: {output / 'report.html'}", json=json, quiet=quiet)
