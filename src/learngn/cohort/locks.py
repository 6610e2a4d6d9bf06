"""Locks on files: one process at a time, and free again however the holder has ended."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from learngn.errors import OutputError

# File systems without locks: nothing is held then. Every file is written whole all the same.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on a file, made if need be, when nobody else does: wait for it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _take(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def folder_of_ones_own(directory: Path, name: str) -> Iterator[None]:
    """Hold an output folder for as long as the block runs; the operating system frees it if the process is killed.

    Parameters
    ----------
    directory : Path
        That exists.
    name : str
        Of the file in it that is locked, and removed at the end.

    Raises
    ------
    OutputError
        If another process holds it.
    """
    path = directory / name
    descriptor = _take_at_once(path)
    if descriptor is None:
        holder = ""
        with suppress(FileNotFoundError):
            holder = path.read_text(encoding="utf-8")
        raise OutputError(
            f"output folder {directory}",
            f"another run that is writing there ({holder or 'unknown'})",
            "one run at a time",
            "wait for it, or name another output folder",
        )
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        path.unlink(missing_ok=True)  # still held: whoever opens it from now on makes a new one
        os.close(descriptor)


def _take_at_once(path: Path) -> int | None:
    """Descriptor of the locked file; None if somebody else has it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not _take(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
            os.close(descriptor)
            return None
        # Its last holder may have removed the file between our opening and our lock.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)


def _take(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    except OSError as failure:
        if failure.errno not in _NO_LOCKS:
            raise
    return True
