"""Where compiled kernels are kept between runs, and what happens where nothing can be kept.

Numba keeps compiled code beside the source or in the user's cache, raises an exception where it can write to neither
(a read-only container), and another one where the disk is full. Here such a run goes on: the code is kept in a private
temporary folder, or not at all, and one warning says so. Code that an image was shipped with is used from a folder that
cannot be written, too.
"""

from __future__ import annotations

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

_LOG = logging.getLogger("learngn")
ROOM = 50_000_000  # bytes that must be free: several times what is kept


@dataclass(frozen=True)
class Places:
    """Folders of compiled kernels.

    Attributes
    ----------
    folder : Path or None
        The one that is written; None if there is none.
    readable : tuple of Path
        Those that may hold kernels already: `folder`, and before it those that cannot be written.
    problem : str or None
        Why nothing is kept for good, naming the folders that were tried; None if all is well.
    """

    folder: Path | None
    readable: tuple[Path, ...]
    problem: str | None


@lru_cache(maxsize=1)
def places() -> Places:
    """Folders of compiled kernels: of ``NUMBA_CACHE_DIR``, beside the source, of the user, or a temporary one."""
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
    """Say why kernels cannot be kept in a folder, which is made if need be; None if they can.

    Parameters
    ----------
    folder : Path
    private : bool
        Whether nobody else may write there: what is kept is code that will be run.
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
    """Whether a folder is no link, and its owner alone, who is the user, can write to it."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return False
    # Windows' folder of temporary files is the user's own.
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)


@lru_cache(maxsize=1)
def announce() -> None:
    """Log, once in a process, that kernels are compiled now."""
    often = "once" if places().folder else "at every run"
    _LOG.info("compiling kernels for this machine, %s: about a minute", often)


@lru_cache(maxsize=1)
def warn_once(problem: str) -> None:
    """Log, once in a process, that kernels are not kept where they should be."""
    folder = places().folder
    where = f"kept in {folder}" if folder else "compiled at every run"
    _LOG.warning(
        "the cache of compiled kernels cannot be written (%s); they are %s. Set NUMBA_CACHE_DIR to a folder that can",
        problem,
        where,
    )


class _Locator(UserProvidedCacheLocator):
    """Numba's name for the place of one function's files."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        super().__init__(function, file)
        self._cache_path = str(places().folder or places().readable[0])

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> _Locator:
        return cls(function, file)


class _Files(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012


class _KernelCache(FunctionCache):
    """Numba's cache of one function, over all places; what cannot be kept or read is compiled."""

    _impl_class = _Files

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        name, stamp = self._impl.filename_base, self._impl.locator.get_source_stamp()
        self._files = [IndexDataCacheFile(str(folder), name, stamp) for folder in places().readable]

    def _load_overload(self, sig: Any, target_context: Any) -> Any:
        key, found = self._index_key(sig, target_context.codegen()), places()
        for folder, file in zip(found.readable, self._files, strict=True):
            if folder == found.folder and found.problem is not None:  # what cannot be written did not have it
                warn_once(found.problem)
            # Whatever a damaged file raises (pickle names a dozen): it is compiled anew.
            with suppress(Exception):
                if (data := file.load(key)) is not None:
                    return self._impl.rebuild(target_context, data)
        if found.problem is not None:
            warn_once(found.problem)
        announce()
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        if places().folder is None:
            return
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warn_once(f"{self.cache_path}: {error.strerror or error}")
        except Exception:  # a damaged index, whatever it raises: begin anew
            with suppress(Exception):
                self.flush()
                super().save_overload(sig, data)


def kept(dispatcher: Any) -> Any:
    """Give a function that Numba compiles a cache of ours; what ``njit(cache=True)`` does with one of Numba's."""
    try:
        dispatcher._cache = _KernelCache(dispatcher.py_func)
    except (OSError, RuntimeError):  # source within an archive, or NUMBA_CACHE_LOCATOR_CLASSES that find no place
        dispatcher._cache = NullCache()
    return dispatcher
