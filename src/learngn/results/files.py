"""Files of a result: images and transforms."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from learngn.arrays import narrow
from learngn.clock import Clock
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Transform
from learngn.io import field_suffix, is_plain, write_colour, write_image, write_transform, write_vector_series
from learngn.registration import Registration
from learngn.uncertainty import Uncertainty

_BLOCK = 1 << 20  # bytes read at a time


def write_files(registration: Registration, directory: Path) -> dict[str, float]:
    """Write images and transforms of a result.

    Parameters
    ----------
    registration : Registration
    directory : Path

    Returns
    -------
    dict
        Seconds of every stage, including ``write`` and ``total``.
    """
    clock = Clock(dict(registration.seconds))
    grid = registration.fixed.grid
    with clock.stage("warp"):
        warped_labels = registration.warped_labels
    with clock.stage("write"):
        if warped_labels is not None:
            write_warped_labels(warped_labels, directory)
        write_warped(registration.warped, directory, registration.warped_colour)
        write_displacement(registration.transform, grid, directory)
        if registration.inverse is not None:
            moving_grid = registration.moving.grid
            write_transform(
                registration.inverse,
                directory / f"inverse_displacement{field_suffix(moving_grid)}",
                reference=moving_grid,
                rounded=True,
            )
        if registration.uncertainty is not None:
            write_uncertainty(registration.uncertainty, directory)
            write_draws(registration.uncertainty, directory)
        if registration.settings.aligns or registration.initial is not None:
            write_transform(registration.affine, directory / "affine.tfm")
    return clock.seconds | {"total": sum(clock.seconds.values())}


def write_warped(warped: Image, directory: Path, colour: Image | None = None) -> None:
    """Write the moving scan on the fixed grid; a picture in colour, and as PNG as well where that keeps its position.

    Parameters
    ----------
    warped : Image, (1, 1, *S)
    directory : Path
    colour : Image, (1, 3, *S), optional
        The same in colour.
    """
    if colour is None or colour.stored not in ("uint8", "uint16"):
        write_image(warped, directory / "warped.nii.gz")
        return
    channels = [replace(colour, data=narrow(colour.data, 1, channel, 1)) for channel in range(3)]
    if colour.stored == "uint8":  # NIfTI has no others
        write_colour(channels, directory / "warped.nii.gz")
    else:
        write_image(warped, directory / "warped.nii.gz")
    if is_plain(colour.grid):
        write_colour(channels, directory / "warped.png")


def write_warped_labels(warped: Image, directory: Path) -> None:
    """Write the label map of the moving scan on the fixed grid."""
    write_image(warped, directory / "warped_labels.nii.gz")


def write_displacement(transform: Transform, grid: Grid, directory: Path) -> None:
    """Write a whole transform as a displacement on the fixed grid, in a format in which every program reads it."""
    write_transform(transform, directory / f"displacement{field_suffix(grid)}", reference=grid, rounded=True)


def write_uncertainty(uncertainty: Uncertainty, directory: Path, prefix: str = "uncertainty") -> None:
    """Write the standard deviation on the fixed grid, and the long axis as vectors on a coarser one."""
    field = uncertainty.axis_field()
    write_image(uncertainty.deviation, directory / f"{prefix}.nii.gz")
    write_transform(field, directory / f"{prefix}_axis{field_suffix(field.grid)}", reference=field.grid)


def write_draws(uncertainty: Uncertainty, directory: Path) -> None:
    """Write the drawn errors of the displacement as a series of vectors, if there are some."""
    if uncertainty.draws is not None:
        write_vector_series(uncertainty.draws, directory / "uncertainty_draws.nii.gz")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of all files of a folder, sorted by name."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as content:
                while block := content.read(_BLOCK):
                    digest.update(block)
    return digest.hexdigest()
