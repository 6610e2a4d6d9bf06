"""Reading of the transform in a result folder, with its affine part apart."""

from __future__ import annotations

from pathlib import Path

from learngn.errors import TransformError
from learngn.geometry.image import Image
from learngn.geometry.transform import Composite, DisplacementField, Transform
from learngn.io import read_transform, read_vector_series


def is_result(path: Path) -> bool:
    """Whether a path is a result folder of ``learngn register``."""
    return path.is_dir() and _displacement(path) is not None


def read_result_transform(directory: Path) -> Transform:
    """Read the transform of a result folder: the displacement, then the affine if the registration had that stage.

    The file of the displacement holds both as one; the affine is taken out of it again.

    Raises
    ------
    TransformError
        If the folder has no displacement, or it cannot be read.
    """
    path = _displacement(directory)
    if path is None:
        raise TransformError(
            f"transform {directory}",
            "a folder without displacement.nii.gz",
            "a result folder of `learngn register`, or a file",
            "check the path",
        )
    whole = read_transform(path)
    affine = directory / "affine.tfm"
    if not affine.exists() or not isinstance(whole, DisplacementField):
        return whole
    matrix = read_transform(affine)
    part = whole.then(matrix.inverse()).on(whole.grid).displacement()
    return Composite((DisplacementField(part, whole.grid), *_parts(matrix)))


def read_result_draws(directory: Path) -> Image | None:
    """Read the drawn errors of the displacement, (M, D, *S) [mm, RAS], in a result folder, if it has them."""
    path = directory / "uncertainty_draws.nii.gz"
    return read_vector_series(path) if path.exists() else None


def _displacement(directory: Path) -> Path | None:
    paths = (directory / f"displacement{suffix}" for suffix in (".mha", ".nii.gz"))
    return next((path for path in paths if path.is_file()), None)


def _parts(transform: Transform) -> tuple[Transform, ...]:
    return transform.parts if isinstance(transform, Composite) else (transform,)
