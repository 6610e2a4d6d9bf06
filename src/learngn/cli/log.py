"""Log messages of the package: as lines on the terminal, and as a file beside the results."""

from __future__ import annotations

import logging
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from learngn._version import __version__

LOG_NAME = "learngn.log"
QUIET, DETAILED = -1, 2  # verbosity of --quiet and -vv
_PACKAGE = "learngn"
_ALWAYS = "learngn.kernels"  # its messages explain a long wait, and are shown without --verbose
_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class Terminal(logging.Handler):
    """Log handler that prints messages as lines on stderr, above progress bars.

    Attributes
    ----------
    verbosity : int
        With -1 (``--quiet``) errors are shown; with 0 also warnings, and that kernels are being compiled; with 1
        (``-v``) also what is chosen and done; with 2 (``-vv``) also every step.
    """

    verbosity = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message is shown."""
        level = {QUIET: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}.get(self.verbosity, logging.DEBUG)
        if self.verbosity == 0 and record.name.startswith(_ALWAYS):
            level = logging.INFO
        return record.levelno >= level

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message."""
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        typer.echo(f"{prefix}{record.getMessage()}", err=True)


@contextmanager
def messages(verbosity: int) -> Iterator[None]:
    """Pass all messages of the package to its handlers during a ``with`` block, of which the terminal shows some.

    Parameters
    ----------
    verbosity : int
        See :class:`Terminal`, which the program has installed (:func:`learngn.cli.terminal.prepare`).
    """
    own = logging.getLogger(_PACKAGE)
    terminals = [handler for handler in own.handlers if isinstance(handler, Terminal)]
    level, before = own.level, [terminal.verbosity for terminal in terminals]
    own.setLevel(logging.DEBUG)  # for all handlers; that of the terminal chooses
    for terminal in terminals:
        terminal.verbosity = min(verbosity, DETAILED)
    try:
        yield
    finally:
        own.setLevel(level)
        for terminal, old in zip(terminals, before, strict=True):
            terminal.verbosity = old


class RunLog(logging.Handler):
    """Log handler that keeps the messages of a run, until they are written to a file of its result."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter(_FORMAT))
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self._lines.append(" ".join(self.format(record).splitlines()))

    def write(self, folder: Path) -> None:
        """Append the messages since the last call to ``learngn.log`` in a folder."""
        lines, self._lines = self._lines, []
        with (folder / LOG_NAME).open("a", encoding="utf-8", errors="replace") as file:
            file.writelines(f"{line}\n" for line in lines)


@contextmanager
def run_log() -> Iterator[RunLog]:
    """Keep all messages of the package in a ``with`` block, after one with the command and the versions."""
    own, handler = logging.getLogger(_PACKAGE), RunLog()
    own.addHandler(handler)
    try:
        own.info("%s", command_line())
        own.info("learngn %s, Python %s, %s", __version__, platform.python_version(), platform.platform())
        yield handler
    finally:
        own.removeHandler(handler)


def command_line() -> str:
    """Return the command line that repeats this run."""
    return shlex.join(["learngn", *sys.argv[1:]])
