"""Which settings a pair is registered with: decided here, once, for every caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from learngn.errors import LabelError, ModelError, SettingsError
from learngn.features import Combined, Feature, common_grids, parse_features
from learngn.geometry.image import Image, check_scan
from learngn.memory import affordable, readable
from learngn.model import Model
from learngn.registration.pair import RegistrationPair, Side, check_labels
from learngn.registration.recognise import Recognised, recognise
from learngn.settings import BASELINES, Settings, default_settings, preset
from learngn.settings.levels import fitted

_FEW = 32  # voxels along an axis, enough to count channels
_LEARNED = ("strides", "lam", "update")  # by a model
_MAY_BE_NONE = ("robust", "memory")
# Options of Gauss-Newton that a preset may have and a baseline has not.
_PLAIN = {"symmetric": False, "diffeomorphic": False, "robust": None, "overlap": False, "regulariser": "diffusion"}


@dataclass(frozen=True)
class Request:
    """What a caller asks for; what is left out depends on the pair.

    Attributes
    ----------
    features : str or Feature, optional
        What is compared; by default the features of the settings, of the preset, or of the preset that the scans look
        like. Features named by hand keep the other settings of that preset, but for λ, which has their unit.
    preset : str, optional
        Name of a preset, see :data:`learngn.settings.PRESETS`.
    settings : Settings, optional
        Complete settings; their levels are taken as they are.
    changes : dict
        Single values that replace those, by the names of :class:`Settings`.

    Raises
    ------
    SettingsError
        If both a preset and settings are given, or a change has no such name.
    """

    features: str | Feature | None = None
    preset: str | None = None
    settings: Settings | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.preset is not None and self.settings is not None:
            raise SettingsError(
                "settings", f"settings and the preset {self.preset}", "one of them", "leave out the preset"
            )
        unknown = sorted(set(self.changes) - set(Settings.__dataclass_fields__))
        if unknown:
            known = ", ".join(Settings.__dataclass_fields__)
            raise SettingsError("settings", f"the unknown key {unknown[0]}", f"one of {known}", "correct it")
        # None stands for nothing asked, but where it is a value of its own.
        asked = {name: value for name, value in self.changes.items() if value is not None or name in _MAY_BE_NONE}
        object.__setattr__(self, "changes", asked)
        # Wrong values are found before a pair is read.
        if self.preset is not None:
            preset(self.preset)
        if isinstance(self.features, str):
            parse_features(self.features)
        plain = Settings(features="none", affine="none")
        alone = {} if "strides" in self.changes else {"iterations"}  # whose number depends on the levels
        _changed(plain, {name: value for name, value in self.changes.items() if name not in alone})

    def label_maps(self, model: Model | None = None) -> bool | None:
        """Whether the features that are asked for compare label maps; None if the images decide."""
        if model is not None:
            return model.feature.traits.reads_labels
        if self.features is not None:
            return _feature(self.features).traits.reads_labels
        settings = self.settings if self.preset is None else preset(self.preset).settings
        return None if settings is None else _feature(settings.features).traits.reads_labels

    def as_dict(self) -> dict[str, Any]:
        """Return values for JSON: what tells two requests apart."""
        named = {
            "features": None if self.features is None else _feature(self.features).name,
            "preset": self.preset,
            **({} if self.settings is None else self.settings.as_dict()),
            **self.changes,
        }
        return {key: value for key, value in named.items() if value is not None}


@dataclass(frozen=True)
class Resolved:
    """Settings of a pair, and what else was decided with them.

    Attributes
    ----------
    settings : Settings
        Complete; nothing is left to defaults.
    feature : Feature
        What is compared.
    voxel : float
        What a stride of one means [mm].
    recognised : Recognised or None
        The preset that the scans look like, where it was taken.
    left_out : tuple of float
        Strides of levels that the memory budget does not allow.
    coarsened : bool
        Whether the levels are coarser than those of the preset or the features, because the fixed grid is large.
    """

    settings: Settings
    feature: Feature
    voxel: float
    recognised: Recognised | None = None
    left_out: tuple[float, ...] = ()
    coarsened: bool = False

    @property
    def spacing(self) -> float:
        """Voxel size of the finest level [mm]."""
        return self.settings.strides[-1] * self.voxel


def resolve(request: Request, pair: RegistrationPair, model: Model | None = None) -> Resolved:
    """Decide the settings of a pair.

    The model's settings come first, or else those that are asked for, those of the preset, those that suit the
    features, or those of the preset that the scans look like. Levels that the fixed grid is too large or too small for
    are left out, unless somebody has chosen the levels. Then single values are changed, and the memory budget is kept.

    Parameters
    ----------
    request : Request
    pair : RegistrationPair
        Its scans need not have been read where features or a preset are asked for, without a memory budget.
    model : Model, optional
        A trained model.

    Raises
    ------
    SettingsError
        If a value is out of range, or the memory budget too small.
    ModelError
        If the model does not fit the pair, or has learned what is asked for otherwise.
    LabelError
        If features of label maps are asked for and an image is a scan.
    ImageError
        If a scan has no content.
    """
    if model is not None:
        return _of_model(request, pair, model)
    settings, recognised = _base(request, pair)
    changes, finest = dict(request.changes), settings.strides[-1]
    compared = common_grids(pair.fixed.grid, pair.moving.grid)[0]
    if request.settings is None and "strides" not in changes:  # levels that someone has chosen stay
        if len(changes.get("iterations", ())) == len(settings.strides):  # counted for the whole schedule
            settings = replace(settings, iterations=changes.pop("iterations"))
        settings = fitted(settings, compared)
    coarsened = settings.strides[-1] > finest
    settings = _changed(settings, changes)
    feature = _feature(settings.features if request.features is None else request.features)
    check_suits(feature, pair)
    settings = replace(settings, features=feature.name)
    voxel = float(compared.spacing.min())
    return _within_memory(Resolved(settings, feature, voxel, recognised, coarsened=coarsened), pair)


def _base(request: Request, pair: RegistrationPair) -> tuple[Settings, Recognised | None]:
    """Settings before levels are left out and values changed."""
    if request.settings is not None:
        return request.settings, None
    if request.preset is not None:
        return preset(request.preset).settings, None
    if request.features is not None:
        feature = _feature(request.features)
        own = default_settings(feature.name, feature.traits.reads_labels)
        if feature.traits.reads_labels or not own.aligns or pair.fixed.image is None or pair.moving.image is None:
            return own, None
        # λ has the unit of the features; all else suits the kind of scans.
        recognised = recognise(pair.fixed.image, pair.moving.image)
        settings = recognised.preset.settings
        return (replace(settings, lam=own.lam), recognised) if settings.aligns else (own, None)
    recognised = recognise(pair.fixed.scan, pair.moving.scan)
    return recognised.preset.settings, recognised


def check_model(request: Request, model: Model) -> None:
    """Raise :class:`ModelError` if something is asked for otherwise than a model has learned it."""
    given = {"preset": request.preset, **{name: request.changes.get(name) for name in _LEARNED}}
    if request.features != model.settings.features:
        given["features"] = request.features if request.features is None else _feature(request.features).name
    for name, value in given.items():
        if value is not None:
            raise ModelError(name, str(value), "what the model has learned", f"leave out {name}, or the model")


def _of_model(request: Request, pair: RegistrationPair, model: Model) -> Resolved:
    """Settings of a model: its levels, λ and features are what was learned."""
    check_model(request, model)
    if model.config.ndim != pair.fixed.grid.ndim:
        raise ModelError(
            "model", f"one for {model.config.ndim}D", f"one for {pair.fixed.grid.ndim}D images", "choose another"
        )
    settings = _changed(request.settings or model.settings, request.changes)
    check_suits(model.feature, pair)
    resolved = _within_memory(Resolved(settings, model.feature, model.config.spacing), pair)
    if resolved.left_out:
        levels = ", ".join(f"1/{stride:g}" for stride in settings.strides)
        raise ModelError(
            "memory", readable(settings.memory or 0), f"more for the model's levels {levels}", "allow more"
        )
    return resolved


def _changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Settings with single values changed; levels that come without iterations get those of the level beside."""
    values = dict(changes)
    if values.get("update") in BASELINES:
        values = {**_PLAIN, **values}
    if "strides" in values and "iterations" not in values:
        levels = len(values["strides"])
        values["iterations"] = (settings.iterations + settings.iterations[-1:] * levels)[:levels]
    return replace(settings, **values) if values else settings


