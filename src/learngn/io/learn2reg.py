"""Displacement files of Learn2Reg: voxels, array order, index in the moving scan minus index in the fixed one."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from learngn.errors import TransformError
from learngn.grid import Grid
from learngn.io.atomic import atomic_path
from learngn.io.images import read_sitk, write_sitk
from learngn.transform import Affine, Composite, DisplacementField, Transform


def read_learn2reg(path: str | Path, fixed: Grid, moving: Grid) -> Transform:
    """Read ``disp_*.nii.gz`` or ``.npz``.

    Parameters
    ----------
    path : path
        An array of shape (*S, D), `S` the fixed grid's shape.
    fixed, moving : Grid
        Grids of both scans, which the file does not carry.

    Returns
    -------
    Transform
        A displacement field; followed by an affine where the grids differ.

    Raises
    ------
    TransformError
        If the file cannot be read or has another shape.
    """
    path = Path(path)
    array = _read_npz(path) if path.suffix == ".npz" else sitk.GetArrayFromImage(read_sitk(path)).transpose()
    expected = (*fixed.shape, fixed.ndim)
    if array.shape != expected:
        raise TransformError(
            str(path),
            f"an array of shape {array.shape}",
            f"{expected}, the fixed scan's",
            "pass the scan it belongs to",
        )
    data = torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 0), dtype=np.float32))[None]
    field = DisplacementField(data, fixed)
    if fixed.same_space(moving):
        return field
    # Equal indices of two grids are not equal points: index displacement first, then from the one grid to the other.
    return Composite((field, Affine(moving.affine @ np.linalg.inv(fixed.affine))))


def write_learn2reg(transform: Transform, path: str | Path, fixed: Grid, moving: Grid) -> None:
    """Write ``disp_*.nii.gz`` or ``.npz``, float32, shape (*S, D); see :func:`read_learn2reg`.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    array = transform.on(fixed).displacement(moving)[0].movedim(0, -1).to(torch.float32).cpu().numpy()
    if path.suffix == ".npz":
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, array)
        return
    # A plain array with one axis more than the scan; its fourth axis is no place in the world.
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose()), isVector=False)
    write_sitk(image, path)


def _read_npz(path: Path) -> NDArray[Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = archive.files
            if len(names) != 1:
                raise TransformError(str(path), f"{len(names)} arrays", "exactly one", "save the displacement alone")
            return np.asarray(archive[names[0]])
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise TransformError(str(path), "a file that NumPy cannot read", "an .npz archive", "check the file") from error
