"""File locks: one holder at a time on every operating system, released when the holder's process ends."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout, UnixFileLock

# Errors of file systems without locks: no lock is held there. Files are still written atomically.
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@dataclass(frozen=True)
class HeldLock:
    """Acquired lock on a file.

    Attributes
    ----------
    path : Path
        The locked file.
    """

    path: Path
    _lock: BaseFileLock | None

    @property
    def exclusive(self) -> bool:
        """Whether no other process can hold the lock; False on a file system without locks."""
        return self._lock is not None

    def release(self, *, remove: bool = False) -> None:
        """Release the lock, and remove its file if `remove` is set.

        On Unix the file is removed while the lock is still held, so that waiting processes notice and make a new one;
        Windows cannot remove open files, and filelock removes it there when it is closed.
        """
        if remove and (self._lock is None or isinstance(self._lock, UnixFileLock)):
            with suppress(OSError):
                self.path.unlink()
        if self._lock is not None:
            self._lock.release()


def acquire(path: Path, *, wait: bool) -> HeldLock | None:
    """Acquire the lock on a file, which is made if it does not exist.

    Parameters
    ----------
    path : Path
        Lock file, in an existing folder.
    wait : bool
        Whether to wait until the lock is free.

    Returns
    -------
    HeldLock or None
        None if another process holds the lock and `wait` is False.

    Raises
    ------
    OSError
        If the file cannot be made.
    """
    # Not per thread: another thread than the one that acquired the lock may release it.
    lock = FileLock(path, timeout=-1 if wait else 0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    except NotImplementedError:
        return HeldLock(path, None)
    except OSError as failure:
        if failure.errno not in _UNSUPPORTED:
            raise
        return HeldLock(path, None)
    return HeldLock(path, lock)


@contextmanager
def locked(path: Path, *, remove: bool = False) -> Iterator[None]:
    """Hold the lock on a file while the block runs; wait until it is free.

    Parameters
    ----------
    path : Path
        Lock file, in an existing folder.
    remove : bool
        Whether to remove the file at the end.
    """
    held = acquire(path, wait=True)
    try:
        yield
    finally:
        if held is not None:
            held.release(remove=remove)
