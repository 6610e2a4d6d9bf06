"""Reading and writing transforms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from learngn.errors import TransformError
from learngn.grid import FloatArray, Grid
from learngn.io.atomic import atomic_path
from learngn.io.images import read_sitk, write_sitk
from learngn.io.itk import field_from_sitk, field_to_sitk, lps_flip, quiet
from learngn.io.learn2reg import read_learn2reg, write_learn2reg
from learngn.transform import Affine, Composite, DisplacementField, Transform, as_homogeneous

FIELD_SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")
ITK_SUFFIXES = (".h5", ".hdf5", ".tfm", ".txt", ".mat", ".xfm")


def read_transform(path: str | Path, *, fixed: Grid | None = None, moving: Grid | None = None) -> Transform:
    """Read a transform from the fixed to the moving world.

    Parameters
    ----------
    path : path
        A displacement as a vector image in LPS mm (NIfTI, MetaImage, NRRD); an ITK transform file
        (``.h5``, ``.tfm``, ``.txt``, ``.mat``); or a Learn2Reg file (``disp_*.nii.gz``, ``.npz``).
    fixed, moving : Grid, optional
        Grids of the scans: needed for Learn2Reg files, which do not carry them.

    Raises
    ------
    TransformError
        If the file is missing, or not a transform that can be read.
    """
    path = Path(path)
    if not path.exists():
        raise TransformError(str(path), "no such file", "a transform file", "check the path")
    name = path.name.lower()
    if name.endswith(".npz") or (name.startswith("disp_") and name.endswith(FIELD_SUFFIXES)):
        if fixed is None:
            raise TransformError(
                str(path), "a Learn2Reg displacement", "the grids of its scans too", "pass the fixed (and moving) scan"
            )
        return read_learn2reg(path, fixed, fixed if moving is None else moving)
    if name.endswith(FIELD_SUFFIXES):
        image = read_sitk(path)
        if image.GetNumberOfComponentsPerPixel() != image.GetDimension():
            raise TransformError(
                str(path),
                f"a {image.GetDimension()}D image of {image.GetNumberOfComponentsPerPixel()} values a voxel",
                "a vector image in LPS mm",
                "if it comes from Learn2Reg, say so: learngn convert --from learn2reg --reference FIXED --moving MOVING",
            )
        return DisplacementField(*field_from_sitk(image))
    if name.endswith(ITK_SUFFIXES):
        try:
            with quiet():
                return _from_itk(sitk.ReadTransform(str(path)), path, fixed)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1][:120]
            raise TransformError(
                str(path), f"a file that ITK cannot read ({reason})", "an ITK transform", "check it"
            ) from error
    raise TransformError(
        str(path),
        "an unknown suffix",
        f"one of {', '.join((*FIELD_SUFFIXES, *ITK_SUFFIXES, '.npz'))}",
        "rename the file",
    )


def write_transform(
    transform: Transform, path: str | Path, *, reference: Grid | None = None, moving: Grid | None = None
) -> None:
    """Write a transform, whole or not at all; the suffix names the format.

    Parameters
    ----------
    transform : Transform
    path : path
        Images hold the whole transform, brought onto `reference`, as one displacement in LPS mm; ``disp_*`` and ``.npz``
        are Learn2Reg files; ``.h5`` keeps the parts; ``.tfm``, ``.txt`` and ``.mat`` hold linear transforms.
    reference : Grid, optional
        Grid of the fixed scan; by default that of the transform's only displacement field.
    moving : Grid, optional
        Grid of the moving scan, for Learn2Reg files; by default the reference.

    Raises
    ------
    TransformError
        If the format cannot hold the transform, or no grid is known.
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    name = path.name.lower()
    if name.endswith(".npz") or (name.startswith("disp_") and name.endswith(FIELD_SUFFIXES)):
        grid = _reference(transform, reference, path)
        write_learn2reg(transform, path, grid, grid if moving is None else moving)
    elif name.endswith(FIELD_SUFFIXES):
        grid = _reference(transform, reference, path)
        image = field_to_sitk(transform.on(grid).displacement(), grid)
        image.SetMetaData("ITK_FileNotes", "LearnGN displacement: LPS mm, fixed point to moving point")
        write_sitk(image, path)
    elif name.endswith(ITK_SUFFIXES):
        _write_itk(transform, path, text=not name.endswith((".h5", ".hdf5")))
    else:
        raise TransformError(
            str(path), "an unknown suffix", f"one of {', '.join((*FIELD_SUFFIXES, *ITK_SUFFIXES, '.npz'))}", "rename it"
        )


