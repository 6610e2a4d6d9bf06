"""Exclusive use of an output folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from learngn.errors import OutputError
from learngn.io.locks import locked, take

__all__ = ["exclusive_folder", "locked"]


@contextmanager
def exclusive_folder(directory: Path, name: str) -> Iterator[None]:
    """Hold an output folder for as long as the block runs; the operating system frees it if the process is killed.

    Parameters
    ----------
    directory : Path
        That exists.
    name : str
        Name of the lock file in it. It is removed at the end, and so is a second file beside it, which says for people
        who holds the lock: Windows lets nobody else read a locked file.

    Raises
    ------
    OutputError
        If another process holds it.
    """
    about = directory / f"{name}.holder"
    held = take(directory / name, wait=False)
    if held is None:
        holder = ""
        with suppress(OSError):
            holder = about.read_text(encoding="utf-8", errors="replace")
        raise OutputError(
            f"output folder {directory}",
            f"another run that is writing there ({holder or 'unknown'})",
            "one run at a time",
            "wait for it, or name another output folder",
        )
    try:
        about.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        about.unlink(missing_ok=True)
        held.release(remove=True)
