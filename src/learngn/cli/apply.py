"""``learngn apply``: images, label maps and points through transforms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli import console
from learngn.cli.transforms import check_inputs_kept, grid_of, read_chain
from learngn.errors import GeometryError, LandmarkError

if TYPE_CHECKING:
    from learngn.transform import Transform

_INEXACT = 0.1  # mean error of an inverse that is worth a warning [voxel]


def apply(
    image: Annotated[Path, typer.Argument(help="Scan, label map, or points (.csv).", show_default=False)],
    transforms: Annotated[
        list[Path],
        typer.Option(
            "--transform", "-t", help="Transform; several are applied in the order given, to a point of FIXED."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    reference: Annotated[
        Path | None, typer.Option("--reference", "-r", help="Scan whose grid the result gets; for points: FIXED.")
    ] = None,
    moving: Annotated[Path | None, typer.Option(help="For points: MOVING, if they are voxels.")] = None,
    labels: Annotated[bool, typer.Option("--labels", help="IMAGE is a label map: take the nearest voxel.")] = False,
    inverse: Annotated[bool, typer.Option("--inverse", help="Go from MOVING to FIXED.")] = False,
    quiet: console.Quiet = False,
) -> None:
    """Bring an image or points through transforms, with one interpolation.

    Example:  learngn apply moving.nii.gz -t result/displacement.nii.gz -r fixed.nii.gz -o warped.nii.gz
    """
    check_inputs_kept(output, image, reference, moving, *transforms)
    if image.suffix.lower() == ".csv":
        _apply_to_points(image, transforms, output, reference, moving, inverse=inverse, quiet=quiet)
    else:
        _apply_to_image(image, transforms, output, reference, labels=labels, inverse=inverse, quiet=quiet)


def _apply_to_image(
    path: Path, files: list[Path], output: Path, reference: Path | None, *, labels: bool, inverse: bool, quiet: bool
) -> None:
    from learngn.io import read_image, write_image

    grid = grid_of(reference)
    if grid is None:
        raise GeometryError("output grid", "none", "the scan onto which to resample", "name it with --reference")
    image = read_image(path, labels=labels)
    fixed, moving = (image.grid, grid) if inverse else (grid, image.grid)
    chain = read_chain(files, fixed, moving)
    warped = (_inverted(chain, quiet) if inverse else chain).warp(image, grid)
    write_image(warped, output)


def _apply_to_points(
    path: Path,
    files: list[Path],
    output: Path,
    reference: Path | None,
    moving: Path | None,
    *,
    inverse: bool,
    quiet: bool,
) -> None:
    from learngn.io import Landmarks, read_landmarks, write_landmarks

    fixed_grid, moving_grid = grid_of(reference), grid_of(moving)
    source, target = (moving_grid, fixed_grid) if inverse else (fixed_grid, moving_grid)
    names = ("--moving", "--reference") if inverse else ("--reference", "--moving")
    if source is None:
        raise LandmarkError(
            f"landmarks {path}", "points alone", "the scan in which they lie", f"name it with {names[0]}"
        )
    landmarks = read_landmarks(path, source)
    if target is None and landmarks.space == "voxel":
        raise LandmarkError(
            f"landmarks {path}", "voxels", "the scan whose voxels they become", f"name it with {names[1]}"
        )
    chain = read_chain(files, fixed_grid, moving_grid)
    mapped = (_inverted(chain, quiet) if inverse else chain).map_points(landmarks.points)
    write_landmarks(
        Landmarks(mapped, landmarks.space, landmarks.names, landmarks.weights), output, grid=target or source
    )


def _inverted(chain: Transform, quiet: bool) -> Transform:
    """The inverse, with a warning where it is none: a folded field has no inverse."""
    from learngn.transform import Composite, DisplacementField, invert

    parts = chain.parts if isinstance(chain, Composite) else (chain,)
    inverses: list[Transform] = []
    for part in reversed(parts):
        if isinstance(part, Composite):
            inverses.append(_inverted(part, quiet))
        elif isinstance(part, DisplacementField):
            inversion = invert(part)
            inverses.append(inversion.field)
            if inversion.error_mean > _INEXACT:
                error = f"{inversion.error_mean:.2f} voxel on average, {inversion.error_max:.1f} at most"
                console.warn([f"the inverse of a displacement is off by {error}: does it fold?"], quiet)
        else:
            inverses.append(part.inverse())
    return Composite(tuple(inverses))
