"""The commands, one file each; see docs/cli.md."""

from __future__ import annotations

import atexit
import gc
import os

from learngn.cli import terminal
from learngn.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of the program ``learngn``."""
    # Threads that wait for each other actively take the core that the other needs, where there is other work: five
    # times as slow. PyTorch reads this when it is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Nothing that is left at the end is looked through for garbage: half a second.
    atexit.register(gc.freeze)
    terminal.prepare()
    app(prog_name="learngn")
