"""Transforms as DICOM objects: Spatial Registration and Deformable Spatial Registration (REG).

Both relate the frame of reference of the fixed scan (*registered*) and that of the moving one (*source*), in LPS mm,
but in opposite directions. The matrices of a Spatial Registration map points of the source to the registered frame
(PS3.3 C.20.2.1.1); a Deformable Spatial Registration maps points of the registered frame to the source (C.20.3.1.1):

    source = M_post (M_pre p + d(p)),    d given at the points of a grid in the registered frame
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from learngn.errors import OutputError, TransformError
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.grid_map import GridMap
from learngn.geometry.transform import Affine, Composite, Transform
from learngn.io.dicom_objects import DEFORMABLE, RIGID, read_object, require_dicom, write_object
from learngn.io.itk import affine_at, lps
from learngn.io.itk_transforms import field_from_vectors, vectors_to_sitk
from learngn.io.simpleitk import sitk

_WHAT = "registration"
_ROTATION = 1e-5  # tolerance of a rotation matrix, and of a right angle


def read_registration(path: str | Path, source: str | None = None) -> Transform:
    """Read a DICOM registration as a transform from the fixed (registered) to the moving (source) world.

    Parameters
    ----------
    path : Path
        Spatial Registration or Deformable Spatial Registration.
    source : str, optional
        UID of the moving scan's frame of reference; needed if the file registers several.

    Raises
    ------
    TransformError
        If the file is no registration or holds none for this frame, or its grid or matrices are invalid.
    MissingPackageError
        Without the extra ``[dicom]``.
    """
    path = Path(path)
    found = read_object(path, _WHAT, RIGID, DEFORMABLE, error=TransformError)
    fixed = str(found.get("FrameOfReferenceUID") or "")
    if found.SOPClassUID == RIGID:
        items = {str(item.get("FrameOfReferenceUID") or ""): item for item in found.get("RegistrationSequence") or ()}
        others = {uid: item for uid, item in items.items() if uid != fixed} or items
        return _rigid(path, others[_chosen(path, list(others), source)])
    items = {str(item.SourceFrameOfReferenceUID): item for item in found.get("DeformableRegistrationSequence") or ()}
    return _deformable(path, items[_chosen(path, list(items), source)])


def write_registration(
    transform: Transform, path: str | Path, fixed: Sequence[Any], moving: Sequence[Any], grid: Grid
) -> None:
    """Write a transform as a DICOM registration, atomically: of affine maps alone a Spatial Registration.

    Parameters
    ----------
    transform : Transform
        From the fixed to the moving world.
    path : Path
    fixed, moving : sequence of pydicom.Dataset
        Headers of the slices of both scans, see :class:`learngn.io.RTStudy`.
    grid : Grid
        Grid in the fixed world on which a displacement is written, as float32 vectors, exact to 1e-4 mm at its points.

    Raises
    ------
    OutputError
        If the axes of the grid are not at right angles, which DICOM cannot say.
    """
    require_dicom(f"output {path}")
    from pydicomrt.reg import DeformableSpatialRegistrationBuilder, SpatialRegistrationBuilder

    on_grid = transform.on(_right_handed(grid, path))
    world = _to_lps(on_grid.world)
    if on_grid.field is None:
        matrix = np.asarray(np.linalg.inv(world), dtype=np.float64)
        builder = SpatialRegistrationBuilder(fixed)
        builder.add_registration(moving, matrix.ravel().tolist(), _type_of(matrix))
        _write(builder.build(), path, "Spatial registration")
        return
    displacement = GridMap(on_grid.grid, on_grid.field, np.eye(4))
    vectors = sitk.DisplacementFieldTransform(vectors_to_sitk(displacement, np.float64))
    builder = DeformableSpatialRegistrationBuilder(fixed)
    identity = np.eye(4).ravel().tolist()
    builder.add_registration(moving, vectors, identity, world.ravel().tolist(), "RIGID", _type_of(world))
    _write(builder.build(), path, "Deformable spatial registration")


def _write(dataset: Any, path: str | Path, description: str) -> None:
    dataset.ContentCreatorName, dataset.ContentDescription = "LearnGN", description
    write_object(dataset, path, description)


def _chosen(path: Path, frames: list[str], source: str | None) -> str:
    """Return the frame of reference whose registration is meant."""
    if source is None and len(frames) == 1:
        return frames[0]
    if source in frames:
        return str(source)
    got = f"registrations of {len(frames)} frames of reference ({', '.join(frames)})" if frames else "none"
    wanted = "one" if source is None else f"one of the moving scan's frame, {source}"
    raise TransformError(f"{_WHAT} {path}", got, wanted, "name the moving scan, or another file")


def _rigid(path: Path, item: Any) -> Affine:
    matrix = np.eye(4)
    for registration in item.get("MatrixRegistrationSequence") or ():
        for part in registration.get("MatrixSequence") or ():
            matrix = _matrix(path, part) @ matrix
    try:
        return Affine(_to_lps(np.asarray(np.linalg.inv(matrix), dtype=np.float64)))
    except np.linalg.LinAlgError:
        raise TransformError(f"{_WHAT} {path}", "a singular matrix", "an invertible one", "check the file") from None


def _deformable(path: Path, item: Any) -> Transform:
    before, after = (
        _matrix(path, sequence[0]) if (sequence := item.get(name)) else np.eye(4)
        for name in ("PreDeformationMatrixRegistrationSequence", "PostDeformationMatrixRegistrationSequence")
    )
    affine = Affine(_to_lps(after @ before))
    grids = item.get("DeformableRegistrationGridSequence")
    if not grids:
        return affine
    (stored,) = grids
    shape = tuple(int(n) for n in stored.GridDimensions)
    vectors = np.frombuffer(stored.VectorGridData, dtype="<f4")
    if len(shape) != 3 or vectors.size != 3 * np.prod(shape):
        got = f"{vectors.size} numbers on a grid of {shape}"
        raise TransformError(f"{_WHAT} {path}", got, "three for each of its points", "check that it is complete")
    axes = np.asarray(stored.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    direction = np.stack([*axes, np.cross(*axes)], axis=1)
    spacing, origin = ([float(x) for x in value] for value in (stored.GridResolution, stored.ImagePositionPatient))
    grid = Grid(shape, affine_at(spacing, origin, direction))
    values = np.moveaxis(vectors.reshape((*shape[::-1], 3)), (0, 1, 2), (2, 1, 0))
    undefined = np.isnan(values).any(axis=-1)
    if undefined.any():
        values = np.where(undefined[..., None], np.float32(0), values)
    # The displacement is added after the first matrix, but belongs to the point before it: M_pre (p + M_pre^-1 d(p)).
    if not np.array_equal(before[:3, :3], np.eye(3)):
        values = values @ np.linalg.inv(before[:3, :3]).T
    return Composite((field_from_vectors(values, grid), affine))


def _matrix(path: Path, item: Any) -> FloatArray:
    values = np.asarray(item.get("FrameOfReferenceTransformationMatrix") or (), dtype=np.float64)
    if values.size != 16 or not np.isfinite(values).all() or not np.allclose(values[12:], (0, 0, 0, 1), atol=1e-6):
        got = f"a matrix of {values.size} numbers, {values[12:].tolist()} its last row"
        raise TransformError(f"{_WHAT} {path}", got, "4 x 4, row by row, with the last row 0 0 0 1", "check the file")
    return values.reshape(4, 4)


def _to_lps(matrix: FloatArray) -> FloatArray:
    """Convert a matrix from RAS to LPS, or back."""
    flip = np.eye(4)
    flip[:3, :3] = lps(3)
    return flip @ matrix @ flip + 0.0


def _type_of(matrix: FloatArray) -> str:
    """Return DICOM's name of the kind of a matrix."""
    gram = matrix[:3, :3].T @ matrix[:3, :3]
    if np.linalg.det(matrix[:3, :3]) > 0 and np.allclose(gram, np.eye(3), atol=_ROTATION):
        return "RIGID"
    return "RIGID_SCALE" if np.allclose(gram, np.diag(np.diag(gram)), atol=_ROTATION) else "AFFINE"


def _right_handed(grid: Grid, path: str | Path) -> Grid:
    """Return the same voxels with axes whose third is the product of the others, as DICOM implies it."""
    if grid.ndim != 3 or not np.allclose(grid.direction.T @ grid.direction, np.eye(3), atol=_ROTATION):
        raise OutputError(
            f"output {path}", f"the grid {grid}", "3D, its axes at right angles", "name another reference"
        )
    if np.linalg.det(grid.direction) > 0:
        return grid
    flip = np.diag([1.0, 1.0, -1.0, 1.0])
    flip[2, 3] = grid.shape[2] - 1
    return Grid(grid.shape, grid.affine @ flip)
