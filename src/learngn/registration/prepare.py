"""Preparation of a pair, independent of schedule and λ: linear alignment and computation of the features."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from learngn.arrays import Array, in_order, shared, undifferentiated
from learngn.clock import Clock
from learngn.errors import GeometryError
from learngn.features import Feature, FeatureImage, FeatureStore, for_linear_stage, kept
from learngn.geometry.grid_map import Resampling
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Composite, DisplacementField
from learngn.optimise import FAMILIES, DiscreteStart, Iteration, at_full_resolution, build, pose_by_features
from learngn.registration.contrast import comparable
from learngn.registration.harmless import Harmless
from learngn.registration.initial import InitialTransform
from learngn.registration.learned import Seen, linear_left_out
from learngn.registration.messages import logged
from learngn.registration.pair import RegistrationPair
from learngn.registration.pictures import compared
from learngn.registration.prealign import PLACED, NoAlignmentError, Prealigned, prealign, prealign_turned
from learngn.registration.resolve import Resolved
from learngn.registration.result import Registration
from learngn.settings import Settings
from learngn.uncertainty import factor_of, uncertainty_of

if TYPE_CHECKING:
    from learngn.model import Model


_LOG = logging.getLogger(__name__)
_SLICES = 8  # least number of voxels along every axis for which one scale of self-similarity finds a linear map


@dataclass(frozen=True, eq=False)
class Prepared:
    """A pair, aligned linearly, with features, on which several schedules can be tried.

    Attributes
    ----------
    pair : RegistrationPair
    resolved : Resolved
    aligned : Prealigned
        The linear pre-alignment.
    features : (FeatureImage, FeatureImage)
        Features at the finest level's resolution.
    seconds : dict
        Times of the stages so far [s].
    harmless : Harmless, optional
        What leaves out steps that do not improve the fit; None without :attr:`learngn.Settings.quality`.
    initial : InitialTransform, optional
        The initial transform, by whose linear map the pair is placed.
    """

    pair: RegistrationPair
    resolved: Resolved
    aligned: Prealigned
    features: tuple[FeatureImage, FeatureImage]
    seconds: dict[str, float]
    harmless: Harmless | None = None
    initial: InitialTransform | None = None

    @undifferentiated
    def register(
        self,
        settings: Settings | None = None,
        *,
        model: Model | None = None,
        initial: Array | None = None,
        callback: Callable[[Iteration], None] | None = None,
        resampling: Resampling | None = None,
    ) -> Registration:
        """Compute the displacement.

        Parameters
        ----------
        settings : Settings, optional
            Settings with the features and the affine stage of the preparation, and no finer level.
        model, callback
            See :func:`learngn.register`.
        initial : Array, shape (1, D, *S) [voxel], optional
            Initial displacement, before the linear map, on a grid of any shape over the fixed scan's extent, instead of
            the discrete search.
        resampling : Resampling, optional
            Interpolation and background for warping the moving image.
        """
        resolved = self.resolved if settings is None else replace(self.resolved, settings=settings)
        chosen, fixed, matrix = resolved.settings, self.pair.fixed.scan, self.aligned.matrix
        clock = Clock(dict(self.seconds))
        given = None
        if initial is not None:
            initial = shared(initial, self.features[0].data)
        elif self.initial is not None:
            initial = self.initial.start(self.features[0].data)
            given = None if initial is None else DisplacementField(initial, fixed.grid)
        if chosen.discrete and initial is None:
            with clock.stage("discrete"):
                initial = DiscreteStart()(*self.features, matrix)
        with clock.stage("optimise"):
            method = (
                build(chosen, fixed, self.pair.tissue)
                if model is None
                else model.scheduled(chosen, fixed, self.pair.tissue)
            )
            result = method(
                *self.features,
                matrix,
                initial,
                detailed=given is not None,
                landmarks=self.pair.keypoints,
                voxel=resolved.voxel,
                callback=logged(chosen, resolved.voxel, callback),
            )
        _LOG.info("optimised in %d steps; %s", len(result.history), result.stop.value)
        uncertainty = None
        if chosen.uncertainty:
            with clock.stage("uncertainty"):
                factor = factor_of(resolved.preset, resolved.feature.name)
                uncertainty = uncertainty_of(result, fixed.grid, factor)
        result = replace(result, energy=None)  # with its images, which are not needed while others are made
        affine = Affine(matrix)
        with clock.stage("warp"):
            fields = at_full_resolution(result, fixed.grid, diffeomorphic=chosen.diffeomorphic)
        verdict = None
        if self.harmless is not None and chosen.quality:
            # The field of the finest level is the same displacement with far fewer voxels, unless it was changed.
            same = result.into_fixed is None and not chosen.diffeomorphic
            field = DisplacementField(*((result.field, result.grid) if same else (fields.forward, fixed.grid)))
            with clock.stage("quality"):
                verdict, kept_field = self.harmless.judged(field, affine, given)
            _LOG.info("verdict: %s", "; ".join((verdict.status, *(reason.text for reason in verdict.reasons))))
            if not kept_field:
                uncertainty = None
                if given is None:
                    fields = fields.without_displacement()
                else:
                    fields = fields.replaced(given.data, fixed.grid, diffeomorphic=chosen.diffeomorphic)
        with clock.stage("warp"):
            transform = Composite((DisplacementField(fields.forward, fixed.grid), affine))
            options = resampling or Resampling()
            warped = transform.warp(
                self.pair.moving.scan, fixed.grid, interpolation=options.interpolation, background=options.background
            )
            inverse = None
            if fields.inverse is not None:
                inverse = Composite((affine.inverse(), DisplacementField(fields.inverse, fixed.grid)))
        return Registration(
            transform=transform,
            warped=warped,
            pair=self.pair,
            history=result.history,
            stop=result.stop,
            resolved=resolved,
            affine_start=self.aligned.start,
            seconds=clock.seconds,
            inverse=inverse,
            inverse_error=fields.error,
            uncertainty=uncertainty,
            verdict=verdict,
            resampling=options,
        )


@undifferentiated
def prepare(
    pair: RegistrationPair,
    resolved: Resolved,
    *,
    initial: InitialTransform | None = None,
    same_contrast: bool = False,
    store: FeatureStore | None = None,
    clock: Clock | None = None,
) -> Prepared:
    """Do everything that precedes the optimisation of the displacement, once for several schedules.

    Parameters
    ----------
    pair : RegistrationPair
    resolved : Resolved
    initial : InitialTransform, optional
        Initial transform, by whose linear map the pair is placed (:meth:`InitialTransform.placed`).
    same_contrast : bool
        The intensities of both scans correspond, as those of the frames of a series do: that of the moving scan is not
        adapted to the fixed one, see :func:`learngn.registration.contrast.comparable`.
    store : FeatureStore, optional
        Cache of the features of each image, for its other pairs; see :func:`learngn.features.kept`.
    clock : Clock, optional
        Clock with the times of earlier stages.

    Raises
    ------
    GeometryError
        If the scans do not overlap and the affine stage is left out, or no alignment is result.
    FeatureError
        If the features cannot be computed for these scans.
    """
    clock = clock or Clock()
    looked = compared(pair, resolved.settings.stains)
    fixed, moving, masks = looked.fixed.scan, looked.moving.scan, (pair.fixed.mask, pair.moving.mask)
    feature = resolved.feature if store is None else kept(resolved.feature, _like(store, fixed.data))
    feature = feature if initial is None else initial.feature(feature)
    with clock.stage("features"):
        matched = moving if same_contrast else comparable(fixed, moving, resolved.feature, resolved.spacing)
    unaligned = Prealigned(np.eye(fixed.grid.ndim + 1), "none")
    found: Prealigned | None = unaligned
    unmoved: tuple[FeatureImage, FeatureImage] | None = None
    if resolved.settings.aligns and resolved.learned is not None:
        with clock.stage("features"):
            unmoved = unaligned.features(feature, fixed, matched, resolved.spacing, masks)
        with clock.stage("affine"):
            starts = None if initial is None else {PLACED: np.eye(fixed.grid.ndim + 1)}
            pose = pose_by_features(*unmoved, FAMILIES[resolved.settings.affine], starts)
            found = Prealigned(pose.matrix, pose.start)
    elif resolved.settings.aligns:
        with clock.stage("affine"):
            found = _aligned(looked, matched, _linear(feature, pair), resolved, placed=initial is not None)
    else:
        _check_overlap(pair)
    aligned, harmless, learned = found or unaligned, None, resolved.learned
    if resolved.settings.quality:
        with clock.stage("quality"):
            if learned is None:
                # Of pictures the darkness is judged: tissue is what is not background.
                shown = pair if resolved.settings.stains is None else compared(pair, "grey")
                harmless = Harmless.of(shown, None if found is None else found.matrix, placed=initial is not None)
            elif learned.judges:
                reason = None if unmoved is None else linear_left_out(learned.pair(unmoved), aligned.matrix)
                harmless = Harmless.of_learned(
                    pair, aligned.matrix, reason, comparable=learned.comparable, placed=initial is not None
                )
            else:
                _LOG.info("no verdict: scans of two modalities, and a model without a record of its training")
            aligned = aligned if harmless is None else harmless.start(aligned)
    if resolved.settings.aligns:
        centre = fixed.grid.centre
        shift = aligned.matrix[:-1, :-1] @ centre + aligned.matrix[:-1, -1] - centre
        moved = ", ".join(f"{component:.3g}" for component in shift)
        _LOG.info("linear alignment: started by %s, moves the centre by (%s) mm", aligned.start, moved)
    with clock.stage("features"):
        fixed_features, moving_features = aligned.features(feature, fixed, matched, resolved.spacing, masks)
        if not resolved.settings.symmetric:
            # The layout of the optimiser (see levels_of_pair), which would otherwise make a copy while this one exists.
            fixed_features = replace(fixed_features, data=in_order(fixed_features.data))
    if harmless is not None and learned is not None:
        with clock.stage("quality"):
            features = fixed_features, moving_features
            seen = Seen.of(learned, feature, pair, resolved.spacing, features, aligned.matrix)
            harmless = replace(harmless, seen=seen)
    return Prepared(pair, resolved, aligned, (fixed_features, moving_features), clock.seconds, harmless, initial)


def _aligned(
    pair: RegistrationPair, matched: Image, feature: Feature, resolved: Resolved, *, placed: bool
) -> Prealigned | None:
    """Return the linear alignment; None if there is none, and the headers' position can be kept."""
    masks = pair.fixed.mask, pair.moving.mask
    try:
        fixed, family = pair.fixed.scan, FAMILIES[resolved.settings.affine]
        if resolved.settings.stains is not None and not placed:
            # The header of a picture does not say which way is up: sections lie on their slides as they fell.
            return prealign_turned(fixed, matched, feature, family, masks)
        return prealign(fixed, matched, feature, family, masks, placed=placed)
    except NoAlignmentError:
        if not resolved.settings.quality or pair.fixed.grid.overlap(pair.moving.grid) == 0:
            raise
        return None


def _linear(feature: Feature, pair: RegistrationPair) -> Feature:
    """Return the feature for the linear stage: a simpler one, unless a scan has too few slices to find a map by it."""
    thinnest = min(*pair.fixed.scan.grid.shape, *pair.moving.scan.grid.shape)
    return for_linear_stage(feature) if thinnest >= _SLICES else feature


def _like(store: FeatureStore, array: Array) -> FeatureStore:
    """Return a cache that returns features in the library and on the device of an array."""

    def stored(key: str, make: Callable[[], FeatureImage]) -> FeatureImage:
        features = store(key, make)
        return replace(features, data=shared(features.data, array), weight=shared(features.weight, array))

    return stored


def _check_overlap(pair: RegistrationPair) -> None:
    if pair.fixed.grid.overlap(pair.moving.grid) == 0:
        raise GeometryError(
            "fixed and moving image",
            "no overlap in the world",
            "images that overlap",
            "let the affine stage find the shift, or correct the headers",
        )
