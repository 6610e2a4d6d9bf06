"""Options shared by several commands: each is declared once, as a field of a group."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer
from typer.models import OptionInfo

from learngn.errors import SettingsError

if TYPE_CHECKING:
    from learngn.model import Model
    from learngn.registration import Request

FAILED = 3  # exit status of --strict for the verdict "failed"
_PAIR = 2
_PANEL, _WORKERS, _VERDICT = "Registration", "Workers", "Verdict"
_T = TypeVar("_T")
_Command = TypeVar("_Command", bound=Callable[..., Any])


def with_options(command: _Command) -> _Command:
    """Decorate a command so that parameters that are groups of options become separate options.

    In the signature that Typer reads, a parameter whose type is a dataclass is replaced by the fields of that class,
    each an option declared by its annotation. The command is called with an instance of the class.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if hasattr(kind, "__dataclass_fields__")}
    signature = inspect.signature(command)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name in groups:
            parameters += _options_of(groups[parameter.name])
        else:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))

    @wraps(command)
    def called(**given: Any) -> Any:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        return command(**given)

    keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    called.__signature__ = signature.replace(parameters=keyword)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword}
    return called  # type: ignore[return-value]


def _options_of(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(f.name, kind, default=f.default, annotation=hints[f.name]) for f in fields(group)]


