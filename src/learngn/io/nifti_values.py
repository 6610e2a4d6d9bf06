"""Voxels of NIfTI, Analyze and MGH files, decompressed once, with truncated and damaged files detected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.errors import LearnGNError
from learngn.io.gzip_stream import BLOCK, DAMAGED, is_packed, open_binary, read_to_the_end
from learngn.io.limits import check_memory, check_promise
from learngn.io.nifti import Stored
from learngn.io.source import Source
from learngn.io.tiles import fill_slab, slabs

_SLAB = 1 << 16  # values scaled at a time, in 64 bits


def read_source(stored: Stored, name: str, error: type[LearnGNError]) -> Source:
    """Read all voxels of a file.

    Parameters
    ----------
    stored : Stored
        The file's header.
    name : str
        Name of the image in messages.
    error : type of LearnGNError
        Raised if the file is truncated or damaged, or asks for more memory than there is.
    """
    check(stored, name, error)
    (values,) = read_blocks(stored, [stored.count], name, error)
    return Source(stored.header, stored.arranged(values))


def read_scan(stored: Stored, name: str, error: type[LearnGNError]) -> NDArray[np.float32]:
    """Read one volume of real numbers as float32, last axis fastest, without all of the file's values in memory.

    Parameters as those of :func:`read_source`.
    """
    check(stored, name, error)
    shape = stored.header.space
    parts, plane = list(slabs(shape, stored.dtype.itemsize)), math.prod(shape[:-1])
    blocks = read_blocks(stored, [plane * (part.stop - part.start) for part in parts], name, error)
    result = np.empty(shape, np.float32)
    for part, values in zip(parts, blocks, strict=True):
        fill_slab(result, part, values.reshape((*shape[:-1], part.stop - part.start), order="F"))
    return result


def check(stored: Stored, name: str, error: type[LearnGNError]) -> None:
    """Raise `error` if a header has more voxels than its file or the memory can hold."""
    size = stored.path.stat().st_size
    if is_packed(stored.path):
        check_promise(stored.header.shape, stored.end, size, name, error)
    elif size < stored.end:
        raise _incomplete(stored, size, "", name, error)
    check_memory(stored.header.bytes, name, error)


def read_blocks(stored: Stored, counts: Iterable[int], name: str, error: type[LearnGNError]) -> Iterator[NDArray[Any]]:
    """Read scaled values in their stored order, in blocks of `counts` values, which together are the whole file.

    The last block is yielded after the end of the file has been verified.
    """
    place, left = 0, stored.count
    try:
        with open_binary(stored.path) as file:
            if is_packed(stored.path):
                while place < stored.offset and (skipped := file.read(min(BLOCK, stored.offset - place))):
                    place += len(skipped)
            else:
                file.seek(stored.offset)
                place = stored.offset
            for count in counts:
                raw = np.empty(count * stored.dtype.itemsize, np.uint8)
                view, filled = raw.data, 0
                # Decompressed to where the values stay; in blocks, as a message names the place of a damage.
                while filled < len(raw) and (got := file.readinto(view[filled : filled + BLOCK])):
                    filled, place = filled + got, place + got
                if filled < len(raw):
                    raise _incomplete(stored, place, "", name, error)
                left -= count
                if left == 0 and is_packed(stored.path):
                    read_to_the_end(file)
                values = raw.view(stored.dtype)
                del raw, view
                yield _scaled(values, stored)
                del values
    except (OSError, EOFError, DAMAGED) as failure:
        raise _incomplete(stored, place, f", '{failure}'", name, error) from failure


def _scaled(values: NDArray[Any], stored: Stored) -> NDArray[Any]:
    """Return the true values, computed in 64 bits and rounded once."""
    kind = stored.header.dtype
    if kind == stored.dtype.newbyteorder("=") and (stored.slope, stored.inter) == (1.0, 0.0):
        return values
    if values.dtype.kind == "c":  # refused later, with a clearer message
        return values
    result = np.empty(values.shape, kind)
    with np.errstate(all="ignore"):
        for start in range(0, len(values), _SLAB):
            slab = slice(start, start + _SLAB)
            result[slab] = values[slab] * np.float64(stored.slope) + stored.inter
    return result


def _incomplete(stored: Stored, read: int, trouble: str, name: str, error: type[LearnGNError]) -> LearnGNError:
    return error(
        name,
        f"{min(read, stored.end)} of {stored.end} bytes{trouble}",
        f"the whole file, of {'x'.join(map(str, stored.header.shape))} voxels",
        "fetch it again, or free some space",
    )
