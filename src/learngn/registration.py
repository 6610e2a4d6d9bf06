"""The way of one pair: from two images to a transform, readable from top to bottom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from learngn.clock import Clock
from learngn.contrast import comparable
from learngn.errors import GeometryError, ModelError
from learngn.features import Feature, FeatureImage, FeatureStore, kept
from learngn.grid import FloatArray, Grid
from learngn.image import Image
from learngn.inputs import check_pair, feature_of, load, load_mask, load_tissue
from learngn.interop import ImageLike
from learngn.model import Model, read_model
from learngn.optimise import (
    DiscreteStart,
    GaussNewton,
    Iteration,
    LandmarkPairs,
    StopReason,
    at_full_resolution,
)
from learngn.prealign import Prealigned, affine_spacing, prealign
from learngn.presets import recognise
from learngn.settings import Settings, default_settings, family_name
from learngn.transform import Affine, Composite, DisplacementField

_FEW = 32  # voxels along an axis, enough to count channels


@dataclass(frozen=True, eq=False)
class Registration:
    """Result of :func:`register`.

    Attributes
    ----------
    transform : Composite
        From the fixed to the moving world: the displacement, then the affine.
    warped : Image
        The moving image on the fixed grid, interpolated once.
    fixed, moving : Image
    history : tuple of Iteration
        Every Gauss-Newton step.
    stop : StopReason
        Why the finest level ended.
    settings : Settings
        As used, nothing left to defaults.
    affine_start : str
        Which first guess the affine stage kept; ``"none"`` when it was skipped.
    seconds : dict
        Time of every stage [s]: read, features, affine, discrete, optimise, warp.
    inverse : Composite, optional
        From the moving to the fixed world, if the settings are symmetric or diffeomorphic.
    inverse_error : float, optional
        Mean distance that a voxel misses its origin by, there and back, where that stays inside the fixed image
        [voxel of the fixed image].
    """

    transform: Composite
    warped: Image
    fixed: Image
    moving: Image
    history: tuple[Iteration, ...]
    stop: StopReason
    settings: Settings
    affine_start: str
    seconds: dict[str, float] = field(repr=False)
    inverse: Composite | None = None
    inverse_error: float | None = None

    @property
    def displacement(self) -> DisplacementField:
        """The dense part alone, on the fixed grid."""
        part = self.transform.parts[0]
        if not isinstance(part, DisplacementField):
            raise TypeError("the first part of a registration's transform is its displacement")
        return part

    @property
    def affine(self) -> Affine:
        """The affine part alone: the identity when the stage was skipped."""
        part = self.transform.parts[1]
        if not isinstance(part, Affine):
            raise TypeError("the second part of a registration's transform is its affine")
        return part


@dataclass(frozen=True, eq=False)
class Prepared:
    """A pair as far as it does not depend on schedule and λ: read, aligned linearly, its features computed.

    Attributes
    ----------
    fixed, moving : Image
    settings : Settings
    features : (FeatureImage, FeatureImage)
        At the finest level's resolution.
    matrix : array, shape (D+1, D+1)
        Of the affine stage, fixed RAS mm to moving RAS mm.
    affine_start : str
        See :class:`Registration`.
    voxel : float
        What a stride of one means [mm].
    seconds : dict
        Time of every stage so far [s].
    tissue : Image, optional
        Label map along whose boundaries organs slide.
    """

    fixed: Image
    moving: Image
    settings: Settings
    features: tuple[FeatureImage, FeatureImage]
    matrix: FloatArray
    affine_start: str
    voxel: float
    seconds: dict[str, float]
    tissue: Image | None = None

    @torch.no_grad()
    def register(
        self,
        settings: Settings | None = None,
        *,
        model: Model | None = None,
        landmarks: LandmarkPairs | None = None,
        callback: Callable[[Iteration], None] | None = None,
    ) -> Registration:
        """Find the displacement.

        Parameters
        ----------
        settings : Settings, optional
            With the same features and affine stage, and no finer a level, than what was prepared.
        model, landmarks, callback
            As of :func:`register`.
        """
        clock, grid, initial = Clock(dict(self.seconds)), self.fixed.grid, None
        chosen = self.settings if settings is None else settings
        if chosen.discrete:
            with clock.stage("discrete"):
                initial = DiscreteStart()(*self.features, self.matrix)
        with clock.stage("optimise"):
            method = chosen.method() if model is None else model.scheduled(chosen)
            if isinstance(method, GaussNewton):
                method = chosen.regularise(method, self.fixed, self.tissue)
            result = method(
                *self.features, self.matrix, initial, landmarks=landmarks, voxel=self.voxel, callback=callback
            )
        with clock.stage("warp"):
            fields = at_full_resolution(result, grid, diffeomorphic=chosen.diffeomorphic)
            affine = Affine(self.matrix)
            transform = Composite((DisplacementField(fields.forward, grid), affine))
            warped = transform.warp(self.moving, grid)
            inverse = None
            if fields.inverse is not None:
                inverse = Composite((affine.inverse(), DisplacementField(fields.inverse, grid)))
        return Registration(
            transform, warped, self.fixed, self.moving, result.history, result.stop, chosen, self.affine_start,
            clock.seconds, inverse, fields.error,
        )  # fmt: skip


def register(
    fixed: ImageLike,
    moving: ImageLike,
    *,
    features: str | Feature | None = None,
    settings: Settings | None = None,
    model: str | Path | Model | None = None,
    affine: bool | str | None = None,
    fixed_mask: ImageLike | None = None,
    moving_mask: ImageLike | None = None,
    landmarks: LandmarkPairs | None = None,
    tissue: ImageLike | None = None,
    callback: Callable[[Iteration], None] | None = None,
    store: FeatureStore | None = None,
    memory: str | int | None = None,
) -> Registration:
    """Find the transform that brings a moving image onto a fixed one.

    Parameters
    ----------
    fixed, moving : ImageLike
        Two scans, or two label maps for features that read label maps: paths, images of ours, of SimpleITK, nibabel,
        TorchIO or MONAI, or ``(array, affine)``; see :func:`learngn.interop.as_image`. They may differ in shape,
        spacing and orientation.
    features : str or Feature, optional
        What is compared: ``"mind"``, ``"mind,intensity:0.5"``, ..., or an object of one's own. By default
        those of the settings; without settings those of the preset that the scans look like
        (:func:`learngn.presets.recognise`), and ``"organ-distance"`` for images that are label maps.
    settings : Settings, optional
        Schedule, λ, method; by default those that suit the features, or the preset's.
    model : path or Model, optional
        A trained model: it brings its features and settings along; `settings` may change its iterations.
    affine : str or bool, optional
        Linear maps that align the images first, see :class:`learngn.Settings`; by default ``"affine"`` for scans,
        ``"none"`` for label maps. True and False stand for these.
    fixed_mask, moving_mask : ImageLike, optional
        Where the features count, 0 to 1 (or a label map: where it is not zero), on grids of their own. The displacement
        is found everywhere.
    landmarks : LandmarkPairs, optional
        Pairs of points that pull; with the feature ``none`` they are all that does.
    tissue : ImageLike, optional
        Label map in the fixed image's world; displacements may differ across the boundaries of its labels: organs
        slide.
    callback : callable, optional
        Called with every :class:`learngn.optimise.Iteration`, to show progress.
    store : FeatureStore, optional
        Where features of an image are kept for its other pairs; see :func:`learngn.features.kept`.
    memory : str or int, optional
        Most that the process may hold, such as ``"4GB"``; see :class:`learngn.Settings`, whose own it replaces.

    Returns
    -------
    Registration

    Raises
    ------
    LearnGNError
        If an image cannot be read or registered, the two do not fit together, a feature is unknown, or the model
        does not fit the images or the features.
    """
    if model is not None and not isinstance(model, Model):
        model = read_model(model)
    prepared = prepare(
        fixed,
        moving,
        features=features,
        settings=settings,
        model=model,
        affine=affine,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        tissue=tissue,
        store=store,
        memory=memory,
    )
    return prepared.register(model=model, landmarks=landmarks, callback=callback)


def prepare(
    fixed: ImageLike,
    moving: ImageLike,
    *,
    features: str | Feature | None = None,
    settings: Settings | None = None,
    model: Model | None = None,
    affine: bool | str | None = None,
    fixed_mask: ImageLike | None = None,
    moving_mask: ImageLike | None = None,
    tissue: ImageLike | None = None,
    store: FeatureStore | None = None,
    memory: str | int | None = None,
) -> Prepared:
    """All of a registration that comes before the displacement: for several schedules, it is done once.

    Parameters and errors are those of :func:`register`.
    """
    clock = Clock()
    if model is not None:
        _check_model(model, features)
        settings, features = settings or model.settings, model.feature
    if features is None:
        features = None if settings is None else settings.features
    undecided = features is None
    feature = feature_of(features, fixed)
    with clock.stage("read"):
        fixed_image, moving_image = load(fixed, feature, "fixed image"), load(moving, feature, "moving image")
        masks = load_mask(fixed_mask, fixed_image, "fixed mask"), load_mask(moving_mask, moving_image, "moving mask")
        sliding = load_tissue(tissue, fixed_image)
    check_pair(fixed_image, moving_image)
    if model is not None and model.config.ndim != fixed_image.grid.ndim:
        raise ModelError(
            "model", f"one for {model.config.ndim}D", f"one for {fixed_image.grid.ndim}D images", "choose another"
        )
    if undecided and not feature.labels:
        settings = recognise(fixed_image, moving_image).preset.settings.limited(fixed_image.grid)
        feature = feature_of(settings.features, fixed)
    chosen = default_settings(feature.name, feature.labels) if settings is None else settings
    chosen = replace(chosen, features=feature.name, affine=chosen.affine if affine is None else family_name(affine))
    if memory is not None:
        chosen = replace(chosen, memory=str(memory))
    if settings is None:
        chosen = chosen.limited(fixed_image.grid)
    looking = feature if store is None else kept(feature, store)
    voxel = _voxel(fixed_image.grid, model)
    if chosen.memory is not None:
        with clock.stage("features"), torch.no_grad():
            channels = _channels(feature, fixed_image, moving_image)
        within = chosen.within_memory(fixed_image.grid, moving_image.grid, channels, voxel)
        if model is not None and within.strides != chosen.strides:
            levels = ", ".join(f"1/{stride:g}" for stride in chosen.strides)
            raise ModelError("memory", str(chosen.memory), f"more for the model's levels {levels}", "allow more")
        chosen = within
    spacing = chosen.strides[-1] * voxel
    with clock.stage("features"):
        seen = comparable(fixed_image, moving_image, feature, spacing)
    family, aligned = chosen.family(), Prealigned(np.eye(fixed_image.grid.ndim + 1), "none")
    if family is not None:
        with clock.stage("affine"), torch.no_grad():
            aligned = prealign(fixed_image, seen, looking, family, masks)
    elif fixed_image.grid.overlap(moving_image.grid) == 0:
        raise GeometryError(
            "fixed and moving image",
            "no overlap in the world",
            "images that overlap",
            "let the affine stage find the shift (leave out --no-affine), or mend the headers",
        )
    with clock.stage("features"), torch.no_grad():
        ours, theirs = aligned.features(looking, fixed_image, seen, spacing, masks)
        # As the optimiser wants it (see levels_of_pair): it would make a copy, and this one stay beside it.
        pair = (ours if chosen.symmetric else replace(ours, data=ours.data.contiguous())), theirs
        del ours
    return Prepared(
        fixed_image, moving_image, chosen, pair, aligned.matrix, aligned.start, voxel, clock.seconds, sliding
    )


def feature_spacings(fixed: Grid, settings: Settings, model: Model | None = None) -> tuple[float, ...]:
    """Spacings at which :func:`prepare` computes features [mm]: the finest level's, then that of an affine stage."""
    finest = settings.strides[-1] * _voxel(fixed, model)
    return (finest, affine_spacing(fixed)) if settings.family() else (finest,)


def _channels(feature: Feature, fixed: Image, moving: Image) -> int:
    """How many channels a feature has of a pair: of some it depends on the images."""
    coarse = max(float(image.grid.extent.max()) for image in (fixed, moving)) / _FEW
    return feature(fixed, moving, coarse)[0].data.shape[1]


def _voxel(fixed: Grid, model: Model | None) -> float:
    """What a stride of one means [mm]: a model's levels have the voxel sizes that it was trained with."""
    return float(fixed.spacing.min()) if model is None else model.config.spacing


def _check_model(model: Model, features: str | Feature | None) -> None:
    if features is not None and features != model.settings.features:
        raise ModelError("features", str(features), f"the model's, {model.settings.features}", "leave the features out")
