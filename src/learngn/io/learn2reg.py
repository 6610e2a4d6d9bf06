"""Displacement files of Learn2Reg, in voxels, without world coordinates.

Index in the fixed image + displacement = index in the moving image. Reading and writing need the grids of both images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import as_numpy
from learngn.errors import OutputError, TransformError
from learngn.geometry.grid import Grid
from learngn.geometry.transform import Affine, Composite, DisplacementField, Transform
from learngn.io.atomic import atomic_path
from learngn.io.documents import read_archive
from learngn.io.field_parts import components, rounding
from learngn.io.files import NIFTI_SUFFIXES, check_exists, read_file, suffix_of
from learngn.io.nifti_writer import write_nifti
from learngn.io.tiles import Part

_SUFFIXES = (*NIFTI_SUFFIXES, ".npz")
_NOTES = "Learn2Reg: voxels, index in moving minus index in fixed image"


def read_learn2reg(path: str | Path, fixed: Grid, moving: Grid) -> Transform:
    """Read a displacement file of Learn2Reg.

    Parameters
    ----------
    path : Path
        ``.nii.gz``, ``.nii`` or ``.npz`` (one array) of shape (*S, D) on the fixed grid, in voxels, components in array
        order.
    fixed, moving : Grid
        Grids of the two images.

    Returns
    -------
    Transform
        The displacement; if the grids differ, followed by the affine map between their worlds.

    Raises
    ------
    TransformError
        If the file cannot be read, or does not have the shape of the fixed grid.

    References
    ----------
    github.com/MDL-UzL/L2R, ``evaluation/evaluation.py``.
    """
    field = DisplacementField(np.array(np.moveaxis(read_voxels(path, fixed), -1, 0)[None], order="C"), fixed)
    # A_M (x + d) = W A_F (x + d): the displacement unchanged, followed by the map W between the worlds.
    world = moving.affine @ np.linalg.inv(fixed.affine)
    return field if np.array_equal(fixed.affine, moving.affine) else Composite((field, Affine(world)))


def read_voxels(path: str | Path, fixed: Grid) -> NDArray[np.float32]:
    """Read the array of a displacement file of Learn2Reg, shape (*S, D) [voxel].

    Raises
    ------
    TransformError
        If the file cannot be read, does not have the shape of the fixed grid, or has values that are not finite.
    """
    path = Path(path)
    check_exists(path, "displacement", TransformError)
    values = _read_npz(path) if suffix_of(path) == ".npz" else _read_nifti(path)
    expected = (*fixed.shape, fixed.ndim)
    if values.shape != expected:
        raise TransformError(
            f"displacement {path}", f"shape {values.shape}", f"{expected}, as the fixed image has it", "check the pair"
        )
    if values.dtype.kind not in "fiu":
        raise TransformError(f"displacement {path}", f"values of type {values.dtype}", "numbers", "check its file")
    if not np.isfinite(values).all():
        raise TransformError(f"displacement {path}", "NaN or infinity", "finite displacements", "check its file")
    return np.asarray(values, dtype=np.float32)


def write_learn2reg(
    transform: Transform, path: str | Path, fixed: Grid, moving: Grid, *, rounded: bool = False
) -> None:
    """Write a transform, affine parts included, as a displacement file of Learn2Reg, float32.

    Parameters
    ----------
    transform : Transform
        Transform from the fixed to the moving world.
    path : Path
        ``disp_FFFF_MMMM.nii.gz``, ``.nii`` or ``.npz``; see :attr:`learngn.io.Pair.field_name`.
    fixed, moving : Grid
        Grids of the two images.
    rounded : bool
        Round the displacements in ``.nii.gz`` to 1/128 mm, and to at most 1/64 of a voxel.

    Raises
    ------
    OutputError
        If the file cannot be written, or the suffix is another.
    """
    path = Path(path)
    on_grid, suffix = transform.on(fixed), suffix_of(path)
    if suffix not in NIFTI_SUFFIXES:
        write_voxels(np.moveaxis(as_numpy(on_grid.displacement(moving))[0], 0, -1).astype(np.float32), path, fixed)
        return
    steps = [rounding(size, unit=size) for size in moving.spacing.tolist()] if rounded and suffix == ".nii.gz" else None
    _write_nifti(components(on_grid, moving=moving, steps=steps), path, fixed)


def write_voxels(values: NDArray[Any], path: str | Path, fixed: Grid) -> None:
    """Write the array of a displacement file of Learn2Reg.

    Parameters
    ----------
    values : array, shape (*S, D) [voxel]
        ``.npz`` keeps its type; NIfTI, which has no floating-point numbers of 16 bits, holds float32.
    path : Path
        ``.nii.gz``, ``.nii`` or ``.npz``.
    fixed : Grid
        Grid of the fixed image.

    Raises
    ------
    OutputError
        If the file cannot be written, or the suffix is another.
    """
    path = Path(path)
    if suffix_of(path) not in _SUFFIXES:
        raise OutputError(
            f"output {path}", f"the suffix {path.suffix!r}", f"one of {', '.join(_SUFFIXES)}", "rename the output"
        )
    if suffix_of(path) == ".npz":
        with atomic_path(path) as temporary:
            np.savez(temporary, np.ascontiguousarray(values))
        return
    _write_nifti([values[..., component].__getitem__ for component in range(fixed.ndim)], path, fixed)


def _write_nifti(parts: Sequence[Part], path: Path, fixed: Grid) -> None:
    # The components are a further axis, as in the challenge; only viewers use the position in the header.
    with atomic_path(path) as temporary:
        write_nifti(temporary, (*fixed.shape, len(parts)), np.float32, fixed, parts, notes=_NOTES)


def _read_nifti(path: Path) -> NDArray[Any]:
    source = read_file(path, what="displacement", error=TransformError)
    if source.header.components > 1:
        raise TransformError(
            f"displacement {path}",
            "a vector image, in mm as ITK has it",
            "voxels in an array (*S, D), as Learn2Reg has it",
            "read it as a displacement of ITK (learngn.io.read_transform)",
        )
    return source.values


def _read_npz(path: Path) -> NDArray[Any]:
    values = list(read_archive(path, "displacement", TransformError).values())
    if len(values) != 1:
        raise TransformError(
            f"displacement {path}", f"{len(values)} arrays", "exactly one", "keep the displacement alone"
        )
    return np.asarray(values[0])
