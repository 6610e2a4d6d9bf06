"""Locks on files: one holder at a time on every system, and free again however the holder ends."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout, UnixFileLock

# File systems without locks: nothing is held then. Every file is written whole all the same.
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@dataclass(frozen=True)
class Held:
    """A lock that is held.

    Attributes
    ----------
    path : Path
        The locked file.
    """

    path: Path
    _lock: BaseFileLock | None

    @property
    def exclusive(self) -> bool:
        """Whether nobody else can hold it; False on a file system without locks."""
        return self._lock is not None

    def release(self, *, remove: bool = False) -> None:
        """Let go of the lock, and remove its file if asked for.

        Unix removes the file while the lock is still held, so that whoever waits for it notices and makes a new one;
        Windows keeps open files, and filelock removes it there when it is closed.
        """
        if remove and (self._lock is None or isinstance(self._lock, UnixFileLock)):
            with suppress(OSError):
                self.path.unlink()
        if self._lock is not None:
            self._lock.release()


def take(path: Path, *, wait: bool) -> Held | None:
    """Take the lock on a file, which is made if need be.

    Parameters
    ----------
    path : Path
        In a folder that exists.
    wait : bool
        Wait until it is free, rather than return at once.

    Returns
    -------
    Held or None
        None if somebody else holds it.

    Raises
    ------
    OSError
        If the file cannot be made.
    """
    # Whichever thread ends a block may release what another one has taken.
    lock = FileLock(path, timeout=-1 if wait else 0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    except NotImplementedError:
        return Held(path, None)
    except OSError as failure:
        if failure.errno not in _UNSUPPORTED:
            raise
        return Held(path, None)
    return Held(path, lock)


@contextmanager
def locked(path: Path, *, remove: bool = False) -> Iterator[None]:
    """Hold the lock on a file while the block runs; wait until it is free.

    Parameters
    ----------
    path : Path
        In a folder that exists.
    remove : bool
        Whether the file is removed at the end.
    """
    held = take(path, wait=True)
    try:
        yield
    finally:
        if held is not None:
            held.release(remove=remove)
