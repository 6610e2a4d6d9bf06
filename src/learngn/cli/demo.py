"""``learngn demo``: two synthetic abdomens, from nothing to a report."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from learngn.cli import console
from learngn.cli.options import RegistrationOptions, Threads, limit_threads
from learngn.cli.register import Job, show

_SHAPE = (96, 80, 64)
_SEEDS = {"fixed": 1, "moving": 2}


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the result.")] = Path(
        "learngn-demo"
    ),
    threads: Threads = None,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Make two synthetic abdomens, register them, and write a report.

    Example:  learngn demo
    """
    from learngn.io import check_writable, write_image
    from learngn.phantom import ORGANS, abdomen

    limit_threads(threads)
    inputs = output / "inputs"
    check_writable(inputs)
    files: dict[str, Path | None] = {}
    with console.progress(quiet) as bars:
        task = bars.add_task("making two abdomens", total=len(_SEEDS))
        for name, seed in _SEEDS.items():
            phantom = abdomen(_SHAPE, seed=seed)
            for role, image in ((name, phantom.scan), (f"{name}_labels", phantom.labels)):
                files[role] = inputs / f"{role}.nii.gz"
                write_image(image, inputs / f"{role}.nii.gz")
            bars.update(task, advance=1)
    command = shlex.join(["learngn", *sys.argv[1:]])
    metrics = Job(files, output, RegistrationOptions(), report=True, command=command, label_names=ORGANS).run(
        quiet=quiet
    )
    show(metrics, f"report: {output / 'report.html'}", json=json, quiet=quiet)
