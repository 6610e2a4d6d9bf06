"""Exclusive lock on an output folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from learngn.errors import OutputError
from learngn.io.locks import acquire, locked

__all__ = ["exclusive_folder", "locked"]


@contextmanager
def exclusive_folder(directory: Path, name: str) -> Iterator[None]:
    """Hold an exclusive lock on an output folder while the block runs.

    The operating system releases the lock if the process is killed.

    Parameters
    ----------
    directory : Path
        Existing folder.
    name : str
        Name of the lock file in it. It is removed at the end, and so is a second file, ``NAME.holder``, which names
        the process that holds the lock for the error message: on Windows no other process can read a locked file.

    Raises
    ------
    OutputError
        If another process holds the lock.
    """
    holder_file = directory / f"{name}.holder"
    held = acquire(directory / name, wait=False)
    if held is None:
        holder = ""
        with suppress(OSError):
            holder = holder_file.read_text(encoding="utf-8", errors="replace")
        raise OutputError(
            f"output folder {directory}",
            f"another run that is writing there ({holder or 'unknown'})",
            "one run at a time",
            "wait for it, or name another output folder",
        )
    try:
        holder_file.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        holder_file.unlink(missing_ok=True)
        held.release(remove=True)
