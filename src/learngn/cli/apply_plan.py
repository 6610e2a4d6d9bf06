"""Transforms applied to structures and doses of radiotherapy, for ``learngn apply``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from learngn.cli import console
from learngn.errors import LabelError

if TYPE_CHECKING:
    from learngn.geometry.transform import Transform


def apply_to_plan(
    path: Path, transform: Transform, output: Path, reference: Path, moving: Path | None, *, quiet: bool
) -> None:
    """Carry a structure set or a dose to a scan, and write it in DICOM.

    Parameters
    ----------
    path : Path
        RTSTRUCT or RTDOSE.
    transform : Transform
        From the world of the result to that of `path`.
    output : Path
    reference : Path
        DICOM folder of the scan to which it is carried.
    moving : Path, optional
        DICOM folder of the scan on which structures are drawn.
    quiet : bool
    """
    from dataclasses import replace

    from learngn.io import (
        kind_of,
        read_dose,
        read_grid,
        read_structures,
        read_study,
        write_dose,
        write_structures,
    )
    from learngn.radiotherapy import carry_structures, warp_dose

    fixed = read_study(reference)
    if kind_of(path) == "dose":
        dose = read_dose(path)
        carried = warp_dose(dose.image, transform, read_grid(reference))
        write_dose(replace(dose, image=carried), output, fixed.headers[0], "Carried by registration; not computed.")
        return
    if moving is None:
        raise LabelError(
            f"structure set {path}",
            "contours alone",
            "the scan on whose slices they are drawn",
            "name it with --moving",
        )
    drawn = read_study(moving)
    found = read_structures(path, drawn.frame)
    result = carry_structures(found.structures, transform, read_grid(reference), read_grid(moving))
    console.warn(list(result.notes), quiet)
    write_structures(replace(found, structures=result.structures, frame=fixed.frame), output, fixed.headers)
