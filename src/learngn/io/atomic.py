"""Writing so that an output appears whole or not at all."""

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
from learngn.io.locks import Held, take

_PREFIX, _LOCK = ".learngn-tmp-", ".lock"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Offer a temporary path to write to, and move what was written to `path` when the block ends.

    The temporary file has the name of the target and lies in a hidden folder beside it: writers that go by the suffix,
    or that write a second file of a similar name (MetaImage's `.mhd` and `.raw`), need know nothing of it. Whatever
    ends the block early, Ctrl-C included, leaves neither the target changed nor anything beside it; what a killed
    process leaves is removed by the next one that writes there. What a link points to is replaced, not the link.

    Parameters
    ----------
    path : Path
        The target, in a folder that exists. A file already there is replaced.

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
    # Where a link leads, there is room for it.
    with _as_output_error(target):
        place = Path(os.path.realpath(target)) if target.is_symlink() else target
    with temporary_folder(place.parent) as folder, _as_output_error(target):
        temporary = folder / target.name
        yield temporary
        # The named file last: where it is, what belongs to it is too.
        for written in sorted((f for f in folder.iterdir() if f.name != _LOCK), key=lambda file: file == temporary):
            _flush(written)
            os.replace(written, place if written == temporary else place.parent / written.name)


@contextmanager
def temporary_folder(directory: str | Path) -> Iterator[Path]:
    """Offer a hidden folder in another one, and remove it when the block ends.

    What a process that was killed has left of such folders is removed too. Those of processes that live are known by a
    lock, which the operating system frees however its holder ends.

    Parameters
    ----------
    directory : path
        That exists.

    Yields
    ------
    Path
        To a folder that is empty but for the lock, ``.lock``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    parent = Path(directory)
    with _as_output_error(parent):
        folder, lock = _locked_folder(parent)
        for other in parent.glob(f"{_PREFIX}*"):
            _remove_if_left(other)
    try:
        yield folder
    finally:
        _remove(folder, lock)


def check_writable(directory: str | Path) -> None:
    """Make a folder unless it exists, and see at once, before any long work, whether files can be written there.

    Raises
    ------
    OutputError
        If not.
    """
    folder = Path(directory)
    with _as_output_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def _locked_folder(parent: Path) -> tuple[Path, Held]:
    """A new folder, and the lock in it, held."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        try:
            held = take(folder / _LOCK, wait=False)
        except FileNotFoundError:  # another process has taken it for a dead one's, before it was locked
            continue
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if held is None:
            continue
        if not held.exclusive or held.path.exists():
            return folder, held
        held.release()


def _remove_if_left(folder: Path) -> None:
    """Remove a temporary folder whose process has died."""
    with suppress(OSError):
        held = take(folder / _LOCK, wait=False)
        if held is not None and held.exclusive:
            _remove(folder, held)


def _remove(folder: Path, held: Held) -> None:
    """Remove a temporary folder and let go of its lock, in an order that the system allows.

    Whoever else takes the lock in between removes the folder too.
    """
    if os.name == "nt":  # removes no open file
        held.release()
    shutil.rmtree(folder, ignore_errors=True)
    if os.name != "nt":
        held.release()


def _flush(path: Path) -> None:
    """Have the system write a file: some report only then that the disk is full."""
    with path.open("r+b") as file:  # Windows flushes only what may be written
        os.fsync(file.fileno())


def write_text(text: str, path: str | Path) -> None:
    """Write text in UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")  # the same bytes on every system


def write_json(obj: Any, path: str | Path) -> None:
    """Write what :func:`json.dumps` understands, readably, whole or not at all; NaN and infinity are not JSON."""
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
