"""Series of vector images in NIfTI: LPS mm, as displacements are, with the index of the series as fourth axis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import as_numpy
from learngn.errors import ImageError
from learngn.geometry.image import Image
from learngn.io.atomic import atomic_path
from learngn.io.files import check_output, read_file
from learngn.io.itk import lps
from learngn.io.nifti import RAS_VECTOR, VECTOR
from learngn.io.nifti_writer import write_nifti

_NOTES = "errors of a displacement, drawn from its distribution, LPS mm"


def write_vector_series(image: Image, path: str | Path) -> None:
    """Write vectors, (M, D, *S) [RAS], as NIfTI of shape (x, y, z, M, D) and intent 1007 [LPS], atomically.

    Raises
    ------
    OutputError
        If the suffix is another one, or the file cannot be written.
    """
    path, grid = Path(path), image.grid
    check_output(path, (".nii.gz", ".nii"))
    data = as_numpy(image.data).astype(np.float32) * _signs(grid.ndim)
    shape = (*grid.shape, *[1] * (3 - grid.ndim), len(data), grid.ndim)
    volumes = [data[m, a].__getitem__ for a in range(grid.ndim) for m in range(len(data))]
    with atomic_path(path) as temporary:
        write_nifti(temporary, shape, np.float32, grid, volumes, intent=VECTOR, notes=_NOTES)


def read_vector_series(path: str | Path) -> Image:
    """Read vectors as :func:`write_vector_series` writes them; (M, D, *S) [RAS].

    Raises
    ------
    ImageError
        If the file holds something else.
    """
    path = Path(path)
    source = read_file(path)
    header = source.header
    ndim, space = header.components, header.space
    if ndim not in (2, 3) or header.intent not in (VECTOR, RAS_VECTOR) or any(n != 1 for n in space[ndim:]):
        raise ImageError(
            f"image {path}", "no series of vectors", "uncertainty_draws.nii.gz of a registration", "name this file"
        )
    values = np.asarray(source.values, dtype=np.float32).reshape((*space[:ndim], -1, ndim))
    data = np.ascontiguousarray(np.moveaxis(values, (-2, -1), (0, 1)))
    grid = header.place(ndim)[0]
    return Image(data if header.intent == RAS_VECTOR else data * _signs(ndim), grid, path=path)


def _signs(ndim: int) -> NDArray[np.float32]:
    """Return the factors between RAS and LPS, to be multiplied to (M, D, *S)."""
    return np.diag(lps(ndim)).astype(np.float32).reshape(1, ndim, *[1] * ndim)
