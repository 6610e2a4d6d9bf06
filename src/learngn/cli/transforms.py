"""Reading of transform files for the commands, which recognise Learn2Reg's files by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli import console
from learngn.cli.panels import INPUT
from learngn.errors import OutputError, TransformError

if TYPE_CHECKING:
    from learngn.geometry.grid import Grid
    from learngn.geometry.transform import Transform

_INEXACT = 0.1  # mean error of an inverse above which a warning is shown [voxel]

Reference = Annotated[
    Path | None,
    typer.Option(
        "--reference",
        "-r",
        "--fixed",
        "-f",
        metavar="FILE",
        help="Fixed image: its grid is that of the result.",
        rich_help_panel=INPUT,
    ),
]
Moving = Annotated[
    Path | None,
    typer.Option(
        "--moving",
        "-m",
        metavar="FILE",
        help="Moving image: for Learn2Reg's and FSL's files, and for points in voxels.",
        rich_help_panel=INPUT,
    ),
]


def is_learn2reg(path: Path) -> bool:
    """Whether a file has a name of Learn2Reg's displacements: ``disp_FFFF_MMMM.nii.gz``, or any ``.npz``."""
    return path.name.startswith("disp_") or path.suffix == ".npz"


def read_chain(paths: list[Path], fixed: Grid | None, moving: Grid | None) -> Transform:
    """Read transforms and chain them; they are applied to points of the fixed scan in the given order."""
    from learngn.geometry.transform import Composite

    chain: Transform = Composite(tuple(read(path, fixed, moving) for path in paths))
    return chain


def read(path: Path, fixed: Grid | None, moving: Grid | None, *, learn2reg: bool | None = None) -> Transform:
    """Read one transform; `learn2reg` overrides the format that the name says."""
    from learngn.io import read_learn2reg, read_transform

    if not (is_learn2reg(path) if learn2reg is None else learn2reg):
        return read_transform(path, fixed=fixed, moving=moving)
    if fixed is None or moving is None:
        raise TransformError(
            f"transform {path}",
            "voxels of Learn2Reg alone",
            "the two scans to which they belong",
            "name them: --reference FIXED --moving MOVING",
        )
    return read_learn2reg(path, fixed, moving)


def check_inputs_kept(output: Path, *inputs: Path | None) -> None:
    """Raise :class:`OutputError` if the output file is one of the inputs."""
    for path in inputs:
        if path is not None and path.exists() and output.exists() and path.samefile(output):
            raise OutputError(
                f"output {output}", "an input", "another file, so that the input is kept", "name another output"
            )


def grid_of(path: Path | None) -> Grid | None:
    """Read the grid of an image file, if one is given."""
    from learngn.io import read_grid

    return None if path is None else read_grid(path)


def inverted(chain: Transform, quiet: bool) -> Transform:
    """Invert a transform, with a warning if the inverse is inexact, as for a displacement with folding."""
    from learngn.geometry.transform import Composite, DisplacementField, invert

    parts = chain.parts if isinstance(chain, Composite) else (chain,)
    inverses: list[Transform] = []
    for part in reversed(parts):
        if isinstance(part, Composite):
            inverses.append(inverted(part, quiet))
        elif isinstance(part, DisplacementField):
            inversion = invert(part)
            inverses.append(inversion.field)
            if inversion.error_mean > _INEXACT:
                error = f"{inversion.error_mean:.2f} voxel on average, {inversion.error_max:.1f} at most"
                console.warn([f"the inverse of a displacement is off by {error}: does it fold?"], quiet)
        else:
            inverses.append(part.inverse())
    return Composite(tuple(inverses))
