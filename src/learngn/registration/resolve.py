"""Choice of the settings of a pair, in one place for all callers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from learngn.arrays import check_device_name, undifferentiated
from learngn.errors import LabelError, ModelError, SettingsError
from learngn.features import Combined, Feature, automatic_stains, check_stains, common_grids, has_stains, parse_features
from learngn.geometry.image import Image, check_scan
from learngn.memory import affordable, readable
from learngn.registration.learned import Learned
from learngn.registration.pair import RegistrationPair, Side, check_labels
from learngn.registration.recognise import Recognised, recognise
from learngn.settings import BASELINES, Settings, default_settings, preset
from learngn.settings.levels import fitted
from learngn.settings.suited import iterations_for

if TYPE_CHECKING:
    from learngn.model import Model

_FEW = 32  # voxels along an axis, sufficient to count channels
_LEARNED = ("strides", "lam", "update")  # settings that a model has learned
_MAY_BE_NONE = ("robust", "memory")  # settings for which None is a value
# Values of the options of Gauss-Newton for baselines, which do not support them.
_PLAIN = {"symmetric": False, "diffeomorphic": False, "robust": None, "overlap": False, "regulariser": "diffusion"}


@dataclass(frozen=True)
class Request:
    """Features and settings requested by a caller; the rest depends on the pair.

    Attributes
    ----------
    features : str or Feature, optional
        Features to compare; by default those of the settings, of the preset, or of the preset recognised from the
        scans. With given features, the other settings of that preset are kept, except λ, which has the features' unit.
    preset : str, optional
        Name of a preset, see :data:`learngn.settings.PRESETS`.
    settings : Settings, optional
        Complete settings; their levels are not adapted to the grid.
    changes : dict
        Single values of :class:`Settings` that replace those above, by name.
    device : str
        Device for the computation, ``"auto"``, ``"cpu"`` or ``"cuda"``; see :func:`learngn.register`.

    Raises
    ------
    SettingsError
        If both a preset and settings are given, a change is not a field of :class:`Settings`, or the device is unknown.
    """

    features: str | Feature | None = None
    preset: str | None = None
    settings: Settings | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"

    def __post_init__(self) -> None:
        check_device_name(self.device)
        if self.preset is not None and self.settings is not None:
            raise SettingsError(
                "settings", f"settings and the preset {self.preset}", "one of them", "leave out the preset"
            )
        unknown = sorted(set(self.changes) - set(Settings.__dataclass_fields__))
        if unknown:
            known = ", ".join(Settings.__dataclass_fields__)
            raise SettingsError("settings", f"the unknown key {unknown[0]}", f"one of {known}", "correct it")
        # None stands for a setting that is not requested, except where it is a value of its defaults.
        requested = {name: value for name, value in self.changes.items() if value is not None or name in _MAY_BE_NONE}
        object.__setattr__(self, "changes", requested)
        # Invalid values are reported before a pair is read.
        if self.preset is not None:
            preset(self.preset)
        if isinstance(self.features, str):
            parse_features(self.features)
        valid = Settings(features="none", affine="none")
        unchecked = {} if "strides" in self.changes else {"iterations"}  # their number depends on the levels
        _changed(valid, {name: value for name, value in self.changes.items() if name not in unchecked})

    def label_maps(self, model: Model | None = None) -> bool | None:
        """Return whether the requested features compare label maps; None if it depends on the images."""
        if model is not None:
            return model.base_feature.traits.reads_labels
        if self.features is not None:
            return _feature(self.features).traits.reads_labels
        settings = self.settings if self.preset is None else preset(self.preset).settings
        return None if settings is None else _feature(settings.features).traits.reads_labels

    def as_dict(self) -> dict[str, Any]:
        """Return values for JSON, which identify the request."""
        named = {
            "features": None if self.features is None else _feature(self.features).name,
            "preset": self.preset,
            **({} if self.settings is None else self.settings.as_dict()),
            **self.changes,
            # Named only if it was chosen: results may differ by rounding, and a run may go on where there is no GPU.
            "device": self.device if self.device.startswith("cuda") else None,
        }
        return {key: value for key, value in named.items() if value is not None}


@dataclass(frozen=True)
class Resolved:
    """Settings of a pair, with feature, voxel size and the reasons for the choice.

    Attributes
    ----------
    settings : Settings
        Complete settings.
    feature : Feature
        Feature to compare.
    voxel : float
        Voxel size of stride 1 [mm].
    recognised : Recognised or None
        The preset recognised from the scans, if it was used.
    left_out : tuple of float
        Strides of the levels left out because of the memory budget.
    preset : str or None
        Name of the preset whose features and settings are used, if any.
    learned : Learned or None
        What a model knows of the scans and of itself, if the features are those of a model.
    coarsened : bool
        Whether the levels are coarser than those of the preset or the features, because the fixed grid is large.
    """

    settings: Settings
    feature: Feature
    voxel: float
    recognised: Recognised | None = None
    left_out: tuple[float, ...] = ()
    coarsened: bool = False
    preset: str | None = None
    learned: Learned | None = None

    @property
    def spacing(self) -> float:
        """Voxel size of the finest level [mm]."""
        return self.settings.strides[-1] * self.voxel


def resolve(request: Request, pair: RegistrationPair, model: Model | None = None) -> Resolved:
    """Choose the settings of a pair.

    The settings are those of the model, or else the requested settings, those of the preset, those that suit the
    features, or those of the preset recognised from the scans. Unless the levels were requested, they are adapted to
    the size of the fixed grid. Then single values are changed, and levels left out that exceed the memory budget.

    Parameters
    ----------
    request : Request
    pair : RegistrationPair
        Its scans need not have been read if features or a preset are requested, without a memory budget.
    model : Model, optional
        A trained model.

    Raises
    ------
    SettingsError
        If a value is out of range, or the memory budget is too small.
    ModelError
        If the model does not fit the pair, or a requested value differs from one that it has learned.
    LabelError
        If features of label maps are requested and an image is a scan.
    ImageError
        If a scan is constant or has values that are not finite.
    """
    if model is not None:
        return _of_model(request, pair, model)
    settings, recognised = _base(request, pair)
    changes, finest = dict(request.changes), settings.strides[-1]
    compared = common_grids(pair.fixed.grid, pair.moving.grid)[0]
    if request.settings is None and "strides" not in changes:  # requested levels are kept
        if len(changes.get("iterations", ())) == len(settings.strides):  # they refer to the whole schedule
            settings = replace(settings, iterations=changes.pop("iterations"))
        settings = fitted(settings, compared)
    coarsened = settings.strides[-1] > finest
    settings = _changed(settings, changes)
    feature = _feature(settings.features if request.features is None else request.features)
    check_suits(feature, pair)
    settings = replace(settings, features=feature.name, stains=_stains(settings, pair))
    voxel = float(compared.spacing.min())
    named = request.preset if recognised is None else recognised.preset.name
    preset_used = named if request.features is None else None
    return _within_memory(Resolved(settings, feature, voxel, recognised, coarsened=coarsened, preset=preset_used), pair)


def _base(request: Request, pair: RegistrationPair) -> tuple[Settings, Recognised | None]:
    """Return the settings before levels are adapted and values changed, and the recognised preset."""
    if request.settings is not None:
        return request.settings, None
    if request.preset is not None:
        return preset(request.preset).settings, None
    if request.features is not None:
        feature = _feature(request.features)
        defaults = default_settings(feature.name, feature.traits.reads_labels)
        if feature.traits.reads_labels or not defaults.aligns or pair.fixed.image is None or pair.moving.image is None:
            return defaults, None
        # λ has the unit of the features, and not all can be searched; all other settings depend on the kind of scans.
        recognised = _recognised(pair)
        settings = recognised.preset.settings
        if not settings.aligns:
            return defaults, None
        discrete = settings.discrete and feature.traits.searchable
        return replace(settings, lam=defaults.lam, discrete=discrete), recognised
    recognised = _recognised(pair)
    return recognised.preset.settings, recognised


def _recognised(pair: RegistrationPair) -> Recognised:
    """Return the preset for a pair: for its colours, if both sides have some."""
    colours = pair.fixed.colour, pair.moving.colour
    if colours[0] is not None and colours[1] is not None:
        return recognise(colours[0], colours[1])
    return recognise(pair.fixed.scan, pair.moving.scan)


def _stains(settings: Settings, pair: RegistrationPair) -> str | None:
    """Return the channels of colour pictures that are compared, by default those that suit the pictures.

    Raises
    ------
    SettingsError
        If stains are requested that a scan does not have.
    MissingPackageError
        If a requested stain needs scikit-image, and it is not installed.
    """
    colours = pair.fixed.colour, pair.moving.colour
    requested = None if settings.stains is None else settings.stains.split(",")
    if requested is None:
        if colours == (None, None):
            return None
        chosen = automatic_stains(*colours)
        return ",".join(chosen) if has_stains() else "grey"
    check_stains(requested)
    if None in colours and requested != ["grey"] and pair.fixed.image is not None:
        side = pair.fixed if colours[0] is None else pair.moving
        raise SettingsError(
            "stains", f"{settings.stains} of {side.name}, which has no colours", "colour pictures", "leave stains out"
        )
    return settings.stains


def check_model(request: Request, model: Model) -> None:
    """Raise :class:`ModelError` if a requested value differs from one that a model has learned."""
    given = {"preset": request.preset, **{name: request.changes.get(name) for name in _LEARNED}}
    if request.features != model.settings.features:
        given["features"] = request.features if request.features is None else _feature(request.features).name
    for name, value in given.items():
        if value is not None:
            raise ModelError(name, str(value), "what the model has learned", f"leave out {name}, or the model")


def _of_model(request: Request, pair: RegistrationPair, model: Model) -> Resolved:
    """Return the settings of a model; levels, λ and features are those that it has learned."""
    check_model(request, model)
    if model.config.ndim != pair.fixed.grid.ndim:
        raise ModelError(
            "model", f"one for {model.config.ndim}D", f"one for {pair.fixed.grid.ndim}D images", "choose another"
        )
    settings = _changed(request.settings or model.settings, request.changes)
    names = pair.fixed.name, pair.moving.name
    feature = model.feature_of(names)
    check_suits(feature, pair)
    resolved = Resolved(settings, feature, model.config.spacing, learned=Learned.of(model, names))
    resolved = _within_memory(resolved, pair)
    if resolved.left_out:
        levels = ", ".join(f"1/{stride:g}" for stride in settings.strides)
        raise ModelError(
            "memory", readable(settings.memory or 0), f"more for the model's levels {levels}", "allow more"
        )
    return resolved


def _changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Return settings with single values changed; new levels without iterations get those of the last known level."""
    values = dict(changes)
    if values.get("update") in BASELINES:
        values = {**_PLAIN, **values}
    if "strides" in values and "iterations" not in values:
        values["iterations"] = iterations_for(values["strides"], settings.iterations)
    return replace(settings, **values) if values else settings


