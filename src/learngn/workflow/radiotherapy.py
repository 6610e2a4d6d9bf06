"""Radiotherapy: a plan carried from one scan to another, from DICOM folder to DICOM objects."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from learngn.errors import ImageError, LabelError, OutputError, require_packages
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import (
    Dose,
    RTStudy,
    Structure,
    StructureSet,
    Subject,
    read_dose,
    read_structures,
    read_study,
    write_dose,
    write_registration,
    write_structures,
    write_text,
)
from learngn.quality.body import CT_AIR
from learngn.radiotherapy import (
    DoseVolume,
    Solid,
    absorbed_energy,
    carry_dose,
    carry_structures,
    dose_volume,
    vector_grid,
)
from learngn.radiotherapy.dose import DoseGrid, DoseMapping
from learngn.registration import Registration, Request
from learngn.workflow.one_pair import PairEvents, register_files


@dataclass(frozen=True)
class PlanOptions:
    """Parts of a plan that are carried, and how.

    Attributes
    ----------
    structures, dose : Path, optional
        Structure set and dose of the moving scan; by default the only ones in its folder.
    dose_grid : {"dose", "scan"}
        Voxels of the carried dose: those of the dose, or those of the fixed scan.
    dose_mapping : {"direct", "energy"}
        See :mod:`learngn.radiotherapy.dose`.
    dose_levels : tuple of float
        Doses d of V_d, the part of the volume that receives at least d [Gy].
    """

    structures: Path | None = None
    dose: Path | None = None
    dose_grid: DoseGrid = "dose"
    dose_mapping: DoseMapping = "direct"
    dose_levels: tuple[float, ...] = (20.0,)


@dataclass(frozen=True, eq=False)
class _Plan:
    """Both studies, and what is carried from the moving one."""

    fixed: RTStudy
    moving: RTStudy
    structures: StructureSet | None
    dose: Dose | None
    options: PlanOptions


def register_plan(
    fixed: str | Path,
    moving: str | Path,
    output: str | Path,
    request: Request | None = None,
    *,
    options: PlanOptions | None = None,
    events: PairEvents | None = None,
    **given: Any,
) -> dict[str, Any]:
    """Register two scans of radiotherapy, and carry structures and dose from the moving to the fixed one.

    This is what ``learngn radiotherapy`` does. Besides the files of :func:`register_files` the result folder holds
    ``structures.dcm`` (RTSTRUCT on the slices of the fixed scan), ``dose.dcm`` (RTDOSE), ``registration.dcm`` (Spatial
    or Deformable Spatial Registration) and ``dose_volume.csv``.

    Parameters
    ----------
    fixed, moving : path
        DICOM folders of one scan each; the moving one with a structure set, a dose, or both.
    output : path
        Result folder, created if necessary.
    request, events, **given
        See :func:`register_files`.
    options : PlanOptions, optional

    Returns
    -------
    dict
        Content of ``metrics.json``, with the numbers of the plan under ``"radiotherapy"``.

    Raises
    ------
    LearnGNError
        If a folder or one of its objects cannot be read, there is nothing to carry, or the folder cannot be written.
    MissingPackageError
        Without the extra ``[dicom]``.
    """
    require_packages("radiotherapy", "dicom", "pydicom", "pydicomrt", "shapely", "skimage")
    fixed, moving, output = Path(fixed), Path(moving), Path(output)
    _check_apart(output, fixed, moving)
    plan = _read(read_study(fixed), read_study(moving), options or PlanOptions())
    events = events or PairEvents()

    def adds(registration: Registration, folder: Path) -> Mapping[str, Any]:
        events.stage("carrying the plan")
        return {**events.adds(registration, folder), **_carry(plan, registration, folder)}

    return register_files(Subject(fixed), Subject(moving), output, request, events=replace(events, adds=adds), **given)


def _check_apart(output: Path, *inputs: Path) -> None:
    """Raise :class:`OutputError` if the result would lie among the files of a scan."""
    for path in inputs:
        if path.is_dir() and (path.resolve() == output.resolve() or path.resolve() in output.resolve().parents):
            raise OutputError(f"output folder {output}", f"a place in {path}", "one beside the scans", "name another")


def _read(fixed: RTStudy, moving: RTStudy, options: PlanOptions) -> _Plan:
    structures = options.structures or moving.only("structure set", moving.structures, "--structures")
    dose = options.dose or moving.only("dose", moving.doses, "--dose")
    if structures is None and dose is None:
        raise ImageError(
            f"DICOM folder {moving.folder}", "neither structures (RTSTRUCT) nor dose (RTDOSE)", "one of them, or both",
            "put them into the folder, or name them: --structures FILE --dose FILE",
        )  # fmt: skip
    return _Plan(
        fixed,
        moving,
        None if structures is None else read_structures(structures, moving.frame),
        None if dose is None else read_dose(dose, moving.frame),
        options,
    )


def _carry(plan: _Plan, registration: Registration, folder: Path) -> dict[str, Any]:
    """Write what is carried into a folder, and return the numbers for ``metrics.json``."""
    pair, transform, options = registration.pair, registration.transform, plan.options
    fixed, moving = pair.fixed.scan, pair.moving.scan
    notes = _about_patients(plan)
    found: dict[str, Any] = {"structures": []}
    planned_dose = None if plan.dose is None else plan.dose.image
    carried_dose: Image | None = None
    if plan.dose is not None:
        carried_dose = carry_dose(
            plan.dose.image, transform, fixed, moving, on=options.dose_grid, mapping=options.dose_mapping
        )
        comment = f"Carried by registration, {options.dose_mapping} mapping; not computed."
        write_dose(replace(plan.dose, image=carried_dose), folder / "dose.dcm", plan.fixed.headers[0], comment)
        found["dose"] = _about_dose(plan, carried_dose, fixed, moving)
    if plan.structures is not None:
        carried = carry_structures(plan.structures.structures, transform, fixed.grid, moving.grid, registration.inverse)
        notes += carried.notes
        kept = replace(plan.structures, structures=carried.structures, frame=plan.fixed.frame)
        write_structures(kept, folder / "structures.dcm", plan.fixed.headers)
        for before, after in zip(plan.structures.structures, carried.structures, strict=True):
            numbers = {
                "planned": _numbers(before, moving.grid, planned_dose, options),
                "carried": _numbers(after, fixed.grid, carried_dose, options),
            }
            if any(numbers.values()):
                found["structures"].append(
                    {"number": before.number, "name": before.name, "colour": list(before.colour), **numbers}
                )
        write_text(_table(found["structures"]), folder / "dose_volume.csv")
    vectors = vector_grid(transform, fixed.grid)
    write_registration(transform, folder / "registration.dcm", plan.fixed.headers, plan.moving.headers, vectors)
    found["registration"] = {"vectors_mm": [round(float(size), 3) for size in vectors.spacing]}
    return {"radiotherapy": found, "warnings": notes}


def _about_patients(plan: _Plan) -> list[str]:
    if plan.fixed.patient == plan.moving.patient:
        return []
    return [f"The scans are of two patients: fixed {plan.fixed.patient!r}, moving {plan.moving.patient!r}."]


def _about_dose(plan: _Plan, carried: Image, fixed: Image, moving: Image) -> dict[str, Any]:
    dose, options = plan.dose, plan.options
    if dose is None:
        return {}
    about: dict[str, Any] = {
        "units": dose.units,
        "mapping": options.dose_mapping,
        "voxels_mm": [round(float(size), 3) for size in carried.grid.spacing],
    }
    if dose.units == "GY" and all(float(scan.data.min()) <= CT_AIR for scan in (fixed, moving)):
        about["energy_joule"] = {
            "planned": round(absorbed_energy(dose.image, moving), 5),
            "carried": round(absorbed_energy(carried, fixed), 5),
        }
    return about


def _numbers(structure: Structure, grid: Grid, dose: Image | None, options: PlanOptions) -> dict[str, Any] | None:
    """Return the dose-volume numbers of a structure, or its volume without a dose; None if it encloses nothing."""
    try:
        solid = Solid.of(structure.regions, grid, structure.name)
    except LabelError:
        return None
    if dose is None:
        return {"volume_cm3": round(solid.volume / 1000, 4)}
    found: DoseVolume = dose_volume(solid, dose, options.dose_levels)
    return found.to_json()


def _table(structures: list[dict[str, Any]]) -> str:
    """Return the dose-volume numbers as CSV: one row for each structure, planned and carried."""
    rows = [
        {"structure": entry["name"], "number": entry["number"], "which": which}
        | {key: value for key, value in entry[which].items() if key != "curve"}
        for entry in structures
        for which in ("planned", "carried")
        if entry[which] is not None
    ]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
