"""``learngn radiotherapy``: carry structures and dose of a plan to another scan."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from learngn.cli import console
from learngn.cli.grouping import with_options
from learngn.cli.options import FAILED, Device, ModelOptions, Threads, check_device, prepare_process
from learngn.cli.panels import INPUT, OUTPUT, SCORES
from learngn.cli.register import register_files, show
from learngn.cli.settings_options import SettingsOptions
from learngn.cli.startup import importing
from learngn.errors import SettingsError

_MOST = 12  # structures whose numbers are printed


class DoseGrid(str, Enum):
    """Voxels of the carried dose."""

    DOSE = "dose"
    SCAN = "scan"


class DoseMapping(str, Enum):
    """Quantity that tissue keeps when its volume changes."""

    DIRECT = "direct"
    ENERGY = "energy"


@with_options
def radiotherapy(
    fixed: Annotated[
        Path,
        typer.Argument(
            metavar="FIXED_DIR", help="DICOM folder of the new scan.", show_default=False, rich_help_panel=INPUT
        ),
    ],
    moving: Annotated[
        Path,
        typer.Argument(
            metavar="MOVING_DIR",
            help="DICOM folder of the plan: scan, RTSTRUCT, RTDOSE.",
            show_default=False,
            rich_help_panel=INPUT,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the result.", rich_help_panel=OUTPUT)
    ],
    options: SettingsOptions,
    trained: ModelOptions,
    structures: Annotated[
        Path | None,
        typer.Option(
            "--structures",
            metavar="FILE",
            help="Structure set of the plan; by default the only one in its folder.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    dose: Annotated[
        Path | None,
        typer.Option(
            "--dose",
            metavar="FILE",
            help="Dose of the plan; by default the only one in its folder.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    dose_grid: Annotated[
        DoseGrid,
        typer.Option(
            "--dose-grid",
            metavar="GRID",
            help="Voxels of the dose: dose or scan (the fixed one).",
            rich_help_panel=OUTPUT,
        ),
    ] = DoseGrid.DOSE,
    dose_mapping: Annotated[
        DoseMapping,
        typer.Option(
            "--dose-mapping",
            metavar="KIND",
            help="direct: tissue keeps its dose; energy: it keeps the energy (CT).",
            rich_help_panel=OUTPUT,
        ),
    ] = DoseMapping.DIRECT,
    dose_level: Annotated[
        list[float] | None,
        typer.Option(
            "--dose-level",
            metavar="GY",
            min=0,
            help="Dose d of V_d, the part of a structure that receives at least d (20); repeat it for several.",
            show_default=False,
            rich_help_panel=SCORES,
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    report: console.Report = True,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="End with status 3 if the verdict is failed.", rich_help_panel=SCORES),
    ] = False,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Carry the structures and the dose of a plan to another scan: RTSTRUCT, RTDOSE and registration in DICOM.

    Example:  learngn radiotherapy today planning -o carried
    """
    prepare_process(threads)
    check_device(device)
    if dose_level and len(set(dose_level)) != len(dose_level):
        raise SettingsError("--dose-level", "a dose twice", "different doses", "leave one of them out")
    with importing():
        request = options.request(device)
        from learngn.workflow.radiotherapy import PlanOptions

    plan = PlanOptions(
        structures, dose, dose_grid.value, dose_mapping.value, tuple(dose_level or PlanOptions.dose_levels)
    )
    metrics = register_files(
        fixed, moving, output, request, quiet=quiet, plan=plan, model=trained.read(), report=report
    )
    if not quiet and not json:
        for line in _summary(metrics["radiotherapy"]):
            typer.echo(line)
    where = f"see {output / 'report.html'}" if report else f"written to {output}"
    show(metrics, where, json=json, quiet=quiet)
    if strict and metrics.get("verdict") == "failed":
        raise typer.Exit(FAILED)


def _summary(plan: Mapping[str, Any]) -> list[str]:
    """Return lines of text with volume and mean dose of every structure, planned and carried."""
    lines = []
    for entry in plan["structures"][:_MOST]:
        parts = []
        for key, unit in (("volume_cm3", "cm³"), ("mean", "Gy mean"), ("d95", "Gy D95")):
            values = [(entry[which] or {}).get(key) for which in ("planned", "carried")]
            if any(value is not None for value in values):
                before, after = ("–" if value is None else f"{value:.3g}" for value in values)
                parts.append(f"{before} -> {after} {unit}")
        lines.append(f"{entry['name']}: {', '.join(parts)}")
    more = len(plan["structures"]) - _MOST
    return [*lines, *([f"and {more} more structures in dose_volume.csv"] if more > 0 else [])]
