"""Linear transforms in text files of greedy, FSL, FreeSurfer and elastix; other formats are recognised and refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from learngn.errors import TransformError
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.transform import Affine
from learngn.io.files import check_exists
from learngn.io.itk_transforms import linear_from_itk
from learngn.io.simpleitk import sitk

MatrixFormat = Literal["greedy", "fsl"]
TextFormat = Literal["matrix", "elastix", "freesurfer", "minc", "afni"]

_LONGEST = 1 << 16  # bytes of a text that can be a linear map
_NUMBERS = re.compile(rb"[\s0-9eE.+-]+")
_RAS_TO_RAS = 1  # type of a FreeSurfer .lta
_NO_INITIAL = "NoInitialTransform"


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
    if re.search(rb"^\s*\(Transform(Parameters)?\s", head, re.MULTILINE):
        return "elastix"
    if re.search(rb"^\s*type\s*=\s*\d", head, re.MULTILINE) and re.search(rb"^\s*nxforms\s*=", head, re.MULTILINE):
        return "freesurfer"
    return None


def read_text_transform(path: Path, kind: TextFormat) -> Affine:
    """Read a linear transform of elastix or FreeSurfer, whose files are complete.

    Parameters
    ----------
    path : Path
    kind : str
        Format, as :func:`text_format` returns it.

    Raises
    ------
    TransformError
        If it is another format, or damaged; the message names the format, and how to convert it.
    """
    if kind == "elastix":
        return _read_elastix(path)
    if kind == "freesurfer":
        return _read_lta(path)
    if kind == "matrix":
        raise TransformError(
            f"transform {path}",
            "a matrix of numbers, which greedy, c3d and NiftyReg (RAS mm) write as well as FSL (mm of its own)",
            "a file that says what it is",
            "convert it first: learngn convert IN OUT.tfm --from greedy (c3d and NiftyReg too), or "
            "--from fsl --reference FIXED --moving MOVING",
        )
    name, way = {
        "minc": ("a transform of MINC (.xfm)", "FreeSurfer's lta_convert --inmni IN --outitk OUT.txt"),
        "afni": ("a matrix of AFNI (.aff12.1D)", "nitransforms: nitransforms.io.afni to nitransforms.io.itk"),
    }[kind]
    raise TransformError(f"transform {path}", name, "one of ITK, FreeSurfer or elastix", f"convert it first with {way}")


def read_matrix(path: Path, kind: MatrixFormat, fixed: Grid | None = None, moving: Grid | None = None) -> Affine:
    """Read a matrix from a text file.

    Parameters
    ----------
    path : Path
        Text file of 3 x 3 (2D) or 4 x 4 (3D) numbers.
    kind : {"greedy", "fsl"}
        ``"greedy"``, also for c3d_affine_tool and NiftyReg: from fixed to moving, RAS mm. ``"fsl"``, for flirt: from
        moving to fixed, in FSL's mm, which are relative to the corner of each image.
    fixed, moving : Grid, optional
        Grids of the two images, needed for FSL's coordinates.

    Raises
    ------
    TransformError
        If the file holds no such matrix, or the grids are needed and missing.
    """
    check_exists(path, "transform", TransformError)
    matrix = _matrix(path, path.read_text(encoding="utf-8", errors="replace").split())
    if kind == "greedy":
        return Affine(matrix)
    if fixed is None or moving is None or len(matrix) != fixed.ndim + 1 or fixed.ndim != moving.ndim:
        raise TransformError(
            f"transform {path}",
            "a matrix of FSL alone",
            "the two scans whose corners it counts from",
            "name them: --reference FIXED --moving MOVING",
        )
    to_moving = moving.affine @ np.linalg.inv(_to_fsl(moving)) @ np.linalg.inv(Affine(matrix).matrix)
    return Affine(to_moving @ _to_fsl(fixed) @ np.linalg.inv(fixed.affine))


def _to_fsl(grid: Grid) -> FloatArray:
    """Return the matrix from index to FSL's mm: times voxel size, the first axis reversed in neurological order."""
    scaled = np.diag([*grid.spacing, 1.0])
    if np.linalg.det(grid.affine[:-1, :-1]) > 0:
        scaled[0] *= -1
        scaled[0, -1] = (grid.shape[0] - 1) * grid.spacing[0]
    return scaled


