"""Formats that nitransforms reads and writes: X5 of BIDS, matrices of AFNI, FreeSurfer's from voxel to voxel."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from learngn.arrays import as_numpy
from learngn.errors import OutputError, TransformError, require_packages
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.transform import Affine, Composite, DisplacementField, Transform
from learngn.io.atomic import atomic_path
from learngn.io.files import check_exists, check_name
from learngn.io.itk_transforms import field_from_vectors, parts_of

X5 = ".x5"
_DIMENSIONS = 3  # of all of its transforms
_LINEAR, _NONLINEAR = "linear", "nonlinear"


def read_x5(path: Path) -> Transform:
    """Read a transform of BIDS' format X5: linear maps, displacements, and chains of them.

    Parameters
    ----------
    path : Path
        File of one transform, or with a chain, of which the first is read.

    Raises
    ------
    TransformError
        If the file is not X5 or damaged, or holds several transforms and no chain, or B-splines.
    MissingPackageError
        If nitransforms is not installed.
    """
    _require("transforms in X5")
    check_exists(path, "transform", TransformError)
    import h5py
    from nitransforms.io.x5 import from_filename

    try:
        nodes = from_filename(path)
        with h5py.File(path, "r") as file:
            chains = file.get("TransformChain")
            chain = None if chains is None else chains["0"][()]
        text = chain.decode() if isinstance(chain, bytes) else chain
        if text is None and len(nodes) != 1:
            raise TransformError(f"transform {path}", f"{len(nodes)} transforms", "one, or a chain", "write one alone")
        order = [0] if text is None else [int(part) for part in str(text).split("/")]
        parts = tuple(_from_node(nodes[index], path) for index in order)
    except (OSError, TypeError, KeyError, ValueError, IndexError, AttributeError) as failure:
        raise TransformError(
            f"transform {path}",
            f"a file that nitransforms cannot read ('{failure}')",
            "X5",
            "check that it is complete",
        ) from failure
    return parts[0] if len(parts) == 1 else Composite(parts)


def write_x5(transform: Transform, path: Path, reference: Grid | None = None) -> None:
    """Write a transform as X5, part by part, in RAS mm; a chain as a chain.

    Parameters
    ----------
    transform : Transform
    path : Path
    reference : Grid, optional
        Grid of the fixed image, the domain of linear maps.

    Raises
    ------
    OutputError
        If the transform is 2D, which X5 cannot hold, or the file cannot be written.
    MissingPackageError
        If nitransforms is not installed.
    """
    check_name(path, "output", OutputError)
    _require("transforms in X5")
    if transform.ndim != _DIMENSIONS:
        raise OutputError(f"output {path}", f"a {transform.ndim}D transform", "a 3D one for X5", "write .h5 or .tfm")
    from nitransforms.io.x5 import to_filename
    from nitransforms.manip import TransformChain

    parts = [_to_nitransforms(part, reference) for part in parts_of(transform)]
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Reference space not set")  # a linear map needs none
        if len(parts) == 1:
            to_filename(temporary, [parts[0].to_x5()])
        else:
            TransformChain(parts).to_filename(temporary)


def read_afni(path: Path, fixed: Grid, moving: Grid) -> Affine:
    """Read a matrix of AFNI, whose coordinates leave out the obliqueness of both images.

    Raises
    ------
    TransformError
        If the file holds no such matrix, or the images are 2D.
    MissingPackageError
        If nitransforms is not installed.
    """
    _require("matrices of AFNI")
    if fixed.ndim != _DIMENSIONS:
        raise TransformError(f"transform {path}", "a matrix of AFNI for 2D scans", "3D scans", "convert it by hand")
    from nitransforms.io.afni import AFNILinearTransform

    try:
        read = AFNILinearTransform.from_string(_in_rows(path))
        return Affine(np.asarray(read.to_ras(reference=_nibabel(fixed), moving=_nibabel(moving))))
    except TransformError:
        raise
    except Exception as failure:  # of several kinds, one of them of nitransforms' own
        raise TransformError(
            f"transform {path}", "a text that is no matrix of AFNI", "3 x 4 numbers", "check the file"
        ) from failure


def read_lta(path: Path) -> Affine:
    """Read FreeSurfer's linear transform from voxel to voxel, with the grids that the file describes.

    Raises
    ------
    TransformError
        If the file is damaged.
    MissingPackageError
        If nitransforms is not installed.
    """
    _require("FreeSurfer's transforms from voxel to voxel")
    from nitransforms.io.lta import FSLinearTransformArray

    try:
        (matrix,) = FSLinearTransformArray.from_string(path.read_text(encoding="utf-8", errors="replace")).to_ras()
    except Exception as failure:  # of many kinds, for text that is not complete
        raise TransformError(
            f"transform {path}", f"a file that nitransforms cannot read ('{failure}')", "a FreeSurfer .lta",
            "check that it is complete",
        ) from failure  # fmt: skip
    return Affine(np.asarray(matrix, dtype=np.float64))


def _require(what: str) -> None:
    require_packages(what, "transforms", "nitransforms", "h5py")


def _from_node(node: Any, path: Path) -> Affine | DisplacementField:
    """Return a part of an X5 file."""
    if node.type == _LINEAR and node.array_length == 1:
        return Affine(np.asarray(node.transform, dtype=np.float64))
    if node.type != _NONLINEAR or node.subtype == "bspline":
        raise TransformError(
            f"transform {path}",
            f"a transform of X5 of type {node.type} ({node.subtype})",
            "a linear one or a dense displacement",
            "convert it to a displacement first",
        )
    grid = Grid(tuple(int(n) for n in node.domain.size), np.asarray(node.domain.mapping, dtype=np.float64))
    vectors = np.asarray(node.transform)
    if node.representation != "displacements":  # the position in the moving world itself
        vectors = vectors - _positions(grid)
    return field_from_vectors(vectors, grid, ras=True)


def _positions(grid: Grid) -> FloatArray:
    return grid.index_to_world(np.moveaxis(np.indices(grid.shape), 0, -1))


def _to_nitransforms(part: Affine | DisplacementField, reference: Grid | None) -> Any:
    from nitransforms.linear import Affine as Linear
    from nitransforms.nonlinear import DenseFieldTransform

    if isinstance(part, Affine):
        return Linear(np.array(part.matrix), reference=None if reference is None else _nibabel(reference))
    grid = part.grid
    voxels = np.moveaxis(as_numpy(part.data)[0], 0, -1).astype(np.float64)
    return DenseFieldTransform((voxels @ grid.affine[:-1, :-1].T).astype(np.float32), reference=_nibabel(grid))


def _nibabel(grid: Grid) -> Any:
    """Return an image of nibabel on a grid, whose values take no memory."""
    import nibabel

    return nibabel.Nifti1Image(np.broadcast_to(np.uint8(0), grid.shape), np.array(grid.affine))  # type: ignore[no-untyped-call]


def _in_rows(path: Path) -> str:
    """Return the numbers of a file of AFNI in one line: 3dAllineate writes one, cat_matvec three."""
    text = path.read_text(encoding="utf-8", errors="replace")
    words: Sequence[str] = [
        word for line in text.splitlines() if not line.lstrip().startswith("#") for word in line.split()
    ]
    if len(words) != 12:
        raise TransformError(f"transform {path}", f"{len(words)} words", "3 x 4 numbers of AFNI", "check the file")
    return " ".join(words)