def _reference(transform: Transform, reference: Grid | None, path: Path) -> Grid:
    if reference is not None:
        return reference
    parts = transform.parts if isinstance(transform, Composite) else (transform,)
    grids = [part.grid for part in parts if isinstance(part, DisplacementField)]
    if len(grids) != 1:
        raise TransformError(
            f"cannot write {path}", f"a transform with {len(grids)} grids", "the fixed image's grid", "pass a reference"
        )
    return grids[0]


def _from_itk(transform: sitk.Transform, path: Path, fixed: Grid | None) -> Transform:
    ndim = transform.GetDimension()
    if transform.GetTransformEnum() == sitk.sitkComposite:
        composite = sitk.CompositeTransform(transform)
        count = composite.GetNumberOfTransforms()
        # ITK applies the one added last first.
        parts = [_from_itk(composite.GetNthTransform(i), path, fixed) for i in reversed(range(count))]
        flat = [p for part in parts for p in (part.parts if isinstance(part, Composite) else (part,))]
        return flat[0] if len(flat) == 1 else Composite(tuple(flat))
    if transform.GetTransformEnum() == sitk.sitkDisplacementField:
        return DisplacementField(*field_from_sitk(sitk.DisplacementFieldTransform(transform).GetDisplacementField()))
    if transform.IsLinear():
        origin = np.asarray(transform.TransformPoint([0.0] * ndim))
        columns = [np.asarray(transform.TransformPoint(list(row))) - origin for row in np.eye(ndim)]
        flip = lps_flip(ndim)
        return Affine(flip @ as_homogeneous(np.stack(columns, axis=1), origin) @ flip)
    if fixed is None:
        raise TransformError(
            str(path), f"a {transform.GetName()}", "the grid to sample it on", "pass the fixed image as the reference"
        )
    template = field_to_sitk(DisplacementField.zero(fixed).data, fixed)
    sampled = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, template.GetSize(), template.GetOrigin(), template.GetSpacing(),
        template.GetDirection(),
    )  # fmt: skip
    return DisplacementField(*field_from_sitk(sampled))


def to_itk(transform: Transform) -> sitk.Transform:
    """The transform as SimpleITK has it."""
    if isinstance(transform, Affine):
        matrix: FloatArray = lps_flip(transform.ndim) @ transform.matrix @ lps_flip(transform.ndim)
        affine = sitk.AffineTransform(transform.ndim)
        affine.SetMatrix([float(v) for v in matrix[:-1, :-1].ravel()])
        affine.SetTranslation([float(v) for v in matrix[:-1, -1]])
        return affine
    if isinstance(transform, DisplacementField):
        return sitk.DisplacementFieldTransform(field_to_sitk(transform.data, transform.grid, double=True))
    if isinstance(transform, Composite):
        composite = sitk.CompositeTransform(transform.ndim)
        for part in reversed(transform.parts):
            composite.AddTransform(to_itk(part))
        return composite
    raise TransformError(
        "transform", type(transform).__name__, "an affine, a displacement or a composite", "bring it onto a grid"
    )


def _write_itk(transform: Transform, path: Path, *, text: bool) -> None:
    parts = transform.parts if isinstance(transform, Composite) else (transform,)
    if text and any(not isinstance(part, Affine) for part in parts):
        raise TransformError(
            f"cannot write {path}", "a displacement field", "a linear transform for this format", "write .h5"
        )
    if text:
        # One matrix: what every reader of these formats understands.
        matrix = np.eye(transform.ndim + 1)
        for part in parts:
            matrix = part.matrix @ matrix if isinstance(part, Affine) else matrix
        transform = Affine(matrix)
    with atomic_path(path) as temporary, quiet():
        try:
            sitk.WriteTransform(to_itk(transform), str(temporary))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1][:120]
            raise TransformError(
                f"cannot write {path}", reason, "a transform this format can hold", "write .h5"
            ) from error