def _within_memory(resolved: Resolved, pair: RegistrationPair) -> Resolved:
    """The levels with which a registration keeps to its memory budget, if it has one."""
    settings = resolved.settings
    if settings.memory is None:
        return resolved
    channels = _channels(resolved.feature, pair.fixed.scan, pair.moving.scan)
    count = affordable(
        settings.strides,
        settings.memory,
        pair.fixed.grid,
        pair.moving.grid,
        channels,
        resolved.voxel,
        affine=settings.aligns,
        symmetric=settings.symmetric,
    )
    if count == len(settings.strides):
        return resolved
    return replace(resolved, settings=settings.with_levels(range(count)), left_out=settings.strides[count:])


@torch.no_grad()
def _channels(feature: Feature, fixed: Image, moving: Image) -> int:
    """Number of channels that a feature has of a pair: with some it depends on the images."""
    coarse = max(float(image.grid.extent.max()) for image in (fixed, moving)) / _FEW
    return feature(fixed, moving, coarse)[0].data.shape[1]


def _feature(features: str | Feature) -> Feature:
    """A feature by name, or an object of one's own."""
    if isinstance(features, str):
        return parse_features(features)
    return features if isinstance(features, Combined) else Combined(((features, 1.0),))


def check_suits(feature: Feature, pair: RegistrationPair) -> None:
    """See that a feature can be computed of both images, as far as they have been read.

    Raises
    ------
    LabelError
        If an image is a scan where the feature compares label maps, or a label map is empty.
    ImageError
        If a scan has values that are not finite, or no content.
    """
    for side, what in ((pair.fixed, "fixed image"), (pair.moving, "moving image")):
        if side.image is not None:
            _check(feature, side, side.image, what)


def _check(feature: Feature, side: Side, image: Image, what: str) -> None:
    if not feature.traits.reads_labels:
        check_scan(image, what)
        return
    if not image.labels:
        raise LabelError(
            what, f"a scan ({side.name})", f"a label map for {feature.name}", "pass a segmentation, or other features"
        )
    check_labels(image, what)
