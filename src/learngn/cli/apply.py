"""``learngn apply``: apply transforms to images, label maps and points."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli import console
from learngn.cli.panels import INPUT, OUTPUT
from learngn.cli.resampling import BackgroundOption, Interpolation, InterpolationOption, name_of
from learngn.cli.transforms import Moving, Reference, check_inputs_kept, grid_of, inverted, read_chain
from learngn.errors import GeometryError, LandmarkError, TransformError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from learngn.geometry.grid import Grid
    from learngn.geometry.grid_map import GridMap
    from learngn.geometry.image import Image
    from learngn.geometry.transform import Transform


def apply(
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE",
            help="Scan, series of scans (4D), colour picture, label map, or points (.csv, .fcsv, .mrk.json, .pts).",
            show_default=False,
            rich_help_panel=INPUT,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="File to write.", rich_help_panel=OUTPUT)
    ],
    transforms: Annotated[
        list[Path] | None,
        typer.Option(
            "--transform",
            "-t",
            metavar="FILE",
            help="Transform; several are applied to points of the fixed image in the given order.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    identity: Annotated[
        bool,
        typer.Option("--identity", help="No transform: resample by world coordinates.", rich_help_panel=INPUT),
    ] = False,
    reference: Reference = None,
    moving: Moving = None,
    labels: Annotated[
        bool,
        typer.Option("--labels", help="IMAGE is a label map: use the nearest voxel.", rich_help_panel=INPUT),
    ] = False,
    inverse: Annotated[
        bool,
        typer.Option("--inverse", help="Apply the inverse, from the moving to the fixed image.", rich_help_panel=INPUT),
    ] = False,
    interpolation: InterpolationOption = None,
    background: BackgroundOption = None,
    quiet: console.Quiet = False,
) -> None:
    """Apply transforms to an image or points, with a single interpolation; to series frame by frame.

    Example:  learngn apply moving.nii.gz -t result/displacement.nii.gz -r fixed.nii.gz -o warped.nii.gz
    """
    from learngn.io import is_landmarks

    files = transforms or []
    check_inputs_kept(output, image, reference, moving, *files)
    if bool(files) == identity:
        raise TransformError(
            "transforms",
            "--transform as well as --identity" if identity else "none",
            "one or more, or --identity to resample alone",
            "name them with --transform" if not identity else "leave one of them out",
        )
    if is_landmarks(image):
        _apply_to_points(image, files, output, reference, moving, inverse=inverse, quiet=quiet)
        return
    grid = grid_of(reference)
    if grid is None:
        raise GeometryError("output grid", "none", "the scan onto which to resample", "name it with --reference")
    resampling = _Resampling(grid, files, interpolation, background, labels, inverse, quiet)
    _apply_to_image(image, output, resampling)


@dataclass(frozen=True)
class _Resampling:
    """Transforms and options that are applied to every image of a file."""

    grid: Grid
    files: list[Path]
    interpolation: Interpolation | None
    background: float | None
    labels: bool
    inverse: bool
    quiet: bool

    def warp(self, images: Iterable[Image], *, alike: bool) -> Iterator[Image]:
        """Warp images on one grid; with `alike`, for frames of a series, all have the background of the first one."""
        from learngn.geometry.background import background_of

        images = iter(images)
        first = next(images)
        on_grid, background = self._on_grid(first.grid), self.background  # computed once for all images
        kind = name_of(self.interpolation)
        if background is None and alike:
            background = background_of(first)
        for image in itertools.chain([first], images):
            yield on_grid.warp(image, interpolation=kind, background=background)

    def _on_grid(self, source: Grid) -> GridMap:
        fixed, moving = (source, self.grid) if self.inverse else (self.grid, source)
        chain = _chain(self.files, fixed, moving, self.grid.ndim)
        return (inverted(chain, self.quiet) if self.inverse else chain).on(self.grid)


def _apply_to_image(path: Path, output: Path, resampling: _Resampling) -> None:
    from learngn.io import (
        frame_count,
        frame_step,
        is_colour,
        read_colour,
        read_frames,
        read_image,
        write_colour,
        write_frames,
        write_image,
    )

    if not resampling.labels and is_colour(path):
        write_colour(resampling.warp(read_colour(path), alike=False), output)
    elif frame_count(path) > 1:
        write_frames(resampling.warp(read_frames(path, resampling.labels), alike=True), output, frame_step(path))
    else:
        (warped,) = resampling.warp([read_image(path, labels=resampling.labels)], alike=True)
        write_image(warped, output)


def _chain(files: list[Path], fixed: Grid | None, moving: Grid | None, ndim: int) -> Transform:
    """Read and chain the transforms of the files; return the identity if there are none."""
    from learngn.geometry.transform import Affine

    return read_chain(files, fixed, moving) if files else Affine.identity(ndim)


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
    chain = _chain(files, fixed_grid, moving_grid, source.ndim)
    mapped = (inverted(chain, quiet) if inverse else chain).map_points(landmarks.points)
    write_landmarks(
        Landmarks(mapped, landmarks.space, landmarks.names, landmarks.weights), output, grid=target or source
    )
