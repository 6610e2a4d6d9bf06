"""Transforms in text files of greedy, FSL, FreeSurfer, AFNI and elastix; MINC's are recognised and refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np

from learngn.errors import TransformError
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.transform import Affine, Transform
from learngn.io.elastix import is_elastix, read_elastix
from learngn.io.files import check_exists
from learngn.io.nitransforms import read_afni, read_lta

MatrixFormat = Literal["greedy", "fsl", "afni"]
TextFormat = Literal["matrix", "elastix", "freesurfer", "minc", "afni"]

_LONGEST = 1 << 16  # bytes of a text that can be a linear map
_NUMBERS = re.compile(rb"[\s0-9eE.+-]+")
_VOXEL_TO_VOXEL, _RAS_TO_RAS = "0", "1"  # types of a FreeSurfer .lta


def text_format(path: Path) -> TextFormat | None:
    """Return the format of a text file, by its content; None for ITK's format and for other files."""
    try:
        with path.open("rb") as file:
            head = file.read(_LONGEST + 1)
    except OSError:  # reading the file reports the error
        return None
    if len(head) <= _LONGEST and _NUMBERS.fullmatch(head):
        count = len(head.split())
        return "matrix" if count in (9, 16) else "afni" if count == 12 else None
    if head.startswith(b"MNI Transform File"):
        return "minc"
    if re.match(rb"(#.*\n)*# 3dAllineate|(#.*\n)*# 3dvolreg", head):
        return "afni"
    if is_elastix(head):
        return "elastix"
    if re.search(rb"^\s*type\s*=\s*\d", head, re.MULTILINE) and re.search(rb"^\s*nxforms\s*=", head, re.MULTILINE):
        return "freesurfer"
    return None


def read_text_transform(path: Path, kind: TextFormat, fixed: Grid | None = None) -> Transform:
    """Read a transform of elastix or FreeSurfer, whose files are complete.

    Parameters
    ----------
    path : Path
    kind : str
        Format, as :func:`text_format` returns it.
    fixed : Grid, optional
        Grid of the fixed image, on which B-splines of elastix become a displacement.

    Raises
    ------
    TransformError
        If it is another format, or damaged; the message names the format, and how to convert it.
    """
    if kind == "elastix":
        return read_elastix(path, fixed)
    if kind == "freesurfer":
        return _read_freesurfer(path)
    if kind == "matrix":
        raise TransformError(
            f"transform {path}",
            "a matrix of numbers, which greedy, c3d and NiftyReg (RAS mm) write as well as FSL (mm of its own)",
            "a file that says what it is",
            "name its format: greedy:FILE (c3d, NiftyReg too) or fsl:FILE; learngn convert: --from greedy, --from fsl",
        )
    if kind == "afni":
        raise TransformError(
            f"transform {path}",
            "a matrix of AFNI (.aff12.1D), which counts from axes that depend on both scans",
            "the name of its format",
            "write afni:FILE (learngn convert: --from afni), with both scans",
        )
    raise TransformError(
        f"transform {path}", "a transform of MINC (.xfm)", "one of ITK, FreeSurfer or elastix",
        "convert it first with FreeSurfer's lta_convert --inmni IN --outitk OUT.txt",
    )  # fmt: skip


def read_matrix(path: Path, kind: MatrixFormat, fixed: Grid | None = None, moving: Grid | None = None) -> Affine:
    """Read a matrix from a text file.

    Parameters
    ----------
    path : Path
        Text file of 3 x 3 (2D) or 4 x 4 (3D) numbers.
    kind : {"greedy", "fsl", "afni"}
        ``"greedy"``, also for c3d_affine_tool and NiftyReg: from fixed to moving, RAS mm. ``"fsl"``, for flirt: from
        moving to fixed, in FSL's mm, which are relative to the corner of each image. ``"afni"``, for 3dAllineate's
        ``.aff12.1D``: from fixed to moving, in LPS mm of images without their obliqueness; read by nitransforms.
    fixed, moving : Grid, optional
        Grids of the two images, needed for the coordinates of FSL and AFNI.

    Raises
    ------
    TransformError
        If the file holds no such matrix, or the grids are needed and missing.
    MissingPackageError
        If nitransforms is needed and not installed.
    """
    check_exists(path, "transform", TransformError)
    if kind == "afni":
        return read_afni(path, *_both(path, "AFNI", fixed, moving))
    matrix = _matrix(path, path.read_text(encoding="utf-8", errors="replace").split())
    if kind == "greedy":
        return Affine(matrix)
    fixed, moving = _both(path, "FSL", fixed, moving)
    if len(matrix) != fixed.ndim + 1:
        raise TransformError(
            f"transform {path}", f"{len(matrix)} rows", f"{fixed.ndim + 1} for {fixed.ndim}D scans", "check the file"
        )
    to_moving = moving.affine @ np.linalg.inv(_to_fsl(moving)) @ np.linalg.inv(Affine(matrix).matrix)
    return Affine(to_moving @ _to_fsl(fixed) @ np.linalg.inv(fixed.affine))


def _both(path: Path, program: str, fixed: Grid | None, moving: Grid | None) -> tuple[Grid, Grid]:
    """Return both grids; raise TransformError if one is missing, or they differ in dimension."""
    if fixed is None or moving is None or fixed.ndim != moving.ndim:
        raise TransformError(
            f"transform {path}",
            f"a matrix of {program} alone",
            "the two scans whose corners or axes it counts from",
            "name them: --reference FIXED --moving MOVING",
        )
    return fixed, moving


def _to_fsl(grid: Grid) -> FloatArray:
    """Return the matrix from index to FSL's mm: times voxel size, the first axis reversed in neurological order."""
    scaled = np.diag([*grid.spacing, 1.0])
    if np.linalg.det(grid.affine[:-1, :-1]) > 0:
        scaled[0] *= -1
        scaled[0, -1] = (grid.shape[0] - 1) * grid.spacing[0]
    return scaled


def _read_freesurfer(path: Path) -> Affine:
    """Read FreeSurfer's linear transform array, which maps source (moving) to destination (fixed), in RAS mm.

    Those from voxel to voxel are read by nitransforms.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    fields = dict(re.findall(r"^\s*(type|nxforms)\s*=\s*(\d+)", text, re.MULTILINE))
    kind, count = fields.get("type"), fields.get("nxforms")
    if kind == _VOXEL_TO_VOXEL and count == "1":
        return read_lta(path)
    if kind != _RAS_TO_RAS or count != "1":
        raise TransformError(
            f"transform {path}",
            f"a FreeSurfer .lta of type {kind} with {count} transforms",
            "one transform of type 1 (RAS to RAS) or 0 (voxel to voxel)",
            "convert it first with FreeSurfer's lta_convert --inlta IN --outitk OUT.txt",
        )
    rows = re.search(r"^\s*1\s+4\s+4\s*\n((?:\s*[^\n]*\n?){4})", text, re.MULTILINE)
    matrix = _matrix(path, rows[1].split() if rows else [])
    return Affine(matrix).inverse()


def _matrix(path: Path, words: list[str]) -> FloatArray:
    try:
        values = np.array([float(word) for word in words])
        side = {9: 3, 16: 4}[len(values)]
    except (ValueError, KeyError):
        raise TransformError(
            f"transform {path}", f"{len(words)} words", "3 x 3 or 4 x 4 numbers", "check that the file holds a matrix"
        ) from None
    return values.reshape(side, side)
