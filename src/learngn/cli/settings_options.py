"""Options for the settings of a registration, shared by all commands that register."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from learngn.cli.grouping import option_names
from learngn.cli.panels import EXPERT, OUTPUT, REGISTRATION, SCORES
from learngn.errors import SettingsError

if TYPE_CHECKING:
    from learngn.registration import Request

_T = TypeVar("_T")


@dataclass(frozen=True)
class SettingsOptions:
    """Options for the settings of a registration; with None a setting is chosen by the scans.

    Fields with the names of fields of :class:`learngn.Settings` replace single values.
    """

    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Kind of scans, such as thorax-ct; by default recognised from them.",
            rich_help_panel=REGISTRATION,
        ),
    ] = None
    features: Annotated[
        str | None,
        typer.Option(
            "--features",
            metavar="NAME[:W],...",
            help="Similarity, such as mind or intensity; by default the preset's.",
            rich_help_panel=REGISTRATION,
        ),
    ] = None
    stains: Annotated[
        str | None,
        typer.Option(
            "--stains",
            "--stain",
            metavar="NAME,...",
            help="Channels of colour pictures: grey, haematoxylin, eosin, dab; by default those that suit them.",
            rich_help_panel=EXPERT,
        ),
    ] = None
    affine: Annotated[
        str | None,
        typer.Option(
            "--affine",
            metavar="KIND",
            help="Linear alignment first: none, rigid, similarity or affine.",
            rich_help_panel=REGISTRATION,
        ),
    ] = None
    no_affine: Annotated[bool, typer.Option("--no-affine", help="Same as --affine none.", rich_help_panel=EXPERT)] = (
        False
    )
    lam: Annotated[
        str | None,
        typer.Option(
            "--lambda",
            metavar="10,0.5",
            help="Regularisation weight λ, first and last level: larger is smoother.",
            rich_help_panel=REGISTRATION,
        ),
    ] = None
    strides: Annotated[
        str | None,
        typer.Option(
            "--strides",
            "--shrink-factors",
            metavar="16,8,4,2",
            help="Voxel size of every level, in multiples of the fixed image's finest spacing.",
            rich_help_panel=EXPERT,
        ),
    ] = None
    iterations: Annotated[
        str | None,
        typer.Option(
            "--iterations", metavar="4,5,5,5", help="Maximum number of steps of every level.", rich_help_panel=EXPERT
        ),
    ] = None
    discrete: Annotated[
        bool | None,
        typer.Option(
            "--discrete/--no-discrete",
            help="Search for large displacements before the optimisation.",
            rich_help_panel=REGISTRATION,
        ),
    ] = None
    symmetric: Annotated[
        bool | None,
        typer.Option(
            "--symmetric/--no-symmetric",
            " /--one-sided",
            help="Displace both images half-way; write the inverse, too.",
            rich_help_panel=REGISTRATION,
        ),
    ] = None
    diffeomorphic: Annotated[
        bool | None,
        typer.Option(
            "--diffeomorphic/--no-diffeomorphic",
            help="Allow no folding; write the inverse, too.",
            rich_help_panel=REGISTRATION,
        ),
    ] = None
    file: Annotated[
        Path | None,
        typer.Option(
            "--settings",
            metavar="FILE",
            help="Settings file, JSON or TOML; other options change single values.",
            rich_help_panel=REGISTRATION,
        ),
    ] = None
    update: Annotated[
        str | None,
        typer.Option(
            "--update",
            metavar="RULE",
            help="compositional, exponential or additive; baselines: published (the paper's scheme), adam.",
            rich_help_panel=EXPERT,
        ),
    ] = None
    robust: Annotated[
        str | None,
        typer.Option(
            "--robust",
            metavar="LOSS:K",
            help="Robust loss, huber:K or geman-mcclure:K: residuals above K standard deviations of the features "
            "have less weight.",
            rich_help_panel=EXPERT,
        ),
    ] = None
    overlap: Annotated[
        bool | None,
        typer.Option(
            "--overlap/--whole",
            "--ignore-outside/--no-ignore-outside",
            help="Ignore voxels mapped outside the moving image, or compare them with that image's border.",
            rich_help_panel=EXPERT,
        ),
    ] = None
    regulariser: Annotated[
        str | None,
        typer.Option(
            "--regulariser",
            "--regularizer",
            metavar="KIND",
            help="diffusion or curvature; edges or lungs allow sliding along those of the fixed image.",
            rich_help_panel=EXPERT,
        ),
    ] = None
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory",
            metavar="SIZE",
            help="Memory budget of the process, such as 4GB: finest levels that need more are left out.",
            show_default=False,
            rich_help_panel=EXPERT,
        ),
    ] = None
    uncertainty: Annotated[
        bool | None,
        typer.Option(
            "--uncertainty/--no-uncertainty",
            help="Write the standard deviation of the displacement [mm].",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    quality: Annotated[
        bool | None,
        typer.Option(
            "--quality/--no-quality",
            help="Verdict without labels; reject what fits no better than before.",
            rich_help_panel=SCORES,
        ),
    ] = None

    def request(self, device: str = "cpu") -> Request:
        """Return the request for a registration.

        Parameters
        ----------
        device : str
            Device for the computation, checked by :func:`learngn.cli.options.check_device`.

        Raises
        ------
        LearnGNError
            If options contradict each other, a value is invalid or out of range, or a feature is unknown.
        """
        if self.no_affine and self.affine not in (None, "none"):
            raise SettingsError(
                "options", f"--affine {self.affine} and --no-affine", "one of them", "leave out --no-affine"
            )
        from learngn.registration import Request
        from learngn.settings import Settings, read_settings

        values: dict[str, Any] = {
            name: getattr(self, name) for name in Settings.__dataclass_fields__ if hasattr(self, name)
        }
        del values["features"]
        lam = _numbers("--lambda", self.lam, float)
        if lam is not None and len(lam) not in (1, 2):
            raise SettingsError("--lambda", f"{len(lam)} numbers", "one, or the first and the last", "write 10,0.5")
        values |= {
            "affine": "none" if self.no_affine else self.affine,
            "strides": _numbers("--strides", self.strides, float),
            "iterations": _numbers("--iterations", self.iterations, int),
            "lam": (lam[0], lam[-1]) if lam else None,
        }
        settings = None if self.file is None else read_settings(self.file)
        changes = {name: value for name, value in values.items() if value is not None}
        return Request(self.features, self.preset, settings, changes, device)


def option_of(setting: str) -> str:
    """Return the option for a setting, or the name of the setting if there is none."""
    return next(iter(option_names(SettingsOptions, setting)), setting)


def _numbers(option: str, text: str | None, kind: Callable[[str], _T]) -> tuple[_T, ...] | None:
    if text is None:
        return None
    try:
        return tuple(kind(item) for item in text.replace("x", ",").split(","))
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise SettingsError(option, repr(text), f"{what} with commas between them", "write for example 8,4,2") from None