def _read_lta(path: Path) -> Affine:
    """Read FreeSurfer's linear transform array, which maps source (moving) to destination (fixed), in RAS mm."""
    text = path.read_text(encoding="utf-8", errors="replace")
    fields = dict(re.findall(r"^\s*(type|nxforms)\s*=\s*(\d+)", text, re.MULTILINE))
    if fields != {"type": str(_RAS_TO_RAS), "nxforms": "1"}:
        raise TransformError(
            f"transform {path}",
            f"a FreeSurfer .lta of type {fields.get('type')} with {fields.get('nxforms')} transforms",
            "one transform of type 1 (RAS to RAS)",
            "convert it first with FreeSurfer's lta_convert --inlta IN --outitk OUT.txt",
        )
    rows = re.search(r"^\s*1\s+4\s+4\s*\n((?:\s*[^\n]*\n?){4})", text, re.MULTILINE)
    matrix = _matrix(path, rows[1].split() if rows else [])
    return Affine(matrix).inverse()


def _read_elastix(path: Path, after: tuple[Path, ...] = ()) -> Affine:
    """Read a linear transform of elastix, from fixed to moving, LPS mm, composed with its initial transforms."""
    text = path.read_text(encoding="utf-8", errors="replace")
    fields = {
        name: value.split() for name, value in re.findall(r"^\s*\((\w+)\s+(.*?)\)\s*(?://.*)?$", text, re.MULTILINE)
    }

    def word(name: str, default: str) -> str:
        return " ".join(fields.get(name, [default])).strip('"')

    kind, ndim = word("Transform", "none"), word("FixedImageDimension", "3")
    try:
        parameters = [float(value) for value in fields["TransformParameters"]]
        centre = [float(value) for value in fields.get("CenterOfRotationPoint", ["0"] * int(ndim))]
        made = _itk_of_elastix(kind, int(ndim), word("ComputeZYX", "false") == "true")
        if made is not None:
            if not isinstance(made, sitk.TranslationTransform):
                made.SetFixedParameters([*centre, *made.GetFixedParameters()[int(ndim) :]])
            made.SetParameters(parameters)
    except (KeyError, ValueError, RuntimeError) as failure:
        raise TransformError(
            f"transform {path}", f"parameters of elastix that make no {kind}", "numbers for it", "check the file"
        ) from failure
    if made is None:
        raise TransformError(
            f"transform {path}",
            f"a {kind} of elastix",
            "a linear one",
            "write its displacement first: transformix -def all -tp IN -out DIR makes DIR/deformationField.mhd",
        )
    own = linear_from_itk(made)
    initial = word("InitialTransformParameterFileName", word("InitialTransformParametersFileName", _NO_INITIAL))
    if initial == _NO_INITIAL:
        return own
    if word("HowToCombineTransforms", "Compose") != "Compose":
        raise TransformError(
            f"transform {path}", "transforms of elastix that are added", "composed ones", "write its displacement first"
        )
    return Affine(own.matrix @ _initial(path, initial, (*after, path.resolve())).matrix)


def _initial(path: Path, name: str, after: tuple[Path, ...]) -> Affine:
    """Read the initial transform of one of elastix, from the path that the file names, or from the file's folder."""
    places = [Path(name), path.parent / Path(name).name]
    initial = next((place for place in places if place.is_file() and place.resolve() not in after), None)
    if initial is None or text_format(initial) != "elastix":
        raise TransformError(
            f"transform {path}",
            f"an initial transform {name} that is not there",
            "its file beside this one",
            "copy it there",
        )
    return _read_elastix(initial, after)


def _itk_of_elastix(kind: str, ndim: int, zyx: bool) -> Any:
    """Return ITK's transform with elastix' parameters; None for transforms that are not linear."""
    if ndim not in (2, 3):
        raise ValueError(ndim)
    if kind == "TranslationTransform":
        return sitk.TranslationTransform(ndim)
    if kind == "AffineTransform":
        return sitk.AffineTransform(ndim)
    if kind == "EulerTransform":
        if ndim == 2:
            return sitk.Euler2DTransform()
        euler = sitk.Euler3DTransform()
        euler.SetComputeZYX(zyx)
        return euler
    if kind == "SimilarityTransform":
        return sitk.Similarity2DTransform() if ndim == 2 else sitk.Similarity3DTransform()
    return None


def _matrix(path: Path, words: list[str]) -> FloatArray:
    try:
        values = np.array([float(word) for word in words])
        side = {9: 3, 16: 4}[len(values)]
    except (ValueError, KeyError):
        raise TransformError(
            f"transform {path}", f"{len(words)} words", "3 x 3 or 4 x 4 numbers", "check that the file holds a matrix"
        ) from None
    return values.reshape(side, side)
