"""Result of a registration."""

from __future__ import annotations

from dataclasses import dataclass, field

from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Composite, DisplacementField
from learngn.optimise import Iteration, StopReason
from learngn.registration.pair import RegistrationPair
from learngn.registration.resolve import Resolved
from learngn.settings import Settings


@dataclass(frozen=True, eq=False)
class Registration:
    """Result of :func:`learngn.register`.

    Attributes
    ----------
    transform : Composite
        From the fixed to the moving world: the displacement, then the affine.
    warped : Image
        The moving image on the fixed grid, interpolated once.
    pair : RegistrationPair
        What was registered.
    history : tuple of Iteration
        Every Gauss-Newton step.
    stop : StopReason
        Why the finest level ended.
    resolved : Resolved
        How it was registered, and why so.
    affine_start : str
        Which initial transform the affine stage kept; ``"none"`` when it was skipped.
    seconds : dict
        Time of every stage [s]: read, features, affine, discrete, optimise, warp.
    inverse : Composite, optional
        From the moving to the fixed world, if the settings are symmetric or diffeomorphic.
    inverse_error : float, optional
        Mean distance between a voxel and its image under the transform and its inverse, where that stays inside the
        fixed image [voxel of the fixed image].
    """

    transform: Composite
    warped: Image
    pair: RegistrationPair = field(repr=False)
    history: tuple[Iteration, ...] = field(repr=False)
    stop: StopReason
    resolved: Resolved
    affine_start: str
    seconds: dict[str, float] = field(repr=False)
    inverse: Composite | None = None
    inverse_error: float | None = None

    @property
    def fixed(self) -> Image:
        """The fixed image."""
        return self.pair.fixed.scan

    @property
    def moving(self) -> Image:
        """The moving image."""
        return self.pair.moving.scan

    @property
    def settings(self) -> Settings:
        """Settings as used, nothing left to defaults."""
        return self.resolved.settings

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
