"""Writing so that an output appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learngn.errors import OutputError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Offer a temporary path to write to, and move what was written to `path` when the block ends.

    The temporary file has the name of the target and lies in a hidden folder beside it: writers that go by the suffix,
    or that write a second file of a similar name (MetaImage's `.mhd` and `.raw`), need know nothing of it. Whatever
    ends the block early, Ctrl-C included, leaves neither the target changed nor anything beside it.

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
    with _as_output_error(target):
        folder = Path(tempfile.mkdtemp(prefix=".learngn-", dir=target.parent))
        try:
            temporary = folder / target.name
            yield temporary
            # The named file last: where it is, what belongs to it is too.
            for written in sorted(folder.iterdir(), key=lambda file: file == temporary):
                os.replace(written, target.parent / written.name)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


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


def write_text(text: str, path: str | Path) -> None:
    """Write text in UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


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
