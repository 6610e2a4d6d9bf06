"""A pair as far as it does not depend on schedule and λ: aligned linearly, its features computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from learngn.clock import Clock
from learngn.errors import GeometryError
from learngn.features import FeatureImage, FeatureStore, kept
from learngn.geometry.grid_map import Resampling
from learngn.geometry.transform import Affine, Composite, DisplacementField
from learngn.model import Model
from learngn.optimise import FAMILIES, DiscreteStart, Iteration, at_full_resolution, build
from learngn.registration.contrast import comparable
from learngn.registration.pair import RegistrationPair
from learngn.registration.prealign import Prealigned, prealign
from learngn.registration.resolve import Resolved
from learngn.registration.result import Registration
from learngn.settings import Settings


@dataclass(frozen=True, eq=False)
class Prepared:
    """A pair that several schedules can be tried on.

    Attributes
    ----------
    pair : RegistrationPair
    resolved : Resolved
    aligned : Prealigned
        The linear pre-alignment.
    features : (FeatureImage, FeatureImage)
        At the finest level's resolution.
    seconds : dict
        Time of every stage so far [s].
    """

    pair: RegistrationPair
    resolved: Resolved
    aligned: Prealigned
    features: tuple[FeatureImage, FeatureImage]
    seconds: dict[str, float]

    @torch.no_grad()
    def register(
        self,
        settings: Settings | None = None,
        *,
        model: Model | None = None,
        callback: Callable[[Iteration], None] | None = None,
        resampling: Resampling | None = None,
    ) -> Registration:
        """Find the displacement.

        Parameters
        ----------
        settings : Settings, optional
            With the same features and affine stage, and no finer a level, than what was prepared.
        model, callback
            As of :func:`learngn.register`.
        resampling : Resampling, optional
            How the moving image is warped.
        """
        resolved = self.resolved if settings is None else replace(self.resolved, settings=settings)
        chosen, fixed, matrix = resolved.settings, self.pair.fixed.scan, self.aligned.matrix
        clock, initial = Clock(dict(self.seconds)), None
        if chosen.discrete:
            with clock.stage("discrete"):
                initial = DiscreteStart()(*self.features, matrix)
        with clock.stage("optimise"):
            method = (
                build(chosen, fixed, self.pair.tissue)
                if model is None
                else model.scheduled(chosen, fixed, self.pair.tissue)
            )
            found = method(
                *self.features,
                matrix,
                initial,
                landmarks=self.pair.keypoints,
                voxel=resolved.voxel,
                callback=callback,
            )
        with clock.stage("warp"):
            fields = at_full_resolution(found, fixed.grid, diffeomorphic=chosen.diffeomorphic)
            affine = Affine(matrix)
            transform = Composite((DisplacementField(fields.forward, fixed.grid), affine))
            how = resampling or Resampling()
            warped = transform.warp(
                self.pair.moving.scan, fixed.grid, interpolation=how.interpolation, background=how.background
            )
            inverse = None
            if fields.inverse is not None:
                inverse = Composite((affine.inverse(), DisplacementField(fields.inverse, fixed.grid)))
        return Registration(
            transform=transform,
            warped=warped,
            pair=self.pair,
            history=found.history,
            stop=found.stop,
            resolved=resolved,
            affine_start=self.aligned.start,
            seconds=clock.seconds,
            inverse=inverse,
            inverse_error=fields.error,
        )


@torch.no_grad()
def prepare(
    pair: RegistrationPair, resolved: Resolved, *, store: FeatureStore | None = None, clock: Clock | None = None
) -> Prepared:
    """Do all of a registration that comes before the displacement: for several schedules, it is done once.

    Parameters
    ----------
    pair : RegistrationPair
    resolved : Resolved
    store : FeatureStore, optional
        Cache of features of an image, for its other pairs; see :func:`learngn.features.kept`.
    clock : Clock, optional
        With the time of earlier stages.

    Raises
    ------
    GeometryError
        If the scans do not overlap and are not to be aligned, or nothing brings them together.
    FeatureError
        If the features cannot be computed of these scans.
    """
    clock = clock or Clock()
    fixed, moving, masks = pair.fixed.scan, pair.moving.scan, (pair.fixed.mask, pair.moving.mask)
    feature = resolved.feature if store is None else kept(resolved.feature, store)
    with clock.stage("features"):
        seen = comparable(fixed, moving, resolved.feature, resolved.spacing)
    if resolved.settings.aligns:
        with clock.stage("affine"):
            aligned = prealign(fixed, seen, feature, FAMILIES[resolved.settings.affine], masks)
    else:
        _check_overlap(pair)
        aligned = Prealigned(np.eye(fixed.grid.ndim + 1), "none")
    with clock.stage("features"):
        ours, theirs = aligned.features(feature, fixed, seen, resolved.spacing, masks)
        # As the optimiser wants it (see levels_of_pair): it would make a copy, and this one stay beside it.
        features = (ours if resolved.settings.symmetric else replace(ours, data=ours.data.contiguous())), theirs
        del ours
    return Prepared(pair, resolved, aligned, features, clock.seconds)


def _check_overlap(pair: RegistrationPair) -> None:
    if pair.fixed.grid.overlap(pair.moving.grid) == 0:
        raise GeometryError(
            "fixed and moving image",
            "no overlap in the world",
            "images that overlap",
            "let the affine stage find the shift, or correct the headers",
        )