def _within_memory(resolved: Resolved, pair: RegistrationPair) -> Resolved:
    """Return the settings with only the levels that the memory budget, if any, allows."""
    settings = resolved.settings
    if settings.memory is None:
        return resolved
    channels = _channels(resolved.feature, pair.fixed.scan, pair.moving.scan)
    if settings.stains is not None:
        channels *= len(settings.stains.split(","))
    count = affordable(
        settings.strides,
        settings.memory,
        pair.fixed.grid,
        pair.moving.grid,
        channels,
        resolved.voxel,
        affine=settings.aligns,
        discrete=settings.discrete,
        symmetric=settings.symmetric,
    )
    if count == len(settings.strides):
        return resolved
    return replace(resolved, settings=settings.with_levels(range(count)), left_out=settings.strides[count:])


@undifferentiated
def _channels(feature: Feature, fixed: Image, moving: Image) -> int:
    """Return the number of channels of a feature, which may depend on the images."""
    coarse = max(float(image.grid.extent.max()) for image in (fixed, moving)) / _FEW
    return int(feature(fixed, moving, coarse)[0].data.shape[1])


def _feature(features: str | Feature) -> Feature:
    """Return the feature of a name, or the user's defaults object, as a combination."""
    if isinstance(features, str):
        return parse_features(features)
    return features if isinstance(features, Combined) else Combined(((features, 1.0),))


def check_suits(feature: Feature, pair: RegistrationPair) -> None:
    """Check that a feature can be computed from both images, if they have been read.

    Raises
    ------
    LabelError
        If an image is a scan where the feature compares label maps, or a label map is empty.
    ImageError
        If a scan is constant or has values that are not finite.
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
