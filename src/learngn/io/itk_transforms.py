"""ITK's transforms: affine maps, displacement fields and chains of both, in LPS mm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from learngn.errors import LearnGNError, OutputError, TransformError
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.grid_map import GridMap
from learngn.geometry.transform import Affine, Composite, DisplacementField, Transform, as_homogeneous
from learngn.io.atomic import atomic_path, write_text
from learngn.io.field_parts import components
from learngn.io.files import check_exists, check_name, named, suffix_of
from learngn.io.itk import ITK_FAILURES, lps, place_of, put_on_grid, quietly, reason, source_of
from learngn.io.simpleitk import sitk
from learngn.io.tiles import fastest_first, slabs, tiles

ITK_SUFFIXES = (".h5", ".hdf5", ".tfm", ".txt", ".mat")
_HDF5, _TEXT = (".h5", ".hdf5"), (".tfm", ".txt")


def read_itk(path: Path, fixed: Grid | None = None) -> Transform:
    """Read an ITK transform file; see :func:`learngn.io.read_transform`."""
    check_exists(path, "transform", TransformError)
    try:
        with quietly():
            return from_itk(sitk.ReadTransform(str(path)), fixed)
    except LearnGNError as error:
        raise named(error, path) from None
    except ITK_FAILURES as failure:
        raise TransformError(
            f"transform {path}",
            f"a file that SimpleITK cannot read ('{reason(failure)}')",
            "an ITK transform",
            "check that it is one, and complete",
        ) from failure


def write_itk(transform: Transform, path: Path) -> None:
    """Write an ITK transform file; see :func:`learngn.io.write_transform`."""
    check_name(path, "output", OutputError)
    suffix = suffix_of(path)
    if suffix not in _HDF5 and any(isinstance(part, DisplacementField) for part in parts_of(transform)):
        raise OutputError(
            f"output {path}", "a displacement field", f"affine maps in {suffix} files", "write .h5 instead"
        )
    if suffix not in _HDF5:
        # A chain of affine maps is written as one matrix, which every reader of these formats understands.
        affine = _product([part for part in parts_of(transform) if isinstance(part, Affine)], transform.ndim)
        if suffix in _TEXT:
            write_text(_text_of(affine), path)
            return
        transform = affine
    itk = to_itk(transform)
    with atomic_path(path) as temporary:
        try:
            with quietly():
                sitk.WriteTransform(itk, str(temporary))
        except RuntimeError as failure:
            raise OutputError(
                f"output {path}", f"'{reason(failure)}' from SimpleITK", "room on the disk", "free some space"
            ) from failure


def from_itk(transform: Any, fixed: Grid | None = None) -> Transform:
    """Convert a SimpleITK transform.

    Parameters
    ----------
    transform : SimpleITK.Transform
        Any linear transform, a displacement field, or a chain of these; others, such as B-splines, are sampled as a
        displacement on `fixed`.
    fixed : Grid, optional
        Grid of the fixed image.

    Raises
    ------
    TransformError
        If `fixed` is needed and not given, or the transform is singular or not finite.
    """
    parts = _itk_parts(transform)
    if all(part.IsLinear() or part.GetTransformEnum() == sitk.sitkDisplacementField for part in parts):
        converted = [linear_from_itk(p) if p.IsLinear() else _field_from_itk(p) for p in parts]
        return converted[0] if len(converted) == 1 else Composite(tuple(converted))
    if fixed is None:
        names = ", ".join(sorted({part.GetName() for part in parts}))
        raise TransformError(
            "transform",
            f"{names} from ITK",
            "affine maps and displacement fields, or the grid to sample it on",
            "name the fixed image as its reference",
        )
    if transform.GetDimension() != fixed.ndim:
        raise TransformError(
            "transform", f"a {transform.GetDimension()}D one", f"a {fixed.ndim}D one", "check the file"
        )
    spacing, origin, direction = (value.ravel().tolist() for value in place_of(fixed))
    return _field_from_image(
        sitk.TransformToDisplacementField(transform, sitk.sitkVectorFloat64, fixed.shape, origin, spacing, direction)
    )


def to_itk(transform: Transform) -> Any:
    """Convert a transform to a SimpleITK transform, part by part."""
    parts = [_field_to_itk(p) if isinstance(p, DisplacementField) else _affine_to_itk(p) for p in parts_of(transform)]
    # ITK applies the transforms of a chain in reverse order.
    return parts[0] if len(parts) == 1 else sitk.CompositeTransform(parts[::-1])


def field_from_vectors(vectors: NDArray[Any], grid: Grid, *, ras: bool = False) -> DisplacementField:
    """Convert vectors, shape (*S, D) [LPS or RAS mm], to a displacement field [voxel]."""
    matrix = grid.affine[:-1, :-1] if ras else voxel_to_lps(grid)
    inverse = np.linalg.inv(matrix).astype(vectors.dtype if vectors.dtype.kind == "f" else np.float64)
    voxels = np.empty((1, grid.ndim, *grid.shape), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # DisplacementField checks that the values are finite
        for slab in slabs(grid.shape, voxels.itemsize):
            for box in tiles(grid.shape, slab, voxels.itemsize):
                for component, row in enumerate(inverse):
                    used = np.flatnonzero(row)  # one where the axes of the grid are those of the world
                    voxels[0, component][box] = sum(vectors[..., index][box] * row[index] for index in used)
    return DisplacementField(voxels, grid)


def vectors_to_sitk(on_grid: GridMap, dtype: DTypeLike = np.float32) -> Any:
    """Convert a transform on a grid to a SimpleITK image of displacements [LPS mm], of 32 or 64 bits."""
    grid = on_grid.grid
    turned = np.empty((*grid.shape[::-1], grid.ndim), dtype)
    for component, part in enumerate(components(on_grid, basis=voxel_to_lps(grid), dtype=dtype)):
        for slab in slabs(grid.shape, turned.itemsize):
            turned[slab, ..., component] = fastest_first(part, grid.shape, slab, dtype)
    image = sitk.GetImageFromArray(turned, isVector=True)
    put_on_grid(image, grid)
    return image


def voxel_to_lps(grid: Grid) -> FloatArray:
    """Return the matrix from vectors in voxels to LPS mm, shape (D, D)."""
    return lps(grid.ndim) @ grid.affine[:-1, :-1]


def parts_of(transform: Transform) -> list[Affine | DisplacementField]:
    """Return the affine maps and displacement fields of a transform, in the order in which they are applied."""
    if isinstance(transform, Composite):
        return [part for member in transform.parts for part in parts_of(member)]
    if isinstance(transform, Affine | DisplacementField):
        return [transform]
    raise TransformError(
        "transform", f"a {type(transform).__name__}", "affine maps and displacement fields", "write a displacement"
    )


def _itk_parts(transform: Any) -> list[Any]:
    """Return the single transforms of a SimpleITK transform, in the order of application; a linear chain is one."""
    # Linear is tested first: SimpleITK shows a type that it does not know, as ANTs may write, as a chain of itself.
    if transform.IsLinear() or transform.GetTransformEnum() != sitk.sitkComposite:
        return [transform]
    transform = sitk.CompositeTransform(transform)
    members = [transform.GetNthTransform(n) for n in reversed(range(transform.GetNumberOfTransforms()))]
    return [part for member in members for part in _itk_parts(member)]


def linear_from_itk(transform: Any) -> Affine:
    """Convert any linear transform, by the images of 0 and of the unit vectors."""
    ndim = transform.GetDimension()
    shift = np.asarray(transform.TransformPoint([0.0] * ndim))
    columns = [np.asarray(transform.TransformPoint(unit)) - shift for unit in np.eye(ndim).tolist()]
    return Affine(as_homogeneous(lps(ndim) @ np.stack(columns, axis=1) @ lps(ndim), lps(ndim) @ shift))


def _field_from_itk(transform: Any) -> DisplacementField:
    return _field_from_image(sitk.DisplacementFieldTransform(transform).GetDisplacementField())


def _field_from_image(image: Any) -> DisplacementField:
    source = source_of(image)
    return field_from_vectors(source.values, source.header.grid)


def _product(parts: Sequence[Affine], ndim: int) -> Affine:
    """Return the map of a chain of affine maps, of which the first is applied first."""
    matrix = np.eye(ndim + 1)
    for part in parts:
        matrix = part.matrix @ matrix
    return Affine(matrix)


def _lps_of(affine: Affine) -> tuple[list[float], list[float]]:
    """Return the matrix, row by row, and the translation of an affine map in LPS mm."""
    flip = lps(affine.ndim)
    return (flip @ affine.matrix[:-1, :-1] @ flip).ravel().tolist(), (flip @ affine.matrix[:-1, -1]).tolist()


def _text_of(affine: Affine) -> str:
    """Return an affine map as ITK's text file has it, with numbers that are read back to the bit."""
    linear, translation = _lps_of(affine)
    parameters = " ".join(f"{number + 0.0!r}" for number in (*linear, *translation))  # + 0.0: no negative zero
    return (
        "#Insight Transform File V1.0\n#Transform 0\n"
        f"Transform: AffineTransform_double_{affine.ndim}_{affine.ndim}\n"
        f"Parameters: {parameters}\nFixedParameters: {' '.join('0' * affine.ndim)}\n"
    )


def _affine_to_itk(affine: Affine) -> Any:
    result, (linear, translation) = sitk.AffineTransform(affine.ndim), _lps_of(affine)
    result.SetMatrix(linear)
    result.SetTranslation(translation)
    return result


def _field_to_itk(field: DisplacementField) -> Any:
    return sitk.DisplacementFieldTransform(vectors_to_sitk(field.on(field.grid), np.float64))
