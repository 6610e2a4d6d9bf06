"""Reading and writing of transforms, by suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np

from learngn.errors import LearnGNError, OutputError, TransformError
from learngn.geometry.grid import Grid
from learngn.geometry.transform import DisplacementField, Transform
from learngn.io.atomic import atomic_path
from learngn.io.dicom_objects import is_dicom
from learngn.io.field_parts import components, rounding
from learngn.io.files import NIFTI_SUFFIXES, check_output, named, read_file, suffix_of, write_file
from learngn.io.geometry import is_sheared
from learngn.io.itk_transforms import (
    ITK_SUFFIXES,
    field_from_vectors,
    parts_of,
    read_itk,
    vectors_to_sitk,
    voxel_to_lps,
    write_itk,
)
from learngn.io.learn2reg import read_learn2reg, write_learn2reg
from learngn.io.matrices import read_matrix, read_text_transform, text_format
from learngn.io.nifti import RAS_VECTOR, VECTOR
from learngn.io.nifti_writer import LARGEST, write_nifti
from learngn.io.nitransforms import X5, read_x5, write_x5
from learngn.io.rt_registration import read_registration
from learngn.io.source import Source

FIELD_SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")
_SUFFIXES = (*FIELD_SUFFIXES, *ITK_SUFFIXES, X5, ".npz")
FormatName = Literal["itk", "learn2reg", "greedy", "fsl", "afni"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)
_NOTES = "displacement, fixed to moving (pull-back), LPS mm"


def read_transform(
    path: str | Path,
    *,
    fixed: Grid | None = None,
    moving: Grid | None = None,
    format: FormatName | None = None,
) -> Transform:
    """Read a transform from the fixed to the moving world.

    Parameters
    ----------
    path : Path
        - ``.nii.gz``, ``.nii``, ``.mha``, ``.mhd``, ``.nrrd``: a displacement in LPS mm, as in ITK, ANTs and Slicer.
          NIfTI files need the intent 1007 (LPS) or 1006 (RAS).
        - ``.h5``, ``.hdf5``, ``.tfm``, ``.txt``, ``.mat``: ITK transforms, also those of ANTs.
        - Text files of FreeSurfer (``.lta``) and elastix (parameters of linear transforms and B-splines), with any
          suffix. Matrices of greedy and FSL look the same, and AFNI's need both grids: name their format.
        - ``.x5``: X5 of BIDS; needs the extra ``[transforms]``.
        - ``.dcm``: a DICOM Spatial Registration or Deformable Spatial Registration (extra ``[dicom]``).
        - ``.npz``: a displacement of Learn2Reg. Its ``.nii.gz`` files look like other series of volumes:
          name their format.
    fixed : Grid, optional
        Grid of the fixed image; needed for Learn2Reg, FSL and AFNI, and for B-splines, which become a displacement on
        it.
    moving : Grid, optional
        Grid of the moving image, for Learn2Reg (the fixed one by default), FSL and AFNI.
    format : {"itk", "learn2reg", "greedy", "fsl", "afni"}, optional
        Format of a file that suffix and content do not tell: of matrices in text files (``"greedy"`` also for c3d and
        NiftyReg), and of Learn2Reg's ``.nii.gz``.

    Raises
    ------
    TransformError
        If the file does not exist, holds no transform of these formats, or the format is unknown.
    MissingPackageError
        If an optional package is needed for the format and not installed.
    """
    path = Path(path)
    suffix = suffix_of(path)
    if format is not None:
        if format not in FORMATS:
            raise TransformError(
                f"transform {path}", f"the format {format!r}", f"one of {', '.join(FORMATS)}", "name it"
            )
        if format == "learn2reg":
            return read_learn2reg(path, *_learn2reg_grids(path, fixed, moving))
        if format != "itk":
            return read_matrix(path, format, fixed, moving)
    if suffix == X5:
        return read_x5(path)
    if suffix == ".dcm" or is_dicom(path):
        return read_registration(path)
    kind = None if format or suffix in (*FIELD_SUFFIXES, ".npz") else text_format(path)
    if kind is not None:
        return read_text_transform(path, kind, fixed)
    if suffix in ITK_SUFFIXES:
        return read_itk(path, fixed)
    if suffix in FIELD_SUFFIXES:
        source = read_file(path, what="transform", error=TransformError)
        try:
            return _field(source, path)
        except LearnGNError as error:
            raise named(error, path) from None
    if suffix != ".npz":
        raise TransformError(
            f"transform {path}",
            f"the suffix {suffix!r}",
            f"one of {', '.join(_SUFFIXES)}, or text of FreeSurfer or elastix",
            "convert or rename the file",
        )
    return read_learn2reg(path, *_learn2reg_grids(path, fixed, moving or fixed))


def read_named_transform(text: str | Path, *, fixed: Grid | None = None, moving: Grid | None = None) -> Transform:
    """Read a transform whose format may be named before the path: ``"fsl:FILE"``; see :func:`read_transform`.

    Files named ``disp_FFFF_MMMM.nii.gz`` are Learn2Reg's, unless a format is named.
    """
    name, path = split_format(text)
    if name is None and is_learn2reg(path):
        name = "learn2reg"
    return read_transform(path, fixed=fixed, moving=moving, format=name)


def split_format(text: str | Path) -> tuple[FormatName | None, Path]:
    """Return the format and the path of ``"FORMAT:FILE"``; no format for the path of a file.

    A file whose name begins so is found, too, if there is one.
    """
    before, colon, after = str(text).partition(":")
    name = next((name for name in FORMATS if name == before), None)
    if colon and after and name is not None and not Path(text).exists():
        return name, Path(after)
    return None, Path(text)


def is_learn2reg(path: Path) -> bool:
    """Whether a file has a name of Learn2Reg's displacements: ``disp_FFFF_MMMM.nii.gz``, or any ``.npz``."""
    return path.name.startswith("disp_") or path.suffix == ".npz"


