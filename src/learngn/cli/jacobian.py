"""``learngn jacobian``: change of volume by a transform, as an image and by label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli import console
from learngn.cli.options import LabelNames
from learngn.cli.panels import INPUT, OUTPUT, SCORES
from learngn.cli.transforms import Moving, Reference, check_inputs_kept, grid_of, inverted
from learngn.errors import GeometryError, ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from learngn.evaluation import Jacobian, VolumeChange
    from learngn.geometry.grid import Grid
    from learngn.geometry.image import Image
    from learngn.geometry.transform import Transform


def jacobian(
    transforms: Annotated[
        list[Path],
        typer.Argument(
            metavar="TRANSFORM...",
            help="Transforms as for apply, in the order for points of the fixed image; or a result folder of register.",
            show_default=False,
            rich_help_panel=INPUT,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|DIR",
            help="Image, or a folder, in which the names say the direction; JSON and CSV are written beside it.",
            rich_help_panel=OUTPUT,
        ),
    ] = Path(),
    reference: Reference = None,
    moving: Moving = None,
    log: Annotated[
        bool,
        typer.Option(
            "--log", help="Natural logarithm: positive where the moving image is larger.", rich_help_panel=OUTPUT
        ),
    ] = False,
    without_affine: Annotated[
        bool,
        typer.Option(
            "--without-affine",
            help="Leave out the affine maps of the chain; if it has none, the one that fits best.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    inverse: Annotated[
        bool,
        typer.Option(
            "--inverse", help="Of the inverse, on the moving image: volume fixed / moving.", rich_help_panel=OUTPUT
        ),
    ] = False,
    mask: Annotated[
        Path | None,
        typer.Option(
            "--mask", metavar="FILE", help="Mask on the reference: elsewhere no change.", rich_help_panel=INPUT
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", metavar="FILE", help="Label map of the reference: change by label.", rich_help_panel=SCORES
        ),
    ] = None,
    uncertainty: Annotated[
        Path | None,
        typer.Option(
            "--uncertainty",
            metavar="FILE",
            help="uncertainty_draws.nii.gz of a registration, for intervals; by default that of the result folder.",
            show_default=False,
            rich_help_panel=SCORES,
        ),
    ] = None,
    label_names: LabelNames = None,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Compute the Jacobian determinant of a transform: volume in the moving by volume in the fixed image.

    Example:  learngn jacobian result --log --without-affine --labels fixed_labels.nii.gz -o change
    """
    from learngn.evaluation import jacobian_of, volume_changes
    from learngn.io import read_label_names
    from learngn.results import jacobian_json, jacobian_paths, write_jacobian

    paths = jacobian_paths(output, log=log, affine=not without_affine, inverse=inverse)
    for path in (paths.image, paths.sidecar, paths.table):
        check_inputs_kept(path, reference, moving, mask, labels, uncertainty, *transforms)
    names = None if label_names is None else read_label_names(label_names)
    chain = _chain(transforms, grid_of(reference), grid_of(moving), inverse=inverse, quiet=quiet)
    grid = grid_of(reference or labels) or _own_grid(chain)
    found = jacobian_of(chain, grid, affine=not without_affine, mask=_mask(mask, grid))
    changes: list[VolumeChange] = []
    if labels is not None:
        draws = None if inverse else _draws(uncertainty, transforms)
        changes = volume_changes(found, _labels(labels, grid), names=names, draws=draws)
    direction = "fixed / moving" if inverse else "moving / fixed"
    files = {"transforms": [str(path) for path in transforms]}
    content = jacobian_json(found, changes, log=log, direction=direction, sources=files)
    paths.image.parent.mkdir(parents=True, exist_ok=True)
    write_jacobian(found, content, changes, paths)
    if json:
        console.print_json(content)
    elif not quiet:
        _show(found, changes, content["description"])
        typer.echo(f"see {paths.image}")


def _chain(files: list[Path], fixed: Grid | None, moving: Grid | None, *, inverse: bool, quiet: bool) -> Transform:
    from learngn.geometry.transform import Composite
    from learngn.io import read_named_transform
    from learngn.results import is_result, read_result_transform

    if inverse:
        fixed, moving = moving, fixed
    parts = [
        read_result_transform(path) if is_result(path) else read_named_transform(path, fixed=fixed, moving=moving)
        for path in files
    ]
    chain = parts[0] if len(parts) == 1 else Composite(tuple(parts))
    return inverted(chain, quiet) if inverse else chain


def _own_grid(chain: Transform) -> Grid:
    """Return the grid of the displacement with which a chain begins."""
    from learngn.geometry.transform import Composite, DisplacementField

    first = chain
    while isinstance(first, Composite):
        first = first.parts[0]
    if isinstance(first, DisplacementField):
        return first.grid
    raise GeometryError(
        "output grid", "none: the chain does not begin with a displacement", "the fixed image", "name it by --reference"
    )


def _labels(path: Path, grid: Grid) -> Image:
    from learngn.io import labels_on, read_image

    return labels_on(read_image(path, labels=True), grid, "label map")


def _mask(path: Path | None, grid: Grid) -> NDArray[np.uint8] | None:
    """Return where a mask is at least a half, shape of the grid."""
    if path is None:
        return None
    from learngn.geometry.image import Image
    from learngn.io import labels_on, read_image

    mask = read_image(path)
    inside = Image((mask.data >= 0.5).astype("uint8"), mask.grid, labels=True, path=path)
    if not inside.data.any():
        raise ImageError(f"mask {path}", "no voxel of 0.5 or more", "one at least", "check the file")
    found: NDArray[np.uint8] = labels_on(inside, grid, "mask").data[0, 0]
    return found


def _draws(path: Path | None, transforms: list[Path]) -> Image | None:
    """Return the drawn errors of the displacement: those of a file, or of the only result folder."""
    from learngn.io import read_vector_series
    from learngn.results import is_result, read_result_draws

    if path is not None:
        return read_vector_series(path)
    return read_result_draws(transforms[0]) if len(transforms) == 1 and is_result(transforms[0]) else None


def _show(found: Jacobian, changes: list[VolumeChange], description: str) -> None:
    """Print the change of the whole, and of every label."""
    numbers = found.summary()
    typer.echo(description)
    if found.removed != "nothing":
        typer.echo(f"left out: an affine map that changes volumes by {numbers['affine_volume_factor'] - 1:+.2%}")
    where = "mask" if found.mask is not None else "grid"
    typer.echo(
        f"whole {where}: {numbers['change_percent']:+.2f} %, {numbers['folds']} of {numbers['voxels']} voxels fold"
    )
    if changes:
        from learngn.evaluation.tables import volume_table

        console.stdout().print(volume_table(changes))
