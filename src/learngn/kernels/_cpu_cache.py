"""Cache of compiled kernels between runs, also on systems where Numba's own cache fails.

Numba caches compiled code beside the source or in the user's cache folder. It raises an exception if it can write to
neither (in a read-only container), and another one if the disk is full. Here such a run continues: the code is cached
in a private temporary folder, or not at all, and one warning is logged. Folders that can only be read, as in a
container image with precompiled code, are used as well.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from numba.core import config
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    InTreeCacheLocator,
    NullCache,
    UserProvidedCacheLocator,
    UserWideCacheLocator,
)

from learngn._version import __version__
from learngn.kernels._numba import import_numba

_LOG = logging.getLogger(__name__)
ROOM = 50_000_000  # bytes that must be free: several times the size of the cache


@dataclass(frozen=True)
class Places:
    """Cache folders of compiled kernels.

    Attributes
    ----------
    folder : Path or None
        Folder to which kernels are written; None if there is none.
    readable : tuple of Path
        Folders from which kernels are read: those that cannot be written, and `folder`.
    problem : str or None
        Why there is no permanent cache, with the folders that were tried; None if there is one.
    """

    folder: Path | None
    readable: tuple[Path, ...]
    problem: str | None


@lru_cache(maxsize=1)
def places() -> Places:
    """Find the cache folders: ``NUMBA_CACHE_DIR``, beside the source, in the user's cache, or a temporary folder."""
    locators: list[Any] = [InTreeCacheLocator, UserWideCacheLocator]
    if getattr(config, "CACHE_DIR", None):
        locators.insert(0, UserProvidedCacheLocator)
    usual = [Path(locator(places.__wrapped__, __file__).get_cache_path()) for locator in locators]
    problems = []
    for number, folder in enumerate(usual, start=1):
        problem = unusable(folder)
        if problem is None:
            return Places(folder, tuple(usual[:number]), None)
        problems.append(f"{folder}: {problem}")
    problem = "; ".join(problems)
    temporary = Path(tempfile.gettempdir()) / f"learngn-kernels-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    reason = unusable(temporary, private=True)
    if reason is None:
        return Places(temporary, (*usual, temporary), problem)
    return Places(None, tuple(usual), f"{problem}; {temporary}: {reason}")


def unusable(folder: Path, *, private: bool = False) -> str | None:
    """Return why a folder cannot be used as a cache, or None if it can; the folder is made if need be.

    Parameters
    ----------
    folder : Path
    private : bool
        Whether other users must not be able to write there, since the cached code is run.
    """
    try:
        folder.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
        if private and not _is_ours(folder):
            return "it belongs to somebody else"
        if shutil.disk_usage(folder).free < ROOM:
            return f"less than {ROOM // 10**6} MB free"
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 16))
    except OSError as error:
        return error.strerror or str(error)
    return None


def _is_ours(folder: Path) -> bool:
    """Return whether a folder is no link, belongs to the user, and can be written by the user only."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return False
    # On Windows the folder of temporary files belongs to the user.
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)


@lru_cache(maxsize=1)
def source_stamp() -> str:
    """Return a digest of the source of all kernels: loops contain parts of other files, and are compiled by others.

    It is one of the contents, as all files of a wheel may have the same time.
    """
    digest = hashlib.sha256(__version__.encode())
    for file in sorted(Path(__file__).parent.glob("_*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=1)
def announce() -> None:
    """Log, once per process, that kernels are being compiled."""
    often = "once" if places().folder else "at every run"
    _LOG.info("compiling kernels for this machine, %s: up to half a minute", often)


@lru_cache(maxsize=1)
def warn_once(problem: str) -> None:
    """Log, once per process, that kernels cannot be cached in the usual folder."""
    folder = places().folder
    where = f"kept in {folder}" if folder else "compiled at every run"
    _LOG.warning(
        "the cache of compiled kernels cannot be written (%s); they are %s. Set NUMBA_CACHE_DIR to a folder that can",
        problem,
        where,
    )


class _Locator(UserProvidedCacheLocator):
    """Numba's locator of the cache files of one function."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        super().__init__(function, file)
        self._cache_path = str(places().folder or places().readable[0])

    def get_source_stamp(self) -> str:
        """Return what cached code must have been compiled from; Numba's stamp is that of the function's file alone."""
        return source_stamp()

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> _Locator:
        return cls(function, file)


class _Files(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012


class _KernelCache(FunctionCache):
    """Numba's cache of one function, in all cache folders; code that cannot be read is compiled."""

    _impl_class = _Files

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        name, stamp = self._impl.filename_base, self._impl.locator.get_source_stamp()
        self._files = [IndexDataCacheFile(str(folder), name, stamp) for folder in places().readable]

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        # Numba loads all that it can compile before it loads code that has been compiled; that takes longer.
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    def _load_overload(self, sig: Any, target_context: Any) -> Any:
        key, found = self._index_key(sig, target_context.codegen()), places()
        for folder, file in zip(found.readable, self._files, strict=True):
            if folder == found.folder and found.problem is not None:  # not found in the folders that cannot be written
                warn_once(found.problem)
            # A damaged file raises exceptions of many kinds; the kernel is then compiled again.
            with suppress(Exception):
                if (data := file.load(key)) is not None:
                    return self._impl.rebuild(target_context, data)
        if found.problem is not None:
            warn_once(found.problem)
        announce()
        import_numba()
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        if places().folder is None:
            return
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warn_once(f"{self.cache_path}: {error.strerror or error}")
        except Exception:  # a damaged index raises exceptions of many kinds; it is written again
            with suppress(Exception):
                self.flush()
                super().save_overload(sig, data)


def kept(dispatcher: Any) -> Any:
    """Set this cache for a function that Numba compiles, as ``njit(cache=True)`` sets Numba's own."""
    try:
        dispatcher._cache = _KernelCache(dispatcher.py_func)
    except (OSError, RuntimeError):  # source in an archive, or no usable folder by NUMBA_CACHE_LOCATOR_CLASSES
        dispatcher._cache = NullCache()
    return dispatcher
