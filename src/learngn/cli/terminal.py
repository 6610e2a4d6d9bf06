"""What the program shows: text on a terminal of any encoding, and no messages but its own."""

from __future__ import annotations

import io
import logging
import os
import sys

import typer

_STDERR = 2


def prepare() -> None:
    """Prepare the streams of a process that serves as the program; the library leaves them alone."""
    _print_in_any_encoding()
    _silence_native_libraries()
    _show_own_messages_alone()


def _print_in_any_encoding() -> None:
    """Replace characters that an output lacks, such as λ on a Windows code page, instead of failing on them."""
    for stream in (sys.stdout, sys.stderr):  # None without a console
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _silence_native_libraries() -> None:
    """Keep what ITK, PyTorch and codecs of images write to the process's standard error from the terminal.

    They write to the file descriptor itself, whichever thread they run in. Python's own messages move to a copy of it.
    Errors of these libraries come as exceptions.
    """
    try:
        if not isinstance(sys.stderr, io.TextIOWrapper) or sys.stderr.fileno() != _STDERR:
            return  # taken already, by a test or by a program that calls this one
        sys.stderr.flush()
        kept, nowhere = os.dup(_STDERR), os.open(os.devnull, os.O_WRONLY)
    except (OSError, ValueError):  # closed: nobody listens
        return
    sys.stderr = open(kept, "w", buffering=1, encoding=sys.stderr.encoding, errors="replace")  # noqa: SIM115
    os.dup2(nowhere, _STDERR)
    os.close(nowhere)


def _show_own_messages_alone() -> None:
    """Show what LearnGN logs; warnings and logs of other libraries, which users cannot act upon, go nowhere."""
    logging.captureWarnings(True)
    logging.getLogger().addHandler(logging.NullHandler())
    own = logging.getLogger("learngn")
    own.setLevel(logging.INFO)
    own.addHandler(_Messages())
    own.propagate = False


class _Messages(logging.Handler):
    """Messages as lines on stderr, beside progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        typer.echo(f"{prefix}{record.getMessage()}", err=True)
