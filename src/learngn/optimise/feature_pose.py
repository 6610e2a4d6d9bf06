"""Linear map of learned features, whose values are high inside the structures that they have learned."""

from __future__ import annotations

from learngn.arrays import Array, clamped, namespace
from learngn.features import FeatureImage
from learngn.geometry.grid import FloatArray
from learngn.optimise.affine import AffineGaussNewton, AffineResult, centre_of_mass, translation_starts
from learngn.optimise.families import Family


def pose_by_features(
    fixed: FeatureImage, moving: FeatureImage, family: Family, starts: dict[str, FloatArray] | None = None
) -> AffineResult:
    """Find a linear map by features that see the same structures in both scans, wherever these lie.

    By default its starts are the headers' position, that of centre to centre, and that of the structures' centre to
    centre.

    Parameters
    ----------
    fixed, moving : FeatureImage
        Learned features, (1, C, *S).
    family : Family
        Family of linear maps.
    starts : dict of arrays, shape (D+1, D+1), optional
        Other initial maps by name, fixed RAS mm to moving RAS mm.
    """
    if starts is not None:
        return AffineGaussNewton(family)(fixed, moving, starts)
    masses = _centre(fixed), _centre(moving)
    return AffineGaussNewton(family)(fixed, moving, translation_starts(fixed.grid, moving.grid, masses))


def _centre(image: FeatureImage) -> FloatArray:
    """Return the centre of the positive values of all channels [RAS mm]."""
    xp = namespace(image.data)
    inside: Array = clamped(image.data[:1, :1], 0, float("inf"))
    for channel in range(1, image.data.shape[1]):
        inside = inside + clamped(image.data[:1, channel : channel + 1], 0, float("inf"))
    return centre_of_mass(xp.asarray(inside), image.grid)
