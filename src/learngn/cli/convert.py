"""``learngn convert``: convert transforms from one format to another."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli import console
from learngn.cli.panels import INPUT, OUTPUT
from learngn.cli.transforms import Moving, Reference, check_inputs_kept, grid_of, inverted
from learngn.errors import TransformError

if TYPE_CHECKING:
    from learngn.geometry.transform import Transform


class Target(str, Enum):
    """Output formats that cannot be recognised by the suffix."""

    ITK = "itk"
    LEARN2REG = "learn2reg"


class Source(str, Enum):
    """Input formats that cannot be recognised by suffix and content."""

    ITK = "itk"
    LEARN2REG = "learn2reg"
    GREEDY = "greedy"
    FSL = "fsl"
    AFNI = "afni"


def convert(
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", help="Transform to read.", show_default=False, rich_help_panel=INPUT),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="File to write.", show_default=False, rich_help_panel=OUTPUT)
    ],
    source_format: Annotated[
        Source | None,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help="Format of IN, itk, learn2reg, greedy, fsl or afni; by default by name and content (disp_*, .npz: "
            "learn2reg). Needed for matrices in text files: greedy (also c3d, NiftyReg), fsl (flirt) or afni.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    target_format: Annotated[
        Target | None,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="Format of OUT, itk or learn2reg; by default by its name.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    reference: Reference = None,
    moving: Moving = None,
    inverse: Annotated[
        bool,
        typer.Option(
            "--inverse", help="Write the inverse, from the moving to the fixed image.", rich_help_panel=OUTPUT
        ),
    ] = False,
    quiet: console.Quiet = False,
) -> None:
    """Convert a transform between ITK/ANTs, X5, DICOM registrations (.dcm) and Learn2Reg; or invert it.

    Transforms of elastix and linear ones of FreeSurfer (.lta), greedy, c3d, NiftyReg, FSL and AFNI can also be read.

    Example:  learngn convert result/displacement.nii.gz disp_0001_0002.nii.gz -r fixed.nii.gz --moving moving.nii.gz
    """
    from learngn.io import (
        is_learn2reg,
        read_named_transform,
        read_transform,
        split_format,
        write_learn2reg,
        write_transform,
    )

    check_inputs_kept(target, split_format(source)[1], reference, moving)
    fixed_grid, moving_grid = grid_of(reference), grid_of(moving)
    to_learn2reg = is_learn2reg(target) if target_format is None else target_format is Target.LEARN2REG
    transform: Transform
    if source_format is None:
        transform = read_named_transform(source, fixed=fixed_grid, moving=moving_grid)
    else:
        transform = read_transform(source, fixed=fixed_grid, moving=moving_grid, format=source_format.value)
    if inverse:
        transform = inverted(transform, quiet)
        fixed_grid, moving_grid = moving_grid, fixed_grid
        reference, moving = moving, reference
    if target.suffix.lower() == ".dcm":
        _write_dicom(transform, target, reference, moving)
        return
    if not to_learn2reg:
        write_transform(transform, target, reference=fixed_grid, moving=moving_grid)
        return
    if fixed_grid is None or moving_grid is None:
        raise TransformError(
            f"output {target}",
            "no scans",
            "the fixed and the moving scan, whose voxels Learn2Reg counts",
            "name them: --reference FIXED --moving MOVING",
        )
    write_learn2reg(transform, target, fixed_grid, moving_grid)


def _write_dicom(transform: Transform, target: Path, fixed: Path | None, moving: Path | None) -> None:
    """Write a DICOM registration of two scans in DICOM."""
    from learngn.io import read_grid, read_study, write_registration
    from learngn.radiotherapy import vector_grid

    if fixed is None or moving is None:
        raise TransformError(
            f"output {target}",
            "no scans",
            "the DICOM folders of both scans, to which a registration refers",
            "name them: --reference FIXED_DIR --moving MOVING_DIR",
        )
    studies = read_study(fixed), read_study(moving)
    vectors = vector_grid(transform, read_grid(fixed))
    write_registration(transform, target, studies[0].headers, studies[1].headers, vectors)
