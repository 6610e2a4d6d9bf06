"""Options of a registration, the same for every command that registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from learngn._defaults import SCAN_FEATURES
from learngn.errors import SettingsError

if TYPE_CHECKING:
    from learngn.grid import Grid
    from learngn.image import Image
    from learngn.model import Model
    from learngn.presets import Recognised
    from learngn.settings import Settings

_PANEL = "Registration"
_T = TypeVar("_T")

Features = Annotated[
    str | None,
    typer.Option(
        "--features",
        "-f",
        metavar="NAME[:WEIGHT],...",
        help=f"What is compared. Scans: mind, intensity. Label maps: distance, organ-distance, labels. "
        f"[default: {SCAN_FEATURES}]",
        rich_help_panel=_PANEL,
    ),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="abdomen-ct, thorax-ct, abdomen-mr, brain-mr, ct-mr or 2d; by default recognised from the scans.",
        rich_help_panel=_PANEL,
    ),
]
TrainedModel = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Folder of a trained model: it brings its features and settings along.",
        rich_help_panel=_PANEL,
    ),
]
SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        help="Settings that learngn tune has found; other options change them.",
        rich_help_panel=_PANEL,
    ),
]
AffineFamily = Annotated[
    str | None,
    typer.Option(
        "--affine",
        metavar="none|rigid|similarity|affine",
        help="Linear maps that align the images first; by default affine for scans, none for label maps.",
        rich_help_panel=_PANEL,
    ),
]
NoAffine = Annotated[bool, typer.Option("--no-affine", help="Short for --affine none.", rich_help_panel=_PANEL)]
Strides = Annotated[
    str | None,
    typer.Option(metavar="16,8,4,2", help="Voxel size of every level, in voxels of FIXED.", rich_help_panel=_PANEL),
]
Iterations = Annotated[
    str | None, typer.Option(metavar="4,5,5,5", help="Steps of every level, at most.", rich_help_panel=_PANEL)
]
Lambda = Annotated[
    str | None,
    typer.Option("--lambda", metavar="10,0.5", help="λ of the first and the last level.", rich_help_panel=_PANEL),
]
Update = Annotated[
    str | None,
    typer.Option(
        metavar="compositional|exponential|additive|published|adam",
        help="Update rule; the last two are there to compare with: the paper's scheme, and a first-order one.",
        rich_help_panel=_PANEL,
    ),
]
Discrete = Annotated[
    bool | None,
    typer.Option(
        "--discrete/--no-discrete", help="Begin with a search over large displacements.", rich_help_panel=_PANEL
    ),
]
Symmetry = Annotated[
    bool | None,
    typer.Option(
        "--symmetric/--one-sided",
        help="Displace both images, as seen from half-way, and write the inverse too.",
        rich_help_panel=_PANEL,
    ),
]
NoFolds = Annotated[
    bool | None,
    typer.Option(
        "--diffeomorphic/--no-diffeomorphic", help="No folds at all; write the inverse too.", rich_help_panel=_PANEL
    ),
]
RobustData = Annotated[
    str | None,
    typer.Option(
        "--robust",
        metavar="huber:K|geman-mcclure:K",
        help="Let residuals beyond K standard deviations of the features count less.",
        rich_help_panel=_PANEL,
    ),
]
Overlap = Annotated[
    bool | None,
    typer.Option(
        "--overlap/--whole",
        help="Leave out what lies outside the moving image, or compare it with that image's border.",
        rich_help_panel=_PANEL,
    ),
]
RegulariserName = Annotated[
    str | None,
    typer.Option(
        "--regulariser",
        metavar="diffusion|curvature|edges|lungs",
        help="What a displacement costs; with edges, or lungs, it may jump across those of FIXED.",
        rich_help_panel=_PANEL,
    ),
]
MemoryBudget = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Most that the process may hold, such as 4GB: finest levels that take more are left out.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
LabelNames = Annotated[
    Path | None,
    typer.Option(
        "--label-names",
        metavar="FILE",
        help='Names of the labels, for scores and report: a data set, or JSON with {"1": "liver"}.',
        show_default=False,
    ),
]
INFINITE = float("inf")
KeypointScale = Annotated[
    float,
    typer.Option(
        help="Distance from which on a pair of keypoints counts less [mm].", show_default=False, rich_help_panel=_PANEL
    ),
]
_CLUSTER_PANEL = "Workers"
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        metavar="N",
        min=0,
        help="Processes that share the work, one GPU each where there are some; 0 or 1: this one alone.",
        rich_help_panel=_CLUSTER_PANEL,
    ),
]
SchedulerAddress = Annotated[
    str | None,
    typer.Option(
        "--scheduler", metavar="ADDRESS", help="Workers of a running Dask scheduler.", rich_help_panel=_CLUSTER_PANEL
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster", metavar="slurm", help="Submit the workers as jobs of Slurm.", rich_help_panel=_CLUSTER_PANEL
    ),
]
Retries = Annotated[
    int,
    typer.Option(min=0, help="How often a pair that fails is tried again.", rich_help_panel=_CLUSTER_PANEL),
]
Scratch = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder for features during the run, seen by all workers; by default within the output folder.",
        show_default=False,
        rich_help_panel=_CLUSTER_PANEL,
    ),
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; by default all.", rich_help_panel=_PANEL)]


@dataclass(frozen=True)
class RegistrationOptions:
    """Options as the user gave them; None leaves a setting to the model, or to what suits features and image."""

    features: str | None = None
    affine: str | None = None
    strides: str | None = None
    iterations: str | None = None
    lam: str | None = None
    update: str | None = None
    model: Path | None = None
    discrete: bool | None = None
    symmetric: bool | None = None
    diffeomorphic: bool | None = None
    robust: str | None = None
    overlap: bool | None = None
    regulariser: str | None = None
    memory: str | None = None
    file: Path | None = None
    preset: str | None = None

    @property
    def undecided(self) -> bool:
        """Whether nothing says what kind of scans these are, so that the scans themselves have to."""
        return not any((self.features, self.model, self.file, self.preset))

    def recognising(self, fixed: Image, moving: Image) -> tuple[RegistrationOptions, Recognised]:
        """Options with the preset that two scans look like, and why."""
        from learngn.presets import recognise

        recognised = recognise(fixed, moving)
        return replace(self, preset=recognised.preset.name), recognised

    @cached_property
    def trained(self) -> Model | None:
        """The model, read once.

        Raises
        ------
        LearnGNError
            If it cannot be read, or options are given that it has decided.
        """
        if self.model is None:
            return None
        from learngn.model import read_model

        decided = {
            "--features": self.features,
            "--strides": self.strides,
            "--lambda": self.lam,
            "--update": self.update,
        }
        given = [option for option, value in decided.items() if value is not None]
        if given:
            raise SettingsError(
                "options", f"--model and {', '.join(given)}", "either", "leave out what the model has learned"
            )
        return read_model(self.model)

    @property
    def feature_names(self) -> str:
        """Features compared, by name."""
        return self._base.features if self._base else self.features or SCAN_FEATURES

    @cached_property
    def _base(self) -> Settings | None:
        """Settings of the model, of the file or of the preset."""
        named = {
            "--model": self.model,
            "--settings": self.file,
            "--preset": self.preset,
            "--features": self.features,
        }
        given = [name for name, value in named.items() if value is not None]
        if len(given) > 1:
            raise SettingsError("options", " and ".join(given), "one of them", f"leave out {given[-1]}")
        if self.file is not None:
            from learngn.settings import read_settings

            return read_settings(self.file)
        if self.preset is not None:
            from learngn.presets import preset

            return preset(self.preset).settings
        return self.trained.settings if self.trained else None

    def settings(self, grid: Grid) -> Settings:
        """Settings for a fixed grid.

        Raises
        ------
        LearnGNError
            If a feature is unknown, or a value is no number or out of range.
        """
        from learngn.features import parse_features
        from learngn.settings import default_settings

        feature = parse_features(self.feature_names)
        settings = self._base or default_settings(feature.name, feature.labels)
        if self.strides is None and not (self.file or self.model):  # strides that someone has asked for are not cut
            settings = settings.limited(grid)
        levels = len(settings.strides)
        strides = _numbers("--strides", self.strides, float)
        iterations = _numbers("--iterations", self.iterations, int)
        if strides is not None and iterations is None:
            levels = len(strides)
            iterations = (settings.iterations + settings.iterations[-1:] * levels)[:levels]
        lam = _numbers("--lambda", self.lam, float)
        if lam is not None and len(lam) not in (1, 2):
            raise SettingsError("--lambda", f"{len(lam)} numbers", "one, or the first and the last", "write 10,0.5")
        return replace(
            settings,
            affine=settings.affine if self.affine is None else self.affine,
            strides=strides or settings.strides,
            iterations=iterations or settings.iterations,
            lam=(lam[0], lam[-1]) if lam else settings.lam,
            update=self.update or settings.update,
            **{
                name: value
                for name in ("discrete", "symmetric", "diffeomorphic", "robust", "overlap", "regulariser", "memory")
                if (value := getattr(self, name)) is not None
            },
        )


def linear(affine: str | None, no_affine: bool) -> str | None:
    """What --affine and --no-affine say together.

    Raises
    ------
    SettingsError
        If they contradict each other.
    """
    if no_affine and affine not in (None, "none"):
        raise SettingsError("options", f"--affine {affine} and --no-affine", "one of them", "leave out --no-affine")
    return "none" if no_affine else affine


def limit_threads(threads: int | None) -> None:
    """Let every library that computes use so many threads at most."""
    if threads is None:
        return
    import SimpleITK as sitk
    import torch

    torch.set_num_threads(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def _numbers(option: str, text: str | None, kind: Callable[[str], _T]) -> tuple[_T, ...] | None:
    if text is None:
        return None
    try:
        return tuple(kind(item) for item in text.split(","))
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise SettingsError(option, repr(text), f"{what} with commas between them", "write for example 8,4,2") from None
