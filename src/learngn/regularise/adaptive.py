"""Spatially varying diffusion: organs may slide along their boundaries."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from learngn.arrays import Array, as_numpy, clamped, namespace, shared, single
from learngn.errors import ImageError, SettingsError
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image
from learngn.regularise.diffusion import Diffusion
from learngn.regularise.faces import between, pool_faces
from learngn.regularise.stiffness import Stiffness

# Label outside the extent of a label map; there is no boundary against it.
_UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class Adaptive:
    """Diffusion with a conductivity: ½ Σ_x Σ_ab c_b (∂u_a/∂x_b)², displacement in mm per mm, c ≥ 0 between voxels.

    Made by :meth:`of_weights`, :meth:`across_labels` or :meth:`across_edges`, from an image in the fixed image's world.

    Attributes
    ----------
    image : Image
        Image from which the conductivity is computed.
    rule : callable
        Maps values (1, 1, *S) and spacing [mm] to c between each voxel and the next along every axis, (1, D, *S).

    Notes
    -----
    c is computed at the image's own resolution and brought to every level as conductances are: in series along an
    axis, in parallel across it. A boundary is thus preserved on coarse levels, as is the stiffness along it.

    References
    ----------
    Perona and Malik, "Scale-space and edge detection using anisotropic diffusion", 1990. Schmidt-Richberg et al.,
    "Estimation of slipping organ motion by registration with direction-dependent regularization", 2012.
    """

    image: Image
    rule: Callable[[Array, FloatArray], Array]

    @classmethod
    def of_weights(cls, weights: Image) -> Adaptive:
        """Make a regulariser from a weight of every voxel; between two voxels their harmonic mean is used.

        Raises
        ------
        ImageError
            If a weight is negative or not finite.
        """
        xp, data = namespace(weights.data), single(weights.data)
        if not bool(xp.all((data >= 0) & xp.isfinite(data))):
            raise ImageError(
                "weights of the regulariser",
                f"values from {float(xp.min(data)):g} to {float(xp.max(data)):g}",
                "finite values, none below zero",
                "1 is plain diffusion, 0 lets neighbours part",
            )
        return cls(Image(data, weights.grid), _harmonic)

    @classmethod
    def across_labels(cls, labels: Image, across: float = 0.05) -> Adaptive:
        """Make a regulariser with the weight `across` between voxels of different labels, and one elsewhere.

        The background counts as a label; a mask is a map of one label.

        Raises
        ------
        SettingsError
            If `across` is not between 0 and 1.
        """
        if not 0 <= across <= 1:
            raise SettingsError("weight across boundaries", f"{across:g}", "0 to 1", "1 is plain diffusion")

        def rule(data: Array, spacing: FloatArray) -> Array:
            def face(a: Array, b: Array, axis: int) -> Array:
                apart = (a != b) & (a != _UNKNOWN) & (b != _UNKNOWN)
                return 1 - (1 - across) * single(apart)

            return between(data, face)

        xp = namespace(labels.data)
        return cls(Image(xp.astype(labels.data, xp.int32), labels.grid, labels=True), rule)

    @classmethod
    def across_edges(
        cls, image: Image, *, contrast: float | None = None, least: float = 0.1, spacing: float = 3.0
    ) -> Adaptive:
        """Make a regulariser with the weight ``least + (1 - least) / (1 + (g/κ)²)``, g the difference of two voxels.

        Parameters
        ----------
        image : Image
        contrast : float, optional
            κ [intensity per mm], the unit of g; by default the 90 % quantile of g.
        least : float
            Weight across the strongest edge, 0 to 1.
        spacing : float
            The image is first averaged over voxels of about this size [mm], which suppresses noise.

        Raises
        ------
        SettingsError
            If the contrast is not positive or `least` not between 0 and 1.
        """
        if contrast is not None and not 0 < contrast < math.inf:
            raise SettingsError("contrast of an edge", f"{contrast:g}", "a positive number", "leave it out")
        if not 0 <= least <= 1:
            raise SettingsError("weight across edges", f"{least:g}", "0 to 1", "1 is plain diffusion")
        grid = image.grid.coarsened(spacing)
        smooth = Image(sampling.pool(single(image.data), grid.shape), grid)
        slopes = between(smooth.data, lambda a, b, axis: abs(b - a) / float(grid.spacing[axis]))
        scale = float(np.quantile(as_numpy(slopes), 0.9)) if contrast is None else contrast
        scale = max(scale, float(np.finfo(np.float32).tiny))

        def rule(data: Array, spacing: FloatArray) -> Array:
            def face(a: Array, b: Array, axis: int) -> Array:
                return least + (1 - least) / (1 + ((b - a) / (float(spacing[axis]) * scale)) ** 2)

            return between(data, face)

        return cls(smooth, rule)

    def stiffness(self, grid: Grid, like: Array) -> Stiffness:
        """See :meth:`Regulariser.stiffness`."""
        index = grid.index_map(self.image.grid)
        # About as many voxels along every axis as the image has, but never fewer than the grid.
        steps = np.linalg.norm(index[:-1, :-1], axis=0)
        shape = [max(n, round(n * float(step))) for n, step in zip(grid.shape, steps, strict=True)]
        xp, fine = namespace(like), grid.resized(shape)
        to_image, data = fine.index_map(self.image.grid), shared(self.image.data, like)
        if self.image.labels:
            values = sampling.warp_nearest(data, None, to_image, shape, outside=_UNKNOWN)
        else:
            values = sampling.warp(xp.astype(data, like.dtype), None, to_image, shape)
        faces = pool_faces(xp.astype(self.rule(values, fine.spacing), like.dtype), grid.shape)
        return Stiffness(Diffusion().stiffness(grid, like).weights, faces)


def _harmonic(data: Array, spacing: FloatArray) -> Array:
    def face(a: Array, b: Array, axis: int) -> Array:
        return 2 * a * b / clamped(a + b, float(namespace(a).finfo(a.dtype).smallest_normal))

    return between(data, face)
