"""Reading of files that may be compressed by gzip, with ISA-L, which is several times as fast as zlib."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from isal import igzip, isal_zlib

GZIP = b"\x1f\x8b"
BLOCK = 1 << 20
DAMAGED = cast("type[Exception]", isal_zlib.error)
_BEYOND = 1 << 26  # most bytes read after the voxels, to reach the checksum; a file may go on for gigabytes


def is_packed(path: Path) -> bool:
    """Whether a file is compressed, by its suffix."""
    return path.suffix.lower() in (".gz", ".mgz")


def open_binary(path: Path) -> Any:
    """Open a file to read its decompressed content."""
    return igzip.open(path) if is_packed(path) else path.open("rb")  # type: ignore[no-untyped-call]


def read_to_the_end(file: Any) -> None:
    """Read to the end of a compressed file, so that its checksum is verified.

    Trailing bytes after the last gzip member, which some programs leave, are ignored, as gunzip does.
    """
    try:
        for _ in _blocks(file, _BEYOND):
            pass
    except OSError as failure:
        if not str(failure).startswith("Not a gzipped file"):
            raise


def _blocks(file: IO[bytes], limit: int) -> Iterator[bytes]:
    while limit > 0 and (block := file.read(min(BLOCK, limit))):
        limit -= len(block)
        yield block
