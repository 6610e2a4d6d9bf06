"""Discrete start: a search among many displacements cell by cell, alternating with smoothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import Array, clamped, without_gradient, zeros
from learngn.errors import SettingsError, ShapeError
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.optimise.matching import CellCosts, sampled, window


@dataclass(frozen=True)
class DiscreteStart:
    """Coupled convex search for displacements that are too large for a linearisation.

    Attributes
    ----------
    reach : float, optional
        Longest displacement beside the affine [mm]; by default a tenth of the fixed image's longest side.
    radii : tuple of int
        Half-width of the window of every scale, in steps. The first step is `reach` over the first radius, each further
        step half of the previous one: a wide window for large displacements, then a narrow one around the result.
    cell : int
        Side of the cells in steps; a cell is displaced as a whole.
    coupling : tuple of float
        θ of every iteration, ascending.
    lam : float
        Weight λ of the diffusion. An iteration smooths over about ``step √(λ/θ)``.
    symmetric : bool
        Search in both directions and make the two displacements inverse to each other, at twice the cost.
    memory : int
        Memory limit of a search [bytes]; steps are enlarged until it is met.

    Notes
    -----
    On each scale the energy ``Σ_x c(x, d(x)) + θ |d(x) - u(x)|² + λ <u, R u>`` is minimised alternately: by d over the
    window of whole steps, exactly, cell by cell; and by u, the solution of ``(θ W I + λ R) u = θ W d``. c is the mean
    squared difference of the features over a cell, divided by a typical W, so that θ need not depend on the features;
    displacements in the coupling are in steps. W, the importance of a cell, is the mean minus the lowest cost of the
    window: a flat cell takes its displacement from its neighbours. So does a cell whose best match lies on the window's
    border (a better one may lie beyond it) or outside the moving image (where the cost is the cell's mean).

    References
    ----------
    Heinrich, Papież, Schnabel and Handels, "Non-parametric discrete registration with convex optimisation", WBIR 2014.
    Siebert, Grossbröhmer, Hansen and Heinrich, "ConvexAdam: self-configuring dual-optimisation-based 3D multitask
    medical image registration", IEEE TMI 2024.
    """

    reach: float | None = None
    radii: tuple[int, ...] = (4, 2)
    cell: int = 2
    coupling: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    lam: float = 0.1
    symmetric: bool = False
    memory: int = 2**29

    def __post_init__(self) -> None:
        if self.reach is not None and not 0 < self.reach < math.inf:
            raise SettingsError(
                "reach", f"{self.reach} mm", "a positive length", "leave it out for a tenth of the side"
            )
        if not self.radii or min(self.radii) < 1 or self.cell < 1 or self.memory < 1:
            got = f"radii {self.radii}, cell {self.cell}, memory {self.memory}"
            raise SettingsError(
                "discrete start", got, "at least one radius, and whole numbers above zero", "correct it"
            )
        rising = all(a <= b for a, b in pairwise(self.coupling))
        if not self.coupling or not rising or not 0 < self.coupling[0] < math.inf or not 0 < self.lam < math.inf:
            got = f"coupling {self.coupling}, λ {self.lam}"
            raise SettingsError("discrete start", got, "ascending positive couplings, and λ > 0", "correct it")

    def __call__(
        self, fixed: FeatureImage, moving: FeatureImage, world: FloatArray, *, weight: Array | None = None
    ) -> Array:
        """Search for a displacement, without derivative.

        Parameters
        ----------
        fixed, moving : FeatureImage
            Features with the same channels; the grids may differ.
        world : array, shape (D+1, D+1)
            Affine applied after the displacement, fixed RAS mm to moving RAS mm.
        weight : Array, shape (N, 1, *S), optional
            Weight of each voxel of the fixed features, which multiplies their own weight.

        Returns
        -------
        Array, shape (N, D, *T) [voxel of its own grid]
            Displacement on a coarse grid over the fixed grid's extent, for the parameter `initial` of
            :class:`learngn.optimise.GaussNewton`.

        Raises
        ------
        ShapeError
            If the numbers of channels or samples differ, or the weight is not on the fixed features' grid.
        """
        with without_gradient():
            fixed, moving = _known(_weighted(fixed, weight)), _known(moving)
            _check_channels(fixed, moving)
            reach = 0.1 * float(fixed.grid.extent.max()) if self.reach is None else self.reach
            target = reach / self.radii[0]
            fields: list[Array] = []
            for radius in self.radii:
                step, offsets = self._window(fixed, target, radius)
                fields = self._search(fixed, moving, world, step, offsets, fields)
                target = step / 2
        return fields[0]

    def _grids(self, fixed: Grid, step: float) -> tuple[Grid, Grid]:
        """Return the grid of cells, and the lattice of voxels of about `step` mm that subdivides them."""
        cells = fixed.coarsened(self.cell * step)
        parts = [max(1, round(size / step)) for size in cells.spacing]
        return cells, cells.resized([k * n for k, n in zip(parts, cells.shape, strict=True)])

    def _window(self, fixed: FeatureImage, step: float, radius: int) -> tuple[float, NDArray[np.int64]]:
        """Return step [mm] and offsets [voxel of the lattice] of a scale, within the memory limit."""
        reach = radius * step
        while True:
            cells, lattice = self._grids(fixed.grid, step)
            # The lattice is never finer than the features; with a smaller reach the window could contain zero only.
            offsets = window(lattice.spacing, max(reach, radius * float(lattice.spacing.min())), 4 * radius)
            # Cost, coverage and a temporary array of this size; features of both images in two layouts.
            numbers = 3 * len(offsets) * cells.size + 4 * fixed.data.shape[1] * lattice.size
            if len(fixed.data) * numbers * fixed.data.itemsize <= self.memory or cells.size == 1:
                return step, offsets
            step *= 2 ** (1 / 3)

    def _search(
        self,
        fixed: FeatureImage,
        moving: FeatureImage,
        world: FloatArray,
        step: float,
        offsets: NDArray[np.int64],
        fields: list[Array],
    ) -> list[Array]:
        """Search on one scale: return the displacement of the fixed image's cells, and if symmetric its inverse."""
        cells, lattice = self._grids(fixed.grid, step)
        coarse_fixed, coarse_moving = _on_lattice(fixed, lattice), moving.on(moving.grid.coarsened(step))
        to_moving = lattice.index_map(coarse_moving.grid, world)
        zero = zeros((len(fixed.data), lattice.ndim, *cells.shape), fixed.data)
        starts = [sampling.resize_field(u, cells.shape) for u in fields] or [zero, zero]
        costs = [CellCosts.of(coarse_fixed, coarse_moving, to_moving, cells, step, offsets, starts[0])]
        if self.symmetric:
            moved = sampled(coarse_moving, None, to_moving, lattice)
            costs.append(
                CellCosts.of(moved, coarse_fixed, sampling.identity_map(lattice.ndim), cells, step, offsets, starts[1])
            )
        results = starts[: len(costs)]
        for theta in self.coupling:
            results = [c.smoothed(*c.best(u, theta), theta, self.lam) for c, u in zip(costs, results, strict=True)]
        return _consistent(results) if self.symmetric else results


def _check_channels(fixed: FeatureImage, moving: FeatureImage) -> None:
    if tuple(fixed.data.shape[:2]) != tuple(moving.data.shape[:2]):
        raise ShapeError(
            "moving features",
            f"{tuple(moving.data.shape[:2])} samples and channels",
            f"the fixed features' {tuple(fixed.data.shape[:2])}",
            "compute the features of both images together",
        )


def _weighted(image: FeatureImage, weight: Array | None) -> FeatureImage:
    """Return features whose weight is multiplied by another one."""
    if weight is None:
        return image
    if tuple(weight.shape) != (len(image.data), 1, *image.grid.shape):
        raise ShapeError(
            "weight",
            f"shape {tuple(weight.shape)}",
            f"{(len(image.data), 1, *image.grid.shape)}",
            "give it on the grid of the fixed features",
        )
    return replace(image, weight=weight if image.weight is None else weight * image.weight)


def _known(image: FeatureImage) -> FeatureImage:
    """Fill in features where their weight is zero, as averages and interpolation use neighbouring voxels."""
    if image.weight is None:
        return image
    return replace(image, data=sampling.filled(image.data, image.weight > 0))


def _on_lattice(image: FeatureImage, lattice: Grid) -> FeatureImage:
    """Average features onto a lattice; interpolate along axes whose voxels are larger than those of the lattice."""
    shape = [min(n, m) for n, m in zip(image.grid.shape, lattice.shape, strict=True)]
    pooled = image.on(image.grid.resized(shape))
    weight = None if pooled.weight is None else clamped(sampling.resize(pooled.weight, lattice.shape), 0, 1)
    return FeatureImage(sampling.resize(pooled.data, lattice.shape), lattice, weight)


def _consistent(fields: list[Array], rounds: int = 4) -> list[Array]:
    """Make two displacements more nearly inverse to each other: each is corrected by half of the error, repeatedly."""
    there, back = fields
    for _ in range(rounds):
        there, back = there - sampling.compose(back, there) / 2, back - sampling.compose(there, back) / 2
    return [there, back]
