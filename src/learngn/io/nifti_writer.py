"""Writing of NIfTI from nibabel's header and a stream of values; every grid is kept, sheared ones by the sform."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from learngn.geometry.grid import Grid
from learngn.io.geometry import is_sheared, volume_affine
from learngn.io.gzip_writer import Piece, write_pieces
from learngn.io.tiles import Part, fastest_first, slabs

LARGEST = 2**15 - 1  # voxels along an axis of NIfTI-1
_SCANNER = 1


def write_nifti(
    path: Path,
    shape: Sequence[int],
    dtype: DTypeLike,
    grid: Grid,
    volumes: Iterable[Part],
    *,
    intent: int = 0,
    notes: str = "",
) -> None:
    """Write one file, compressed by ISA-L if its name ends in ``.gz``; the same image gives the same bytes.

    Parameters
    ----------
    path : Path
        Temporary path; the caller removes the file after an error.
    shape : sequence of int
        Sizes of all axes.
    dtype : dtype
    grid : Grid
        Grid of the first two or three axes.
    volumes : iterable of callable
        Volumes on the grid, one for each index of the other axes; each returns its values in a part of the grid,
        `array.__getitem__` of an array in memory.
    intent : int
        NIfTI's code.
    notes : str
        Text of the field `descrip`.

    Raises
    ------
    OSError
        If the disk is full.
    """
    head = _header(shape, dtype, grid, intent=intent, notes=notes)
    write_pieces(path, lambda: head, _pieces(volumes, grid, dtype))


def write_series(path: Path, grid: Grid, dtype: DTypeLike, frames: Iterable[NDArray[Any]], step: float | None) -> int:
    """Write frames one after another, then their number into the header; return it. See :func:`write_nifti`."""
    count = 0

    def counted() -> Iterator[Part]:
        nonlocal count
        for frame in frames:
            count += 1
            yield frame.__getitem__

    def head() -> bytes:
        return _header((*grid.shape, max(1, count)), dtype, grid, step=step)

    write_pieces(path, head, _pieces(counted(), grid, dtype))
    return count


def _pieces(volumes: Iterable[Part], grid: Grid, dtype: DTypeLike) -> Iterator[Piece]:
    """Divide volumes into pieces with the first axis fastest."""
    kind = np.dtype(dtype)
    for part in volumes:
        for slab in slabs(grid.shape, kind.itemsize):
            yield partial(fastest_first, part, grid.shape, slab, kind)


def _header(
    shape: Sequence[int],
    dtype: DTypeLike,
    grid: Grid,
    *,
    intent: int = 0,
    notes: str = "",
    step: float | None = None,
) -> bytes:
    """Return the header of a single file, up to its first value."""
    nibabel: Any = import_module("nibabel")
    kind = nibabel.Nifti1Header if max(shape) <= LARGEST else nibabel.Nifti2Header
    header = kind()
    header.set_data_dtype(dtype)
    header.set_data_shape(tuple(int(n) for n in shape))
    affine = volume_affine(grid)
    # Both sform and qform, as some programs read only one of them; a qform cannot hold sheared axes.
    header.set_sform(affine, code=_SCANNER)
    header.set_qform(affine, code=0 if is_sheared(grid) else _SCANNER)
    header.structarr["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    header.set_xyzt_units("mm", None if step is None else "sec")
    if step is not None:
        header.structarr["pixdim"][4] = step
    header.structarr["intent_code"] = intent
    header.structarr["descrip"] = notes.encode()
    header.structarr["vox_offset"] = kind.single_vox_offset
    file = BytesIO()
    header.write_to(file)
    return file.getvalue().ljust(kind.single_vox_offset, b"\0")
