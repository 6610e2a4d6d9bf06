"""Settings of a registration: values that are validated on construction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal, TypedDict, get_args

from pydantic import BeforeValidator, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs

from learngn.errors import SettingsError
from learngn.memory import parse_size
from learngn.settings.schedule import Level, schedule
from learngn.settings.suited import completed

NO_AFFINE = "none"
LinearMaps = Literal["none", "translation", "rigid", "similarity", "affine"]
UpdateRule = Literal["compositional", "exponential", "additive", "published", "adam"]
RegulariserName = Literal["diffusion", "curvature", "edges", "lungs"]
LossName = Literal["huber", "geman-mcclure"]
# Methods for comparison, without step control and the options of Gauss-Newton.
BASELINES: tuple[UpdateRule, ...] = ("published", "adam")

STAINS = ("grey", "haematoxylin", "eosin", "dab")
"""Channels of colour pictures, see :func:`learngn.features.stain_channels`."""

_STRICT = ConfigDict(extra="forbid", validate_default=True)


@dataclass(frozen=True, config=_STRICT)
class Robustness:
    """Robust loss of the data term.

    Attributes
    ----------
    kind : str
        ``"huber"`` or ``"geman-mcclure"``.
    scale : float
        Number of standard deviations of the features above which residuals get a lower weight.
    """

    kind: LossName
    scale: float = Field(gt=0, lt=math.inf)

    def __str__(self) -> str:
        return f"{self.kind}:{self.scale:g}"


def _linear_maps(value: object) -> object:
    """Accept True for affine and False for no linear pre-alignment."""
    return ("affine" if value else NO_AFFINE) if isinstance(value, bool) else value


def _robustness(value: object) -> object:
    """Accept the text form ``"huber:0.5"``."""
    if not isinstance(value, str):
        return value
    kind, _, scale = value.partition(":")
    try:
        return Robustness(kind, scale)  # type: ignore[arg-type]  # validated by Robustness
    except ValidationError:
        names = " or ".join(f"{name}:K" for name in get_args(LossName))
        raise SettingsError("robust loss", repr(value), f"{names}, K > 0", "write for example huber:0.5") from None


def _stains(value: object) -> object:
    """Accept the names in any order, spelled hematoxylin or gray as well; refuse unknown ones."""
    if not isinstance(value, str):
        return value
    names = [name.strip().lower().replace("hema", "haema").replace("gray", "grey") for name in value.split(",")]
    unknown = [name for name in names if name not in STAINS]
    if unknown or len(set(names)) < len(names):
        raise SettingsError("stains", repr(value), f"some of {', '.join(STAINS)}, once each", "correct the names")
    return ",".join(names)


def _bytes(value: object) -> object:
    """Accept sizes with a unit, such as ``"4GB"``."""
    return parse_size(value) if isinstance(value, str | int) and not isinstance(value, bool) else value


@dataclass(frozen=True, config=_STRICT)
class Settings:
    """Settings of the registration of a pair.

    The defaults of `affine`, `strides`, `iterations` and `lam` depend on the features, as those of the commands do,
    before a preset and the size of the scans change them; those in the signature suit ``mind``.

    Attributes
    ----------
    features : str
        Names and weights in the format of :func:`learngn.features.parse_features`.
    affine : str
        Linear maps of the pre-alignment: ``"affine"``, ``"similarity"``, ``"rigid"``, ``"translation"``, or ``"none"``
        to leave it out. True is accepted for ``"affine"``, False for ``"none"``. By default affine for scans, none for
        label maps.
    strides : tuple of float
        Voxel size of every level, in multiples of the fixed image's finest spacing, coarse to fine.
    iterations : tuple of int
        Maximum number of steps of every level; for given strides, by default those of as many levels.
    lam : (float, float)
        Regularisation weight λ of the first and the last level [feature²].
    update : str
        ``"compositional"``, ``"exponential"`` or ``"additive"``; ``"published"`` solves for each component separately,
        with momentum; ``"adam"`` is a first-order method. The last two are baselines without step control.
    longest_step : float
        Maximum length of an update [voxel of the level]; of Adam, the learning rate.
    min_jacobian : float
        Lower bound of the Jacobian determinant; see :class:`learngn.optimise.StepControl`.
    discrete : bool
        Start from the discrete search of :class:`learngn.optimise.DiscreteStart`, for large displacements.
    symmetric : bool
        Displace both images from half-way between them, so that exchanging the images gives the inverse transform.
    diffeomorphic : bool
        Allow no folding.
    robust : Robustness, optional
        Robust loss of the residuals, see :class:`learngn.linearise.Robust`; also as text, ``"huber:0.5"``.
    overlap : bool
        Ignore voxels that are mapped outside the moving image.
    regulariser : str
        ``"diffusion"``, ``"curvature"``, ``"edges"`` (diffusion that is weaker at edges of the fixed image) or
        ``"lungs"`` (weaker at the boundary of lung tissue in Hounsfield units). A label map of tissues passed to
        :func:`learngn.register` replaces these.
    memory : int, optional
        Memory budget of the whole process [byte]; also as text, ``"4GB"``. The finest levels are left out if they need
        more.
    stains : str, optional
        Channels of colour pictures from which the features are computed: names of :data:`STAINS` with commas between
        them. By default those that suit the pictures; None for scans without colours.
    uncertainty : bool
        Estimate the uncertainty of the displacement, see :mod:`learngn.uncertainty`.
    quality : bool
        Judge the result without labels; see :attr:`learngn.Registration.verdict`. What fits no better than the scans
        did before is left out then.

    Raises
    ------
    SettingsError
        If a value is unknown or out of range, or a baseline is combined with an option of Gauss-Newton.
    """

    features: str
    # Defaults of these four depend on the features: see learngn.settings.suited.
    affine: Annotated[LinearMaps, BeforeValidator(_linear_maps)] = "affine"
    strides: tuple[float, ...] = (16.0, 8.0, 4.0, 2.0, 1.0)
    iterations: tuple[int, ...] = (8, 8, 8, 8, 4)
    lam: tuple[float, float] = (3.0, 0.3)
    update: UpdateRule = "compositional"
    longest_step: float = 1.0
    min_jacobian: float = 0.1
    discrete: bool = False
    symmetric: bool = False
    diffeomorphic: bool = False
    robust: Annotated[Robustness | None, BeforeValidator(_robustness)] = None
    overlap: bool = False
    regulariser: RegulariserName = "diffusion"
    memory: Annotated[int | None, BeforeValidator(_bytes)] = None
    stains: Annotated[str | None, BeforeValidator(_stains)] = None
    uncertainty: bool = False
    quality: bool = True

    @model_validator(mode="wrap")
    @classmethod
    def _one_kind_of_error(cls, values: Any, handler: ModelWrapValidatorHandler[Settings]) -> Settings:
        if isinstance(values, ArgsKwargs):  # Settings("mind", strides=(8, 4))
            given = dict(zip(cls.__dataclass_fields__, values.args, strict=False))
            if len(values.args) <= len(cls.__dataclass_fields__) and not given.keys() & (values.kwargs or {}).keys():
                values = ArgsKwargs((), completed({**given, **(values.kwargs or {})}))
        elif isinstance(values, dict):  # from a file
            values = completed(values)
        try:
            return handler(values)
        except ValidationError as failure:
            raise settings_error(failure) from None

    def __post_init__(self) -> None:
        if self.is_baseline and (
            self.symmetric or self.diffeomorphic or self.robust or self.overlap or self.regulariser != "diffusion"
        ):
            raise SettingsError(
                "settings",
                f"update {self.update} with an option of Gauss-Newton",
                "a baseline without options",
                "leave out either: symmetric, diffeomorphic, robust, overlap and regulariser need another update",
            )
        if self.uncertainty and self.update == "adam":
            raise SettingsError(
                "settings", "uncertainty with the update adam", "Gauss-Newton", "leave it out, or name another update"
            )
        self.levels()

    def __repr__(self) -> str:
        """Return the call that makes these settings, without the values that suit the features anyway."""
        usual, words = Settings(self.features).as_dict(), [repr(self.features)]
        words += [f"{name}={value!r}" for name, value in self.as_dict().items() if value != usual[name]]
        return f"Settings({', '.join(words)})"

    @property
    def is_baseline(self) -> bool:
        """Whether the method is a baseline, not this package's Gauss-Newton."""
        return self.update in BASELINES

    @property
    def aligns(self) -> bool:
        """Whether the pair is aligned linearly first."""
        return self.affine != NO_AFFINE

    def levels(self) -> tuple[Level, ...]:
        """Levels of the schedule, coarse to fine."""
        return schedule(self.strides, self.iterations, self.lam)

    def with_levels(self, keep: Sequence[int]) -> Settings:
        """Return settings with some of the levels, by index, with their λ."""
        levels = self.levels()
        return replace(
            self,
            strides=tuple(self.strides[i] for i in keep),
            iterations=tuple(self.iterations[i] for i in keep),
            lam=(levels[keep[0]].lam, levels[keep[-1]].lam),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as values for JSON."""
        values = asdict(self)
        return {**values, "robust": None if self.robust is None else str(self.robust)}


def settings_error(failure: ValidationError) -> SettingsError:
    """Convert an error of pydantic: the first invalid value, what was expected, and the remedy."""
    error = failure.errors()[0]
    where = [str(part) for part in error["loc"] if part != "Settings"]
    key, got = ".".join(where) or "settings", repr(error["input"])
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return SettingsError("settings", f"the unknown key {key}", "keys of Settings", "correct it")
    if error["type"] in ("missing", "missing_argument"):
        return SettingsError("settings", f"no {key}", f"a value of {key}", "add it")
    if error["type"] == "literal_error":
        return SettingsError(key, got, f"one of {error['ctx']['expected']}".replace("'", ""), f"correct {key}")
    return SettingsError(key, got, error["msg"][:1].lower() + error["msg"][1:], f"correct {key}")


class Changes(TypedDict, total=False):
    """Single values of :class:`Settings`, for example to replace those of a preset."""

    affine: LinearMaps | bool
    strides: Sequence[float]
    iterations: Sequence[int]
    lam: tuple[float, float]
    update: UpdateRule
    longest_step: float
    min_jacobian: float
    discrete: bool
    symmetric: bool
    diffeomorphic: bool
    robust: Robustness | str | None
    overlap: bool
    regulariser: RegulariserName
    memory: int | str | None
    stains: str | None
    uncertainty: bool
    quality: bool
