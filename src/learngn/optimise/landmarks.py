"""Landmarks that guide the registration: pairs of corresponding points, as a term of the energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learngn.arrays import Array, like, namespace
from learngn.errors import LandmarkError
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid, apply_affine
from learngn.kernels.stencils import block_index
from learngn.linearise import NormalEquations
from learngn.optimise.update import halves


@dataclass(frozen=True, eq=False)
class LandmarkPairs:
    """Points of the fixed image and the corresponding points of the moving image.

    Attributes
    ----------
    fixed, moving : array, shape (M, D) [RAS mm]
    weight : float
        β [feature² / mm²]: the mean squared distance of the landmarks counts as β times that of the features.
    confidence : array, shape (M,), optional
        Relative confidence of each pair; by default one.
    scale : float
        Distance above which a pair counts less [mm], by the loss of Geman and McClure, as matched key points have
        outliers. Infinite for the squared distance.

    Raises
    ------
    LandmarkError
        If the numbers of points differ, a number is not finite, or the weight or the scale is not positive.
    """

    fixed: FloatArray
    moving: FloatArray
    weight: float = 1.0
    confidence: FloatArray | None = None
    scale: float = float("inf")

    def __repr__(self) -> str:
        count, ndim = np.shape(self.fixed)
        return f"LandmarkPairs({count} pairs, {ndim}D, weight {self.weight:g}, scale {self.scale:g} mm)"

    def __post_init__(self) -> None:
        shapes = np.shape(self.fixed), np.shape(self.moving)
        if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][1] not in (2, 3) or not shapes[0][0]:
            raise LandmarkError(
                "landmarks",
                f"{shapes[0]} fixed and {shapes[1]} moving coordinates",
                "as many points in both, (M, 2) or (M, 3)",
                "check the files: a row of the one belongs to the same row of the other",
            )
        weights = np.ones(shapes[0][0]) if self.confidence is None else np.asarray(self.confidence, dtype=np.float64)
        if weights.shape != shapes[0][:1] or not (weights >= 0).all() or not 0 < weights.sum() < float("inf"):
            raise LandmarkError(
                "confidence of the landmarks", f"shape {weights.shape}", "a number ≥ 0 a pair, one above 0", "check it"
            )
        if not (np.isfinite(self.fixed).all() and np.isfinite(self.moving).all()):
            raise LandmarkError("landmarks", "NaN or infinity", "finite coordinates", "check the files")
        if not 0 < self.weight < float("inf") or not self.scale > 0:
            raise LandmarkError(
                "landmarks", f"weight {self.weight:g}, scale {self.scale:g}", "positive numbers", "choose others"
            )


def refuse_landmarks(landmarks: LandmarkPairs | None, method: str) -> None:
    """Raise :class:`LandmarkError` if landmarks are given to a method that does not support them."""
    if landmarks is not None:
        raise LandmarkError("landmarks", f"the method {method}", "Gauss-Newton", "leave them out, or the other method")


def check_landmarks(landmarks: LandmarkPairs, samples: int, ndim: int) -> None:
    """Raise :class:`LandmarkError` unless landmarks fit a registration of one sample of `ndim` dimensions."""
    if samples != 1:
        raise LandmarkError("landmarks", f"{samples} samples", "one pair of images", "register one by one")
    if np.shape(landmarks.fixed)[1] != ndim:
        raise LandmarkError(
            "landmarks", f"{np.shape(landmarks.fixed)[1]}D", f"{ndim}D, as the images are", "check the files"
        )


class LandmarkTerm:
    """Energy term ``½ β V/M Σ_k c_k ρ(|x_k + u(x_k) - y_k|²)`` on a grid of V voxels, for M pairs (x_k, y_k).

    Its matrix in the normal equations is lumped: the off-diagonal weights of a row are added to its diagonal, so that
    the data term keeps one block per voxel. The lumped matrix is an upper bound of the true one, so that a step never
    overshoots.

    Parameters
    ----------
    pairs : LandmarkPairs
    grid : Grid
        Grid of the displacement.
    world : array, shape (D+1, D+1)
        Affine applied after the displacement, fixed RAS mm to moving RAS mm.
    of : Array
        Array with the library, type and device to use.
    """

    def __init__(self, pairs: LandmarkPairs, grid: Grid, world: FloatArray, of: Array) -> None:
        self.shape, ndim = grid.shape, grid.ndim
        self.fixed = like(grid.world_to_index(pairs.fixed), of)
        before = np.asarray(np.linalg.inv(world), dtype=np.float64)
        self.moving = like(grid.world_to_index(apply_affine(before, pairs.moving)), of)
        confidence = np.ones(len(pairs.fixed)) if pairs.confidence is None else np.asarray(pairs.confidence)
        self.weight = like(pairs.weight * grid.size / confidence.sum() * confidence, of)
        self.squared_spacing = grid.spacing**2  # [mm² / voxel²]
        self.metric = like(self.squared_spacing, of)
        self.scale = pairs.scale
        self.diagonal = [k for k, (a, b) in enumerate(block_index(ndim)) if a == b]
        self.blocks = len(block_index(ndim))

    def add_to(self, normal: NormalEquations, u: Array) -> NormalEquations:
        """Add the landmarks to normal equations, at a displacement (1, D, *S), or (2, D, *S) of a symmetric update."""
        xp = namespace(u)
        into_moving, into_fixed = (u, None) if len(u) == 1 else halves(u)
        at = self.fixed
        if into_fixed is not None:  # find the point half-way that is mapped to the point of the fixed image
            for _ in range(5):
                at = self.fixed - sampling.sample_points(into_fixed, at)
        error = at + sampling.sample_points(into_moving, at) - self.moving  # [voxel]
        squared = xp.sum(error**2 * self.metric, axis=1)
        factor = 1 / (1 + squared / self.scale**2)  # ρ(s) = s · factor, ρ'(s) = factor²
        point_weight = self.weight * factor**2
        gradient = sampling.splat_points(point_weight[:, None] * error * self.metric, at, self.shape)
        weight = sampling.splat_points(point_weight[:, None], at, self.shape)
        metric = np.zeros((1, self.blocks, *[1] * len(self.shape)))
        metric[0, self.diagonal] = self.squared_spacing.reshape(-1, *[1] * len(self.shape))
        energy = xp.sum(self.weight * squared * factor, dtype=xp.float64) / 2
        return NormalEquations(
            normal.blocks + weight * like(metric, weight), normal.gradient + gradient, normal.energy + energy
        )
