"""``learngn longitudinal``: what changed between the scans of one subject."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learngn.cli import console
from learngn.cli.log import command_line
from learngn.cli.options import LabelNames, Threads, prepare_process
from learngn.cli.panels import GUIDANCE, INPUT, OUTPUT, REGISTRATION, SCORES
from learngn.cli.settings_options import SettingsOptions
from learngn.cli.startup import importing

if TYPE_CHECKING:
    from learngn.settings import Settings


class Brightness(str, Enum):
    """Differences of brightness that are removed; see :mod:`learngn.longitudinal.brightness`."""

    FIELD = "field"
    GAIN = "gain"
    KEEP = "keep"


def longitudinal(
    scans: Annotated[
        list[Path],
        typer.Argument(
            metavar="BASELINE FOLLOWUP...",
            help="Scans of one subject and one modality, in the order of time.",
            show_default=False,
            rich_help_panel=INPUT,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the result.", rich_help_panel=OUTPUT)
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", metavar="FILE", help="Label map of the baseline: change by label.", rich_help_panel=SCORES
        ),
    ] = None,
    label_names: LabelNames = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            "--mask",
            metavar="FILE",
            help="Mask of the baseline to which the comparison is restricted, such as the brain.",
            rich_help_panel=GUIDANCE,
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            "--features",
            metavar="NAME[:W],...",
            help="Similarity of the deformation; by default intensity.",
            rich_help_panel=REGISTRATION,
        ),
    ] = None,
    lam: Annotated[
        str | None,
        typer.Option(
            "--lambda",
            metavar="FIRST,LAST",
            help="Regularisation weight of the first and the last level; larger is smoother.",
            show_default=False,
            rich_help_panel=REGISTRATION,
        ),
    ] = None,
    brightness: Annotated[
        Brightness,
        typer.Option(
            "--brightness",
            metavar="field|gain|keep",
            help="What is matched between the scans: gain and slow differences of the coil, the gain, or nothing.",
            rich_help_panel=REGISTRATION,
        ),
    ] = Brightness.FIELD,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty/--no-uncertainty",
            help="Intervals for the changes by label, of two scans.",
            rich_help_panel=SCORES,
        ),
    ] = True,
    threads: Threads = None,
    report: console.Report = True,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Compare scans of one subject in their mean space: change of volume, favouring none of them.

    Example:  learngn longitudinal baseline.nii.gz followup.nii.gz --labels baseline_labels.nii.gz -o change
    """
    prepare_process(threads)
    with importing():
        settings = _settings(features, lam, uncertainty and labels is not None)
        from learngn.io import read_label_names
        from learngn.longitudinal import compare_files

    names = None if label_names is None else read_label_names(label_names)
    with console.progress(quiet) as bars:
        task = bars.add_task("preparing", total=None)
        content = compare_files(
            scans,
            output,
            labels=labels,
            mask=mask,
            label_names=names,
            report=report,
            command=command_line(),
            stage=lambda name: bars.update(task, description=name),
            settings=settings,
            brightness=brightness.value,
        )
    if json:
        console.print_json(content)
    elif not quiet:
        for point in content["time_points"][1:]:
            typer.echo(_line(point))
        typer.echo(f"see {output / 'report.html'}" if report else f"written to {output}")


def _settings(features: str | None, lam: str | None, uncertainty: bool) -> Settings:
    """Return the settings: those of the command, or those that suit the features."""
    from dataclasses import replace

    from learngn.longitudinal import SETTINGS
    from learngn.settings import Settings

    request = SettingsOptions(features=features, lam=lam).request("cpu")
    settings = SETTINGS
    if features is not None and features != SETTINGS.features:
        settings = Settings(features, affine="rigid", symmetric=True, diffeomorphic=True, quality=False)
    return replace(settings, uncertainty=uncertainty, **request.changes)


def _line(point: dict[str, Any]) -> str:
    """Return what changed until a time point, in one line."""
    regions = [f"{one['name'] or 'label ' + str(one['label'])} {one['change_percent']:+.2f} %{_interval(one)}"
               for one in point.get("regions", [])]  # fmt: skip
    found = ", ".join(regions) or f"standard deviation of log J {point['change']['log_deviation']:.3f}"
    return f"{point['name']}: {found}"


def _interval(region: dict[str, Any]) -> str:
    if "low_percent" not in region:
        return ""
    return f" ({region['low_percent']:+.2f} to {region['high_percent']:+.2f})"
