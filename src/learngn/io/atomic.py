"""Atomic writing: an output file appears complete or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from learngn.errors import OutputError
from learngn.io.locks import HeldLock, acquire

_PREFIX, _LOCK = ".learngn-tmp-", ".lock"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and move the written file to `path` when the block ends.

    The temporary file has the name of the target and lies in a hidden folder beside it, so that writers which choose
    the format by the suffix, or write a second file of a similar name (MetaImage's `.mhd` and `.raw`), work unchanged.
    If an exception, including Ctrl-C, ends the block early, the target is unchanged and no other file remains; files of
    a killed process are removed by the next process that writes there. If `path` is a symbolic link, the file that it
    points to is replaced, not the link.

    Parameters
    ----------
    path : Path
        Target file, in an existing folder. An existing file is replaced.

    Yields
    ------
    Path

    Raises
    ------
    OutputError
        If the folder is missing or cannot be written, or the disk is full.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise OutputError(
            f"output {target}", f"no folder {target.parent}", "a folder that exists", "make it, or name another one"
        )
    # The temporary folder is made beside the file that a link points to: a rename cannot cross file systems.
    with _as_output_error(target):
        destination = Path(os.path.realpath(target)) if target.is_symlink() else target
    with temporary_folder(destination.parent) as folder, _as_output_error(target):
        temporary = folder / target.name
        yield temporary
        # The named file is moved last, so that its companion files are in place when it appears.
        for written in sorted((f for f in folder.iterdir() if f.name != _LOCK), key=lambda file: file == temporary):
            _flush(written)
            os.replace(written, destination if written == temporary else destination.parent / written.name)


@contextmanager
def temporary_folder(directory: str | Path) -> Iterator[Path]:
    """Make a hidden folder in another one, and remove it when the block ends.

    Such folders of killed processes are removed too. The folder of a running process holds a lock, which the operating
    system releases when the process ends for any reason.

    Parameters
    ----------
    directory : path
        Existing folder.

    Yields
    ------
    Path
        Folder that is empty except for the lock file, ``.lock``.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    parent = Path(directory)
    with _as_output_error(parent):
        folder, lock = _locked_folder(parent)
        for other in parent.glob(f"{_PREFIX}*"):
            _remove_if_abandoned(other)
    try:
        yield folder
    finally:
        _remove(folder, lock)


def check_writable(directory: str | Path) -> None:
    """Make a folder unless it exists, and check that files can be written there, before any long work.

    Raises
    ------
    OutputError
        If the folder cannot be made or written.
    """
    folder = Path(directory)
    with _as_output_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def _locked_folder(parent: Path) -> tuple[Path, HeldLock]:
    """Make a new folder, and acquire the lock in it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        try:
            held = acquire(folder / _LOCK, wait=False)
        except (FileNotFoundError, FileExistsError):
            # Another process has removed it as abandoned, before it was locked; or while the lock made it again.
            continue
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if held is None:
            continue
        if not held.exclusive or held.path.exists():
            return folder, held
        held.release()


def _remove_if_abandoned(folder: Path) -> None:
    """Remove a temporary folder whose process has ended."""
    with suppress(OSError):
        held = acquire(folder / _LOCK, wait=False)
        if held is not None and held.exclusive:
            _remove(folder, held)


def _remove(folder: Path, held: HeldLock) -> None:
    """Remove a temporary folder and release its lock, in the order that the operating system allows.

    A process that acquires the lock in between removes the folder too.
    """
    if os.name == "nt":  # Windows cannot remove an open file
        held.release()
    shutil.rmtree(folder, ignore_errors=True)
    if os.name != "nt":
        held.release()


def _flush(path: Path) -> None:
    """Flush a file to the disk: some file systems report only then that the disk is full."""
    with path.open("r+b") as file:  # Windows flushes only files that are open for writing
        os.fsync(file.fileno())


def write_text(text: str, path: str | Path) -> None:
    """Write text in UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")  # the same bytes on every system


def write_json(obj: Any, path: str | Path) -> None:
    """Write an object as indented JSON, atomically; NaN and infinity, which JSON lacks, raise :class:`ValueError`."""
    write_text(json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


@contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"output {path}",
            error.strerror or str(error),
            "a place that can be written, with room on the disk",
            "check its rights and the free space, or name another one",
        ) from error
