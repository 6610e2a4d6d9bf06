"""``learngn apply``: apply transforms to images, label maps, points, meshes and streamlines."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli import console
from learngn.cli.apply_plan import apply_to_plan
from learngn.cli.panels import INPUT, OUTPUT
from learngn.cli.point_sets import Carrying, CoordinatesOption, OfOption, Side, kind_of, side_of
from learngn.cli.resampling import BackgroundOption, Interpolation, InterpolationOption, name_of
from learngn.cli.transforms import Moving, Reference, check_inputs_kept, grid_of, inverted, read_chain
from learngn.errors import GeometryError, ImageError, TransformError

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
            help="Scan, series of scans (4D), colours, vectors, label map; points (.csv, .fcsv, .mrk.json, .pts), mesh "
            "(.vtk, .vtp, .stl, .ply, .obj, .gii), streamlines (.trk, .tck, .trx); DICOM structures or dose.",
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
            help="Transform, or FORMAT:FILE (greedy, fsl, afni); several are applied to points of the fixed image "
            "in the given order.",
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
    of: OfOption = None,
    inverse: Annotated[
        bool,
        typer.Option(
            "--inverse",
            help="Apply the inverse: for an image of the fixed scan, or points of the moving one.",
            rich_help_panel=INPUT,
        ),
    ] = False,
    coordinates: CoordinatesOption = None,
    interpolation: InterpolationOption = None,
    background: BackgroundOption = None,
    reorient: Annotated[
        bool,
        typer.Option("--reorient", help="Turn and stretch vectors with the anatomy.", rich_help_panel=OUTPUT),
    ] = False,
    quiet: console.Quiet = False,
) -> None:
    """Apply transforms to an image, with a single interpolation, or to points, a mesh or streamlines.

    Example:  learngn apply moving.nii.gz -t result/displacement.nii.gz -r fixed.nii.gz -o warped.nii.gz
    """
    from learngn.io import is_plan, is_vector, split_format

    files = transforms or []
    check_inputs_kept(output, image, reference, moving, *(split_format(file)[1] for file in files))
    if bool(files) == identity:
        raise TransformError(
            "transforms",
            "--transform as well as --identity" if identity else "none",
            "one or more, or --identity to resample alone",
            "name them with --transform" if not identity else "leave one of them out",
        )
    kind = kind_of(image)
    side = side_of(image, kind, of, inverse)
    grid = grid_of(reference)
    if reorient and not (kind == "image" and not labels and is_vector(image)):
        raise ImageError(f"{kind} {image}", "no vectors", "an image of vectors, for --reorient", "leave it out")
    if kind != "image":
        grids = {Side.FIXED: grid, Side.MOVING: grid_of(moving)}
        known = next((g for g in grids.values() if g is not None), None)
        chain = _chain(files, grids[Side.FIXED], grids[Side.MOVING], 3 if known is None else known.ndim)
        Carrying(image, output, kind, side, grids, coordinates, quiet)(chain)
        return
    if grid is None or reference is None:
        raise GeometryError("output grid", "none", "the scan onto which to resample", "name it with --reference")
    backwards = side is Side.FIXED
    if is_plan(image, output):
        source = grid_of(moving)
        chain = _chain(files, source if backwards else grid, grid if backwards else source, grid.ndim)
        apply_to_plan(image, inverted(chain, quiet) if backwards else chain, output, reference, moving, quiet=quiet)
        return
    resampling = _Resampling(grid, files, interpolation, background, labels, backwards, reorient, quiet)
    what = _apply_to_image(image, output, resampling)
    if not quiet:
        how = f"{what}, resampled onto {reference.name} by world coordinates" if identity else (
            f"{what} of the {side.value} scan, pulled back onto {reference.name}")  # fmt: skip
        typer.echo(how)


@dataclass(frozen=True)
class _Resampling:
    """Transforms and options that are applied to every image of a file."""

    grid: Grid
    files: list[Path]
    interpolation: Interpolation | None
    background: float | None
    labels: bool
    inverse: bool
    reorient: bool
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

    def warp_vectors(self, path: Path) -> list[Image]:
        """Warp the components of an image of vectors, and turn the vectors if that is asked for."""
        import numpy as np

        from learngn.geometry.reorientation import reoriented
        from learngn.io import read_vectors
        from learngn.io.itk import lps

        # Outside the moving image there is no displacement, whatever a scan has there.
        background = 0.0 if self.background is None else self.background
        parts = list(read_vectors(path))
        warped = list(replace(self, background=background).warp(parts, alike=True))
        if not self.reorient:
            return warped
        ndim = self.grid.ndim
        if len(warped) != ndim:
            raise ImageError(
                f"image {path}",
                f"{len(warped)} components",
                f"{ndim}, of vectors in space, for --reorient",
                "leave it out",
            )
        flip = lps(ndim).diagonal()  # files have components along LPS
        vectors = np.stack([sign * image.data[0, 0] for sign, image in zip(flip, warped, strict=True)])
        turned = reoriented(vectors.astype(np.float64), self._on_grid(parts[0].grid))
        values = [(sign * part)[None, None].astype(np.float32) for sign, part in zip(flip, turned, strict=True)]
        return [replace(image, data=data) for image, data in zip(warped, values, strict=True)]

    def _on_grid(self, source: Grid) -> GridMap:
        fixed, moving = (source, self.grid) if self.inverse else (self.grid, source)
        chain = _chain(self.files, fixed, moving, self.grid.ndim)
        return (inverted(chain, self.quiet) if self.inverse else chain).on(self.grid)


def _apply_to_image(path: Path, output: Path, resampling: _Resampling) -> str:
    """Resample an image of any kind; return what it was, in the user's terms."""
    from learngn.io import (
        frame_count,
        frame_step,
        is_colour,
        is_vector,
        read_colour,
        read_frames,
        read_image,
        write_colour,
        write_frames,
        write_image,
        write_vectors,
    )

    if resampling.labels:
        kind = "label map"
    elif is_vector(path):
        write_vectors(resampling.warp_vectors(path), output)
        return f"image of vectors ({'turned with the anatomy' if resampling.reorient else 'not turned'})"
    elif is_colour(path):
        write_colour(resampling.warp(read_colour(path), alike=False), output)
        return "colour image"
    else:
        kind = "image"
    if (count := frame_count(path)) > 1:
        write_frames(resampling.warp(read_frames(path, resampling.labels), alike=True), output, frame_step(path))
        return f"series of {count} {kind}s"
    (warped,) = resampling.warp([read_image(path, labels=resampling.labels)], alike=True)
    write_image(warped, output)
    return kind


def _chain(files: list[Path], fixed: Grid | None, moving: Grid | None, ndim: int) -> Transform:
    """Read and chain the transforms of the files; return the identity if there are none."""
    from learngn.geometry.transform import Affine

    return read_chain(files, fixed, moving) if files else Affine.identity(ndim)
