"""Writing of NIfTI from nibabel's header and a stream of values; every grid is kept, sheared ones by the sform."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from isal import igzip
from numpy.typing import DTypeLike, NDArray

from learngn.geometry.grid import Grid
from learngn.io.geometry import is_sheared, volume_affine
from learngn.io.gzip_stream import BLOCK

LARGEST = 2**15 - 1  # voxels along an axis of NIfTI-1
_SCANNER = 1


def write_nifti(
    path: Path,
    shape: Sequence[int],
    dtype: DTypeLike,
    grid: Grid,
    blocks: Iterable[NDArray[Any]],
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
    blocks : iterable of array
        Values in index order, as a whole or frame by frame.
    intent : int
        NIfTI's code.
    notes : str
        Text of the field `descrip`.

    Raises
    ------
    OSError
        If the disk is full.
    """
    with _writing(path) as file:
        _write_header(file, shape, dtype, grid, intent=intent, notes=notes)
        for block in blocks:
            _write_block(file, block, dtype)


def write_series(path: Path, grid: Grid, dtype: DTypeLike, frames: Iterable[NDArray[Any]], step: float | None) -> int:
    """Write frames one after another, then their number into the header; return it. See :func:`write_nifti`."""
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    count = 0
    with plain.open("wb") as file:
        _write_header(file, (*grid.shape, 1), dtype, grid)
        for frame in frames:
            _write_block(file, frame, dtype)
            count += 1
        file.seek(0)
        _write_header(file, (*grid.shape, max(1, count)), dtype, grid, step=step)
    if plain != path:
        with plain.open("rb") as source, _writing(path) as target:
            shutil.copyfileobj(source, target, BLOCK)
        plain.unlink()
    return count


@contextmanager
def _writing(path: Path) -> Iterator[Any]:
    with path.open("wb") as raw:
        if path.suffix.lower() != ".gz":
            yield raw
            return
        # No name and no time in the gzip header, so that the same image gives the same bytes.
        with igzip.IGzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0) as packed:  # type: ignore[no-untyped-call]
            yield packed


def _write_header(
    file: Any,
    shape: Sequence[int],
    dtype: DTypeLike,
    grid: Grid,
    *,
    intent: int = 0,
    notes: str = "",
    step: float | None = None,
) -> None:
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
    header.write_to(file)


def _write_block(file: Any, block: NDArray[Any], dtype: DTypeLike) -> None:
    """Write values with the first axis fastest, plane by plane along the last axis, to need no second array."""
    if block.ndim > 2 or block.nbytes > BLOCK:
        for plane in np.moveaxis(block, -1, 0):
            _write_block(file, plane, dtype)
        return
    file.write(np.ascontiguousarray(block.T, dtype=np.dtype(dtype)).data)
