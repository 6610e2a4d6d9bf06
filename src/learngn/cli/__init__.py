"""The command-line program, with one module for each command; see docs/cli.md."""

from __future__ import annotations

import atexit
import gc
import os

from learngn.cli import terminal
from learngn.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of the program ``learngn``."""
    # OpenMP threads that wait actively occupy cores that other threads need: on a busy machine this is five times as
    # slow. PyTorch reads this variable when it is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # No garbage collection at exit, which takes half a second.
    atexit.register(gc.freeze)
    terminal.prepare()
    app(prog_name="learngn")
