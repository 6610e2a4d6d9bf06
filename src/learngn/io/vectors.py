"""Images of vectors, component by component; tensors are recognised and refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from learngn.arrays import as_numpy
from learngn.errors import ImageError, LearnGNError, OutputError
from learngn.geometry.image import Image
from learngn.io.atomic import atomic_path
from learngn.io.files import NIFTI_SUFFIXES, check_output, named, read_file, read_header, suffix_of, write_file
from learngn.io.itk import put_on_grid
from learngn.io.nifti import RAS_VECTOR, VECTOR
from learngn.io.nifti_writer import write_nifti
from learngn.io.simpleitk import sitk
from learngn.io.source import Header, Source, image_of, values_to_write

_MATRICES = (1004, 1005)  # NIfTI's intents of general and symmetric matrices
_TENSOR_VALUES = (6, 9)  # of a symmetric and a general matrix in 3D
_NRRD, _NRRD_HEAD, _NRRD_TENSORS = (".nrrd", ".nhdr"), 4096, b"symmetric-matrix"
_COLOURS = 4  # values a voxel, of 8 or 16 bits, that are a colour at most


def is_vector(path: str | Path) -> bool:
    """Return whether an image file holds vectors, several real numbers a voxel. Only the header is read.

    Raises
    ------
    ImageError
        If it holds tensors, such as those of diffusion, which must be turned with the anatomy.
    """
    path = Path(path)
    if path.is_dir():
        return False
    if path.suffix.lower() in _NRRD and path.is_file():
        with path.open("rb") as file:
            if _NRRD_TENSORS in file.read(_NRRD_HEAD).partition(b"\n\n")[0]:
                raise _tensors(path)
    header = read_header(path)
    if header.intent in _MATRICES or (header.components in _TENSOR_VALUES and header.dtype.kind == "f"):
        raise _tensors(path)
    return header.components > 1 and not (header.components <= _COLOURS and header.dtype in (np.uint8, np.uint16))


def read_vectors(path: str | Path) -> Iterator[Image]:
    """Read the components of an image of vectors, one after the other.

    Parameters
    ----------
    path : Path

    Yields
    ------
    Image
        (1, 1, *S), float32, all on the same grid: components along LPS, as of ITK, whatever the file has.

    Raises
    ------
    ImageError
        If the file cannot be read, or holds no vectors, tensors, or a series of vector images.
    """
    path = Path(path)
    if not is_vector(path):
        raise ImageError(f"image {path}", "one value a voxel, or colours", "vectors", "name another")
    source = read_file(path)
    for number, image in enumerate(components_of(source, path)):
        flipped = source.header.intent == RAS_VECTOR and number < 2
        yield replace(image, data=-as_numpy(image.data) + 0.0) if flipped else image


def components_of(source: Source, path: Path) -> Iterator[Image]:
    """Yield the values of a voxel one by one, as images (1, 1, *S), with the components as they are stored."""
    header: Header = replace(source.header, components=1)
    try:
        header.check_single()
        values = source.values.reshape((*header.space, source.header.components))
        for component in range(source.header.components):
            yield replace(image_of(values[..., component], header, labels=False), path=path)
    except LearnGNError as error:
        raise named(error, path) from None


def write_vectors(components: Iterable[Image], path: str | Path) -> None:
    """Write components as one image of vectors, atomically, in the format that the suffix names.

    Parameters
    ----------
    components : iterable of Image, (1, 1, *S)
        On one grid, in the order of :func:`read_vectors`, along LPS.
    path : Path
        NIfTI (with the intent of a vector), ``.mha``, ``.mhd`` or ``.nrrd``.

    Raises
    ------
    OutputError
        If there is a single component, they do not belong together, or the file cannot be written.
    """
    path, images = Path(path), list(components)
    check_output(path)
    parts = [values_to_write(image) for image in images]
    if len(parts) < 2 or len({(part.shape, part.dtype) for part in parts}) != 1:
        got = f"{len(parts)} components"
        raise OutputError(f"output {path}", got, "2 or more of one size and type", "write each to its own file")
    grid = images[0].grid
    if suffix_of(path) in NIFTI_SUFFIXES:
        shape = (*grid.shape, *(1,) * (4 - grid.ndim), len(parts))
        with atomic_path(path) as temporary:
            write_nifti(temporary, shape, parts[0].dtype, grid, [part.__getitem__ for part in parts], intent=VECTOR)
        return
    result = sitk.GetImageFromArray(np.stack([part.T for part in parts], axis=-1), isVector=True)
    put_on_grid(result, grid)
    write_file(result, path)


def _tensors(path: Path) -> ImageError:
    return ImageError(
        f"image {path}", "tensors", "values that do not turn with the anatomy",
        "carry scalar maps such as FA, or use a program that turns tensors",
    )  # fmt: skip
