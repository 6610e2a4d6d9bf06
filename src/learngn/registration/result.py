"""Result of a registration."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from learngn.arrays import Array, shared
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Composite, DisplacementField
from learngn.optimise import Iteration, StopReason
from learngn.quality import Verdict
from learngn.registration.pair import RegistrationPair
from learngn.registration.resolve import Resolved
from learngn.settings import Settings
from learngn.uncertainty import Uncertainty


@dataclass(frozen=True, eq=False)
class Registration:
    """Result of :func:`learngn.register`.

    Attributes
    ----------
    transform : Composite
        Transform from the fixed to the moving world: the displacement, then the affine.
    warped : Image
        The moving image on the fixed grid, interpolated once.
    pair : RegistrationPair
        The registered pair.
    history : tuple of Iteration
        Every Gauss-Newton step.
    stop : StopReason
        Reason why the finest level stopped.
    resolved : Resolved
        Settings and feature used, with the reasons for their choice.
    affine_start : str
        Name of the initial transform that the affine stage chose; ``"none"`` if the stage was skipped.
    seconds : dict
        Times of the stages [s]: read, features, affine, discrete, optimise, uncertainty, warp.
    inverse : Composite, optional
        Transform from the moving to the fixed world, if the settings are symmetric or diffeomorphic.
    inverse_error : float, optional
        Mean distance between a voxel and its position after the transform and its inverse, where that is inside the
        fixed image [voxel of the fixed image].
    uncertainty : Uncertainty, optional
        Uncertainty of the displacement, if the settings ask for it.
    verdict : Verdict, optional
        Whether the result can be trusted, with reasons; None without :attr:`learngn.Settings.quality`.
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
    uncertainty: Uncertainty | None = None
    verdict: Verdict | None = None

    def of_pair(self, pair: RegistrationPair) -> Registration:
        """Return the result for the same pair in another library or on another device, in which it is returned."""
        array = pair.fixed.scan.data
        return replace(
            self,
            transform=_like(self.transform, array),
            warped=self.warped.like(array),
            pair=pair,
            inverse=None if self.inverse is None else _like(self.inverse, array),
            uncertainty=None if self.uncertainty is None else self.uncertainty.like(array),
        )

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
        """The complete settings that were used."""
        return self.resolved.settings

    @property
    def displacement(self) -> DisplacementField:
        """The displacement without the affine, on the fixed grid."""
        part = self.transform.parts[0]
        if not isinstance(part, DisplacementField):
            raise TypeError("the first part of a registration's transform is its displacement")
        return part

    @property
    def affine(self) -> Affine:
        """The affine without the displacement; the identity if the stage was skipped."""
        part = self.transform.parts[1]
        if not isinstance(part, Affine):
            raise TypeError("the second part of a registration's transform is its affine")
        return part


def _like(transform: Composite, array: Array) -> Composite:
    """Return a chain with its displacements in the library and on the device of an array."""
    parts = (
        replace(part, data=shared(part.data, array)) if isinstance(part, DisplacementField) else part
        for part in transform.parts
    )
    return Composite(tuple(parts))
