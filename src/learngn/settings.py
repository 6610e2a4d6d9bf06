"""Settings of a registration, and the ones that suit each kind of feature."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from learngn.errors import SettingsError
from learngn.grid import Grid
from learngn.image import Image
from learngn.io import parse_json, write_json
from learngn.linearise import GemanMcClure, Huber, RobustLoss
from learngn.memory import affordable, parse_size
from learngn.optimise import (
    FAMILIES,
    AdamDisplacement,
    Additive,
    Compositional,
    Exponential,
    Family,
    GaussNewton,
    StepControl,
    Symmetric,
    Update,
    published_gauss_newton,
    schedule,
)
from learngn.optimise.schedule import Level
from learngn.regularise import Adaptive, Curvature, Diffusion, Regulariser

_UPDATES: dict[str, Callable[[], Update]] = {
    "compositional": Compositional,
    "additive": Additive,
    "exponential": Exponential,
}
# To compare with: they have neither step control nor the options of Gauss-Newton.
_BASELINES: dict[str, Callable[[tuple[Level, ...], StepControl], GaussNewton | AdamDisplacement]] = {
    "published": lambda levels, _: published_gauss_newton(levels),
    "adam": lambda levels, control: AdamDisplacement(levels, rate=control.longest),
}
_LUNG = -400.0  # [HU]; what is denser is tissue


def _denser_than(value: float, image: Image) -> Image:
    return Image((image.data > value).to(torch.int32), image.grid, labels=True)


# Of the fixed image.
_REGULARISERS: dict[str, Callable[[Image], Regulariser]] = {
    "curvature": lambda _: Curvature(),
    "diffusion": lambda _: Diffusion(),
    "edges": Adaptive.across_edges,
    "lungs": lambda fixed: Adaptive.across_labels(_denser_than(_LUNG, fixed)),
}
NO_FAMILY = "none"


def family_name(value: bool | str) -> str:
    """Name of the linear maps of a pre-alignment, also where an older record, or a caller, has a switch."""
    return ("affine" if value else NO_FAMILY) if isinstance(value, bool) else value


_LOSSES: dict[str, Callable[[float], RobustLoss]] = {"huber": Huber, "geman-mcclure": GemanMcClure}


@dataclass(frozen=True)
class Settings:
    """What :func:`learngn.register` does.

    Attributes
    ----------
    features : str
        Names and weights, as :func:`learngn.features.parse_features` reads them.
    affine : str
        Linear maps that align the images first: ``"affine"``, ``"similarity"``, ``"rigid"``, or ``"none"``. True and
        False stand for the first and the last.
    strides : tuple of float
        Voxel size of every level, in multiples of the fixed image's finest spacing, falling.
    iterations : tuple of int
        Steps of every level, at most.
    lam : (float, float)
        λ of the first and the last level [feature²].
    update : str
        ``"compositional"``, ``"exponential"`` or ``"additive"``, or ``"published"``: the components alone, with
        momentum; or ``"adam"``, first order instead of Gauss-Newton. The last two have no step control.
    longest_step : float
        Cap of an update [voxel of the level]; of Adam, the learning rate.
    min_jacobian : float
        Guard of the determinant; see :class:`learngn.optimise.StepControl`.
    discrete : bool
        Begin with the discrete search of :class:`learngn.optimise.DiscreteStart`: for large displacements, and in place
        of coarse levels.
    symmetric : bool
        Displace both images, as seen from half-way: the result and its inverse belong together.
    diffeomorphic : bool
        No folds at all, at whatever price.
    robust : str, optional
        ``"huber:K"`` or ``"geman-mcclure:K"``: residuals beyond K standard deviations of the features count less; see
        :class:`learngn.linearise.Robust`.
    overlap : bool
        Leave out what lies outside the moving image.
    regulariser : str
        ``"diffusion"``, ``"curvature"``, ``"edges"``, diffusion that gives way where the fixed image has edges, or
        ``"lungs"``, where its Hounsfield units pass from lung to tissue. A label map of the tissue (see
        :func:`learngn.register`) takes their place.
    memory : str, optional
        Most that the process may hold, files to files, such as ``"4GB"``: finest levels that take more are left out.
    """

    features: str
    affine: Annotated[str, BeforeValidator(family_name)]
    strides: tuple[float, ...] = (16, 8, 4, 2)
    iterations: tuple[int, ...] = (4, 5, 5, 5)
    lam: tuple[float, float] = (10.0, 0.5)
    update: str = "compositional"
    longest_step: float = 1.0
    min_jacobian: float = 0.1
    discrete: bool = False
    symmetric: bool = False
    diffeomorphic: bool = False
    robust: str | None = None
    overlap: bool = False
    regulariser: str = "diffusion"
    memory: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "affine", family_name(self.affine))
        if self.affine not in (NO_FAMILY, *FAMILIES):
            names = ", ".join([NO_FAMILY, *FAMILIES])
            raise SettingsError("affine", repr(self.affine), f"one of {names}", "mend --affine")
        if self.update not in _UPDATES and self.update not in _BASELINES:
            names = ", ".join([*_UPDATES, *_BASELINES])
            raise SettingsError("update", repr(self.update), f"one of {names}", "mend --update")
        if self.update in _BASELINES and (
            self.symmetric or self.diffeomorphic or self.robust or self.overlap or self.regulariser != "diffusion"
        ):
            raise SettingsError(
                "settings",
                f"update {self.update} with an option of Gauss-Newton",
                "a baseline without options",
                "leave out either: symmetric, diffeomorphic, robust, overlap and regulariser want another update",
            )
        if self.regulariser not in _REGULARISERS:
            names = ", ".join(_REGULARISERS)
            raise SettingsError("regulariser", repr(self.regulariser), f"one of {names}", "mend --regulariser")
        self.levels()
        self._loss()
        if self.memory is not None:
            parse_size(self.memory)

    def family(self) -> Family | None:
        """Linear maps that align the images first, if any."""
        return FAMILIES.get(self.affine)

    def levels(self) -> tuple[Level, ...]:
        """The schedule."""
        return schedule(self.strides, self.iterations, self.lam)

    def method(self) -> GaussNewton | AdamDisplacement:
        """The optimiser that these settings describe."""
        if self.update in _BASELINES:
            return _BASELINES[self.update](self.levels(), self._control())
        return self.configure(GaussNewton(self.levels()))

    def configure(self, method: GaussNewton) -> GaussNewton:
        """Return a method with the schedule of these settings and, unless it is a baseline, all else of theirs."""
        if self.update in _BASELINES:
            return method.replaced(levels=self.levels())
        update = _UPDATES["exponential" if self.diffeomorphic else self.update]()
        return method.replaced(
            levels=self.levels(),
            update=Symmetric(update) if self.symmetric else update,
            control=self._control(),
            overlap=self.overlap,
            loss=self._loss(),
        )

    def regularise(self, method: GaussNewton, fixed: Image, tissue: Image | None = None) -> GaussNewton:
        """Return a method with the regulariser that these settings name, for a fixed image.

        Parameters
        ----------
        method : GaussNewton
        fixed : Image
        tissue : Image, optional
            Label map in the fixed image's world: what slides along the boundaries of its labels.
        """
        given = _REGULARISERS[self.regulariser](fixed) if tissue is None else Adaptive.across_labels(tissue)
        return method.replaced(regulariser=given)

    def _control(self) -> StepControl:
        return StepControl(longest=self.longest_step, min_jacobian=self.min_jacobian)

    def _loss(self) -> RobustLoss | None:
        if self.robust is None:
            return None
        name, _, text = self.robust.partition(":")
        try:
            scale = float(text)
        except ValueError:
            scale = 0.0
        if name not in _LOSSES or not 0 < scale < math.inf:
            names = " or ".join(f"{known}:K" for known in _LOSSES)
            raise SettingsError("robust loss", repr(self.robust), f"{names}, K > 0", "write for example huber:0.5")
        return _LOSSES[name](scale)

    def limited(self, grid: Grid, most_voxels: int = 2_000_000, fewest_along: int = 5) -> Settings:
        """The levels that make sense on a fixed grid; never none.

        Left out are the finest ones that have more voxels than a laptop handles in seconds, and the coarsest on which
        an axis has so few voxels that nothing holds the displacement.
        """
        voxel = float(grid.spacing.min())
        shapes = [grid.coarsened(stride * voxel).shape for stride in self.strides]
        long = [axis for axis, n in enumerate(grid.shape) if n >= fewest_along]
        affordable = [i for i, shape in enumerate(shapes) if math.prod(shape) <= most_voxels] or [0]
        keep = [i for i in affordable if all(shapes[i][axis] >= fewest_along for axis in long)] or affordable[-1:]
        return self._cut(keep)

    def within_memory(self, fixed: Grid, moving: Grid, channels: int, voxel: float) -> Settings:
        """The levels with which a registration keeps to its budget of memory, if it has one.

        Parameters
        ----------
        fixed, moving : Grid
        channels : int
            Of the features.
        voxel : float
            What a stride of one means [mm].

        Raises
        ------
        SettingsError
            If the coarsest level alone takes more.
        """
        if self.memory is None:
            return self
        options = {"affine": self.family() is not None, "symmetric": self.symmetric}
        count = affordable(self.strides, self.memory, fixed, moving, channels, voxel, **options)
        return self._cut(range(count)) if count < len(self.strides) else self

    def _cut(self, keep: Sequence[int]) -> Settings:
        """Some of the levels; λ of every level kept is what it was: the schedule is cut, not squeezed."""
        levels = self.levels()
        return replace(
            self,
            strides=tuple(self.strides[i] for i in keep),
            iterations=tuple(self.iterations[i] for i in keep),
            lam=(levels[keep[0]].lam, levels[keep[-1]].lam),
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def read_settings(path: str | Path) -> Settings:
    """Read settings that :func:`write_settings`, or ``learngn tune``, has written.

    Raises
    ------
    SettingsError
        If the file is no such JSON, has an unknown key, or a value is out of range.
    """
    try:
        values = parse_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as failure:
        raise SettingsError(f"settings {path}", str(failure), "a JSON file of settings", "write it anew") from None
    known = TypeAdapter(Settings)
    if not isinstance(values, dict):
        raise SettingsError(f"settings {path}", type(values).__name__, "an object", "write it anew")
    unknown = sorted(set(values) - {field.name for field in fields(Settings)})
    if unknown:
        raise SettingsError(f"settings {path}", f"the unknown key {unknown[0]}", "keys of Settings", "correct it")
    try:
        return known.validate_python(values)
    except SettingsError as refused:
        raise SettingsError(f"settings {path}, {refused.what}", refused.got, refused.expected, "correct it") from None
    except ValidationError as failure:
        error = failure.errors()[0]
        key = ".".join(map(str, error["loc"])) or "settings"
        raise SettingsError(f"settings {path}", f"{key}: {error['input']!r}", error["msg"], "correct it") from None


def write_settings(settings: Settings, path: str | Path) -> None:
    """Write settings as JSON; the file appears whole or not at all."""
    write_json(settings.as_dict(), Path(path))


# λ has the unit of the squared features: it scales with their weight.
_PRESETS: dict[str, Callable[..., Settings]] = {
    "distance": partial(Settings, lam=(10.0, 0.5)),
    "organ-distance": partial(Settings, lam=(10.0, 0.5)),
    "labels": partial(Settings, lam=(0.3, 0.005)),
    # λ weighs nothing but the landmarks here: [1] against their weight [1/mm²].
    "none": partial(Settings, strides=(16, 8, 4, 2), iterations=(10, 10, 10, 5), lam=(0.1, 0.01)),
    "intensity": partial(Settings, strides=(16, 8, 4, 2, 1), iterations=(8, 8, 8, 8, 4), lam=(0.3, 0.03)),
    "mind": partial(Settings, strides=(16, 8, 4, 2, 1), iterations=(8, 8, 8, 8, 4), lam=(3.0, 0.3)),
}


def default_settings(features: str, labels: bool) -> Settings:
    """Settings tuned for these features (docs/results.md says on which subjects).

    Parameters
    ----------
    features : str
        The first one named decides.
    labels : bool
        Whether they read label maps: these are taken to be aligned, scans are not.
    """
    first = features.split(",")[0].split(":")[0]
    affine = NO_FAMILY if labels or first == "none" else "affine"
    return _PRESETS.get(first, _PRESETS["mind"])(features=features, affine=affine)