def _learn2reg_grids(path: Path, fixed: Grid | None, moving: Grid | None) -> tuple[Grid, Grid]:
    if fixed is None or moving is None:
        raise TransformError(
            f"transform {path}",
            "voxels of Learn2Reg alone",
            "the two scans to which they belong",
            "name them: --reference FIXED --moving MOVING",
        )
    return fixed, moving


def write_transform(
    transform: Transform,
    path: str | Path,
    *,
    reference: Grid | None = None,
    moving: Grid | None = None,
    rounded: bool = False,
) -> None:
    """Write a transform, atomically, in the format that the suffix names.

    Parameters
    ----------
    transform : Transform
    path : Path
        - ``.nii.gz``, ``.nii``, ``.mha``, ``.mhd``, ``.nrrd``: the whole transform, affine parts included, as one
          displacement on `reference`: vectors in LPS mm, float32 (NIfTI: intent 1007).
        - ``.h5``: ITK, part by part, a chain as a chain.
        - ``.tfm``, ``.txt``, ``.mat``: ITK, affine maps only; a chain of them as their product.
        - ``.x5``: X5 of BIDS, part by part, 3D; needs the extra ``[transforms]``.
        - ``.npz``: displacement of Learn2Reg.
    reference : Grid, optional
        Grid of the fixed image. Optional if the transform starts with its only displacement field, whose grid is then
        used.
    moving : Grid, optional
        Grid of the moving image, for Learn2Reg; the reference by default.
    rounded : bool
        Round the displacements in ``.nii.gz`` to 1/128 mm, and to at most 1/64 of the smallest voxel size: the file is
        half as large. Other formats are exact.

    Raises
    ------
    TransformError
        If the reference is needed and missing.
    OutputError
        If the format is unknown or cannot hold the transform, or the file cannot be written.

    Notes
    -----
    ITK's displacements are zero outside their grid; all voxels of the reference are inside. ITK misreads NIfTI fields
    of one slice or with sheared axes: :func:`field_suffix` returns a format that all programs read.
    """
    path = Path(path)
    suffix = suffix_of(path)
    if suffix in ITK_SUFFIXES:
        write_itk(transform, path)
    elif suffix == X5:
        write_x5(transform, path, reference)
    elif suffix in FIELD_SUFFIXES:
        grid = reference or _own_grid(transform, path)
        check_output(path)
        on_grid = transform.on(grid)
        if suffix in NIFTI_SUFFIXES:
            shape = (*grid.shape, *[1] * (4 - grid.ndim), grid.ndim)
            steps = [rounding(float(grid.spacing.min()))] * grid.ndim if rounded and suffix == ".nii.gz" else None
            parts = components(on_grid, basis=voxel_to_lps(grid), steps=steps)
            with atomic_path(path) as temporary:
                write_nifti(temporary, shape, np.float32, grid, parts, intent=VECTOR, notes=_NOTES)
        else:
            write_file(vectors_to_sitk(on_grid), path)
    elif suffix == ".npz":
        grid = reference or _own_grid(transform, path)
        write_learn2reg(transform, path, grid, moving or grid, rounded=rounded)
    else:
        raise OutputError(
            f"output {path}", f"the suffix {suffix!r}", f"one of {', '.join(_SUFFIXES)}", "rename the output"
        )


def field_suffix(grid: Grid) -> str:
    """Return the suffix of a format in which every program reads a displacement on a grid: NIfTI where possible.

    ITK reads a NIfTI field of one slice as a 2D image, refuses sheared axes in NIfTI, and cannot read NIfTI-2, which is
    needed for long axes; MetaImage holds all of these. :func:`write_transform` also writes NIfTI for such grids, which
    nibabel and :func:`read_transform` read.
    """
    one_slice = grid.ndim == 3 and grid.shape[2] == 1
    return ".mha" if one_slice or is_sheared(grid) or max(grid.shape) > LARGEST else ".nii.gz"


def _own_grid(transform: Transform, path: Path) -> Grid:
    """Return the grid of a transform's only displacement field, if it comes first and so lies in the fixed world."""
    parts = parts_of(transform)
    fields = [part for part in parts if isinstance(part, DisplacementField)]
    if len(fields) == 1 and fields[0] is parts[0]:
        return fields[0].grid
    raise TransformError(
        f"output {path}",
        "a transform without a grid of its own",
        "the grid on which to write its displacement",
        "name the fixed image as its reference, or write .h5",
    )


def _field(source: Source, path: Path) -> DisplacementField:
    """Return the displacement field in a file of vectors."""
    header = source.header
    components = header.components
    if components == 1:
        intent = f" of intent {header.intent}" if header.intent else ""
        raise TransformError(
            f"transform {path}",
            f"an image{intent} of size {header.shape} without vectors",
            "displacement vectors in mm (NIfTI: intent 1007 or 1006)",
            "if it is a field of Learn2Reg, say so: learn2reg:FILE; learngn convert: --from learn2reg, with both scans",
        )
    if components != len(header.space) or header.frames != 1:
        raise TransformError(
            f"transform {path}", f"{components} components in {len(header.shape)}D", "as many as dimensions",
            "check the file",
        )  # fmt: skip
    vectors = source.values.reshape((*header.space, components))
    return field_from_vectors(vectors, header.grid, ras=header.intent == RAS_VECTOR)
