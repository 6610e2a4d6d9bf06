"""What commands say: results on stdout, progress and warnings on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learngn import errors

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout, for other programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]

_FILE_WIDTH = 120  # characters


def stdout() -> Console:
    """Console for results; in files and pipes wide enough for every table."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _FILE_WIDTH)


def stderr() -> Console:
    """Console for progress and warnings."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress(quiet: bool) -> Iterator[Progress]:
    """Progress bars on a terminal's stderr that vanish when they are done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = stderr()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bars:
        yield bars


def compile_kernels(ndim: int, bars: Progress) -> None:
    """Compile for this processor what has not been yet; says so, as it takes a while."""
    from learngn.kernels import warm

    if warm.is_cold(ndim):
        task = bars.add_task("compiling for this processor, this once", total=None)
        warm.compile_all(ndim)
        bars.remove_task(task)


def print_json(result: Any) -> None:
    """Print a result for machines."""
    typer.echo(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False))


def warn(messages: list[str], quiet: bool) -> None:
    """Print warnings, one a line."""
    if not quiet:
        for message in messages:
            typer.echo(f"warning: {message}", err=True)


@contextmanager
def header_warnings(quiet: bool) -> Iterator[list[str]]:
    """Print what is odd about the headers of images as it is found, each message once, unless quiet.

    A command that writes its warnings to a file collects them with a block of its own,
    :func:`learngn.errors.header_warnings`; they are printed all the same.
    """
    with errors.header_warnings(lambda message: warn([message], quiet)) as messages:
        yield messages
