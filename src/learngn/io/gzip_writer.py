"""Files written piece by piece, compressed by several threads into one gzip stream, as pigz does it.

Pieces are compressed apart, each to a part of one deflate stream that ends on a byte; their checksums are combined. The
bytes depend on the pieces alone, not on the number of threads, and every program that reads gzip reads the file:
several gzip streams in one file, which would be simpler, are cut after the first one by some.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from learngn.threads import thread_count

Piece = Callable[[], NDArray[Any]]  # makes an array in a thread of the writer

_LEVEL = 2  # of ISA-L: about as fast as level 1, for files smaller by 5 %; level 3 gains hardly more
_MOST = 8  # threads: more of them wait for the disk, and each has a piece in memory
# No name and no time, so that the same values give the same bytes.
_MAGIC = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
_END = b"\x03\x00"  # an empty last block
_LONGEST = (1 << 16) - 1  # bytes of a stored block


def write_pieces(path: Path, head: Callable[[], bytes], pieces: Iterable[Piece]) -> None:
    """Write a header and arrays, compressed if the name ends in ``.gz``.

    Parameters
    ----------
    path : Path
    head : callable
        Returns the header, of less than 64 KiB. It is called before the first piece is made and after the last one; the
        second header, of the same length, replaces the first.
    pieces : iterable of callable
        Functions that return contiguous arrays. At most as many as there are threads are computed, compressed and in
        memory at the same time; the iterable itself runs in the calling thread.

    Raises
    ------
    OSError
        If the disk is full.
    """
    packed = path.suffix.lower() == ".gz"
    with path.open("wb") as file:
        _write_packed(file, head, pieces) if packed else _write_plain(file, head, pieces)


def _write_plain(file: IO[bytes], head: Callable[[], bytes], pieces: Iterable[Piece]) -> None:
    file.write(head())
    for data in _in_order(_bytes, pieces):
        file.write(data)
    file.seek(0)
    file.write(head())


def _write_packed(file: IO[bytes], head: Callable[[], bytes], pieces: Iterable[Piece]) -> None:
    file.write(_MAGIC + _stored(head()))
    checksum, length = 0, 0
    for data, piece_checksum, piece_length in _in_order(_packed, pieces):
        file.write(data)
        checksum = isal_zlib.crc32_combine(checksum, piece_checksum, piece_length)
        length += piece_length
    header = head()
    checksum = isal_zlib.crc32_combine(isal_zlib.crc32(header), checksum, length)
    file.write(_END + struct.pack("<II", checksum, (length + len(header)) & 0xFFFFFFFF))
    file.seek(len(_MAGIC))
    file.write(_stored(header))


def _stored(data: bytes) -> bytes:
    """Return a block of deflate that is not compressed, so that other bytes can replace it."""
    return struct.pack("<BHH", 0, len(data), len(data) ^ _LONGEST) + data


def _bytes(piece: Piece) -> memoryview:
    return np.ascontiguousarray(piece()).reshape(-1).view(np.uint8).data


def _packed(piece: Piece) -> tuple[bytes, int, int]:
    """Return a piece's compressed bytes, its checksum and its length."""
    data = _bytes(piece)
    deflate = isal_zlib.compressobj(_LEVEL, wbits=-isal_zlib.MAX_WBITS)
    packed = deflate.compress(data) + deflate.flush(isal_zlib.Z_SYNC_FLUSH)
    return packed, isal_zlib.crc32(data), data.nbytes


def _in_order(work: Callable[[Piece], Any], pieces: Iterable[Piece]) -> Iterator[Any]:
    """Yield the results of a function of every piece, computed ahead by threads."""
    threads = _threads()
    pool = ThreadPoolExecutor(threads, "learngn-write") if threads > 1 else nullcontext()
    with pool as executor:
        if executor is None:
            yield from map(work, pieces)
            return
        waiting: deque[Future[Any]] = deque()
        try:
            for piece in pieces:
                waiting.append(executor.submit(work, piece))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # after an error or Ctrl-C nothing more is computed
            for future in waiting:
                future.cancel()


def _threads() -> int:
    return min(_MOST, thread_count())
