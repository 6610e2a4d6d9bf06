"""Output of commands: results on stdout, progress and warnings on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from learngn import errors
from learngn.cli.panels import OUTPUT

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Json = Annotated[
    bool,
    typer.Option("--json", help="Print the result as JSON on stdout, for other programs.", rich_help_panel=OUTPUT),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=OUTPUT)]
Report = Annotated[
    bool, typer.Option("--report/--no-report", help="Write the page report.html.", rich_help_panel=OUTPUT)
]

_FILE_WIDTH = 120  # characters
_FORCING = "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"  # variables by which Rich takes a pipe for a terminal


def stdout() -> Console:
    """Return the console for results; wide enough for all tables in files and pipes."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _FILE_WIDTH)


def stderr() -> Console:
    """Return the console for progress and warnings."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress(quiet: bool) -> Iterator[Progress]:
    """Show progress bars on stderr if it is a terminal, and remove them at the end."""
    if quiet or not (sys.stderr.isatty() or any(name in os.environ for name in _FORCING)):
        yield cast("Progress", NoProgress())
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = stderr()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield bars


class NoProgress:
    """Progress bars that are not shown, for which Rich is not imported."""

    def add_task(self, *_: Any, **__: Any) -> int:
        """See ``rich.progress.Progress``."""
        return 0

    def update(self, *_: Any, **__: Any) -> None:
        """See ``rich.progress.Progress``."""

    def reset(self, *_: Any, **__: Any) -> None:
        """See ``rich.progress.Progress``."""

    def remove_task(self, *_: Any) -> None:
        """See ``rich.progress.Progress``."""

    @property
    def console(self) -> Console:
        """Console for further lines."""
        return stderr()


def compile_kernels(ndim: int, bars: Progress) -> None:
    """Compile kernels that are not in the cache for this processor, and show this as a task.

    A line on stderr says so, too, terminal or not: a log message.
    """
    from learngn.kernels import warm

    if warm.is_cold(ndim):
        task = bars.add_task("compiling", total=None)
        warm.compile_all(ndim)
        bars.remove_task(task)


def compile_ahead(ndim: int, quiet: bool) -> None:
    """Do the same before anything else is shown."""
    with progress(quiet) as bars:
        compile_kernels(ndim, bars)


def print_json(result: Any) -> None:
    """Print a result as JSON; characters that the encoding of stdout lacks are escaped."""
    text = json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        text = json.dumps(result, indent=2, allow_nan=False)
    typer.echo(text)


def warn(messages: list[str], quiet: bool) -> None:
    """Print warnings, one per line."""
    if not quiet:
        for message in messages:
            typer.echo(f"warning: {message}", err=True)


@contextmanager
def header_warnings(quiet: bool) -> Iterator[list[str]]:
    """Print warnings about image headers as they occur, each message once, unless quiet.

    A command that writes its warnings to a file also collects them with its own block of
    :func:`learngn.errors.header_warnings`; they are printed nevertheless.
    """
    with errors.header_warnings(lambda message: warn([message], quiet)) as messages:
        yield messages