@dataclass(frozen=True)
class SettingsOptions:
    """Options for the settings of a registration; with None a setting is chosen by the scans.

    Fields with the names of fields of :class:`learngn.Settings` replace single values.
    """

    features: Annotated[
        str | None,
        typer.Option(
            "--features",
            "-f",
            metavar="NAME[:WEIGHT],...",
            help="Features to compare. Scans: mind, intensity. Label maps: distance, organ-distance, labels. "
            "By default those of the preset.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    file: Annotated[
        Path | None,
        typer.Option(
            "--settings",
            metavar="FILE",
            help="File of settings, such as the result of learngn tune; other options change single settings.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="abdomen-ct, thorax-ct, abdomen-mr, brain-mr, ct-mr or 2d; by default recognised from the scans.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    affine: Annotated[
        str | None,
        typer.Option(
            "--affine",
            metavar="none|rigid|similarity|affine",
            help="Linear maps that align the images first; by default affine for scans, none for label maps.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    no_affine: Annotated[bool, typer.Option("--no-affine", help="Short for --affine none.", rich_help_panel=_PANEL)] = (
        False
    )
    strides: Annotated[
        str | None,
        typer.Option(metavar="16,8,4,2", help="Voxel size of every level, in voxels of FIXED.", rich_help_panel=_PANEL),
    ] = None
    iterations: Annotated[
        str | None,
        typer.Option(metavar="4,5,5,5", help="Maximum number of steps of every level.", rich_help_panel=_PANEL),
    ] = None
    lam: Annotated[
        str | None,
        typer.Option(
            "--lambda",
            metavar="10,0.5",
            help="Regularisation weight λ of the first and the last level: larger is smoother.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    update: Annotated[
        str | None,
        typer.Option(
            metavar="compositional|exponential|additive|published|adam",
            help="Update rule; the last two are baselines: the paper's scheme, and a first-order method.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    discrete: Annotated[
        bool | None,
        typer.Option(
            "--discrete/--no-discrete", help="Start with a search over large displacements.", rich_help_panel=_PANEL
        ),
    ] = None
    symmetric: Annotated[
        bool | None,
        typer.Option(
            "--symmetric/--one-sided",
            help="Displace both images, from half-way between them, and write the inverse too.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    diffeomorphic: Annotated[
        bool | None,
        typer.Option(
            "--diffeomorphic/--no-diffeomorphic",
            help="Allow no folding; write the inverse too.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    robust: Annotated[
        str | None,
        typer.Option(
            "--robust",
            metavar="huber:K|geman-mcclure:K",
            help="Reduce the weight of residuals above K standard deviations of the features.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    overlap: Annotated[
        bool | None,
        typer.Option(
            "--overlap/--whole",
            help="Ignore voxels mapped outside the moving image, or compare them with that image's border.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    regulariser: Annotated[
        str | None,
        typer.Option(
            "--regulariser",
            metavar="diffusion|curvature|edges|lungs",
            help="Regularisation of the displacement; edges and lungs allow discontinuities across those of FIXED.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory",
            metavar="SIZE",
            help="Memory budget of the process, such as 4GB: the finest levels are left out if they need more.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    uncertainty: Annotated[
        bool | None,
        typer.Option(
            "--uncertainty/--no-uncertainty",
            help="Estimate the standard deviation of the displacement [mm], as an image and by label.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    quality: Annotated[
        bool | None,
        typer.Option(
            "--quality/--no-quality",
            help="Judge the result without labels, and leave out what fits no better than the scans did before.",
            rich_help_panel=_PANEL,
        ),
    ] = None

    def request(self, device: str = "cpu") -> Request:
        """Return the request for a registration.

        Parameters
        ----------
        device : str
            Device for the computation, checked by :func:`check_device`.

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
    hint = get_type_hints(SettingsOptions, include_extras=True).get(setting)
    if hint is None:
        return setting
    info = next(part for part in hint.__metadata__ if isinstance(part, OptionInfo))
    names = [
        str(name) for name in (info.default, *(info.param_decls or ()))
    ]  # Typer stores the first name as the default
    return next((name.partition("/")[0] for name in names if name.startswith("--")), f"--{setting}")


@dataclass(frozen=True)
class ModelOptions:
    """Option for a trained model."""

    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="Folder of a trained model, which has its own features and settings.",
            rich_help_panel=_PANEL,
        ),
    ] = None

    modalities: Annotated[
        str | None,
        typer.Option(
            metavar="FIXED,MOVING",
            help="Modalities of the scans, for a model of two, such as US,MR; by default told by the file names.",
            rich_help_panel=_PANEL,
        ),
    ] = None

    def read(self) -> Model | None:
        """Read the model.

        Raises
        ------
        ModelError
            If it cannot be read, or does not have the modalities.
        SettingsError
            If modalities are given that are not two, or without a model.
        MissingPackageError
            If PyTorch is not installed.
        """
        names = [] if self.modalities is None else self.modalities.split(",")
        if names and (len(names) != _PAIR or self.model is None):
            got = f"{self.modalities}{' without --model' if self.model is None else ''}"
            raise SettingsError("--modalities", got, "those of FIXED and MOVING, with --model", "write US,MR")
        if self.model is None:
            return None
        from learngn.registration import model_of

        model = model_of(self.model)
        return model.for_modalities(*names) if model is not None and names else model


@dataclass(frozen=True)
class WorkerOptions:
    """Options of commands that distribute their work to processes."""

    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            metavar="N",
            min=0,
            help="Number of worker processes, with one GPU each if available; 0 or 1: no further processes.",
            rich_help_panel=_WORKERS,
        ),
    ] = 0
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Use the workers of a running Dask scheduler.",
            rich_help_panel=_WORKERS,
        ),
    ] = None
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster", metavar="slurm", help="Submit the workers as jobs of Slurm.", rich_help_panel=_WORKERS
        ),
    ] = None
    retries: Annotated[
        int, typer.Option(min=0, help="Number of retries of a pair that fails.", rich_help_panel=_WORKERS)
    ] = 1

    def connection(self) -> Mapping[str, Any]:
        """Return the arguments of :func:`learngn.cohort.open_pool` by name, except the threads."""
        return {"workers": self.workers, "scheduler": self.scheduler, "cluster": self.cluster}


Retry = Annotated[
    bool,
    typer.Option(
        "--retry",
        help="Register pairs whose verdict is check or failed again with wider searches (other linear maps, "
        "--overlap, --discrete, larger λ) and keep the best result; options that are given are not changed.",
        rich_help_panel=_VERDICT,
    ),
]


@dataclass(frozen=True)
class VerdictOptions:
    """Options of what follows from the verdicts on the pairs of a cohort."""

    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="End with status 3 if the verdict on a pair is failed.", rich_help_panel=_VERDICT
        ),
    ] = False
    retry: Retry = False


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
        help="Distance of a pair of keypoints above which its weight decreases [mm].",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda",
        help="Device for features and registration; auto takes a GPU if PyTorch is installed and finds one.",
        rich_help_panel=_PANEL,
    ),
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; by default all.", rich_help_panel=_PANEL)]


def check_device(device: str, elsewhere: bool = False) -> None:
    """Raise an error if a device is unknown, or, unless the work is done `elsewhere`, missing on this machine.

    Raises
    ------
    SettingsError
        If it is unknown or missing.
    MissingPackageError
        If it is a GPU and PyTorch is not installed.
    """
    if device in ("auto", "cpu"):  # at once, without loading a library
        return
    from learngn.arrays import check_device_name, chosen_device

    try:
        if elsewhere:
            check_device_name(device)
        else:
            chosen_device(device)
    except SettingsError as error:
        raise SettingsError("--device", error.got, error.expected, error.remedy) from None


def check_judged(quality: bool | None, **options: bool) -> None:
    """Raise :class:`SettingsError` if an option that needs verdicts is given together with ``--no-quality``."""
    for name, given in options.items():
        if given and quality is False:
            raise SettingsError("options", f"--{name} and --no-quality", "a verdict on every pair", "leave out either")


def prepare_process(threads: int | None) -> None:
    """Limit the number of threads of the kernels and of all libraries, before these are imported; keep freed memory."""
    from learngn.memory import keep_freed

    keep_freed()
    if threads is not None:
        from learngn.threads import set_threads

        set_threads(threads)


def _numbers(option: str, text: str | None, kind: Callable[[str], _T]) -> tuple[_T, ...] | None:
    if text is None:
        return None
    try:
        return tuple(kind(item) for item in text.split(","))
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise SettingsError(option, repr(text), f"{what} with commas between them", "write for example 8,4,2") from None
