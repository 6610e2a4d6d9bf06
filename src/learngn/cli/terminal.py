"""Output streams of the program: text in any encoding, and no messages of other libraries."""

from __future__ import annotations

import io
import logging
import os
import sys

from learngn.cli.log import Terminal

_STDERR = 2


def prepare() -> None:
    """Prepare the output streams for the program; the library does not change them."""
    _print_in_any_encoding()
    _silence_native_libraries()
    _show_only_own_messages()


def _print_in_any_encoding() -> None:
    """Replace characters that an encoding lacks, such as λ on a Windows code page, instead of failing."""
    for stream in (sys.stdout, sys.stderr):  # None without a console
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _silence_native_libraries() -> None:
    """Discard messages that ITK, PyTorch and image codecs write to the process's standard error.

    These libraries write to the file descriptor, from any thread. Python's own messages go to a copy of it. Errors of
    the libraries are raised as exceptions.
    """
    try:
        if not isinstance(sys.stderr, io.TextIOWrapper) or sys.stderr.fileno() != _STDERR:
            return  # already redirected, by a test or by a calling program
        sys.stderr.flush()
        saved, null_device = os.dup(_STDERR), os.open(os.devnull, os.O_WRONLY)
    except (OSError, ValueError):  # standard error is closed
        return
    sys.stderr = open(saved, "w", buffering=1, encoding=sys.stderr.encoding, errors="replace")  # noqa: SIM115
    os.dup2(null_device, _STDERR)
    os.close(null_device)


def _show_only_own_messages() -> None:
    """Show log messages of LearnGN, and discard warnings and logs of other libraries, which users cannot act upon."""
    logging.captureWarnings(True)
    logging.getLogger().addHandler(logging.NullHandler())
    own = logging.getLogger("learngn")
    own.addHandler(Terminal())
    own.propagate = False
