"""A discrete start: which of many displacements fits best, cell by cell, made smooth in turns."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learngn.errors import SettingsError, ShapeError
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.optimise.matching import CellCosts, sampled, window


@dataclass(frozen=True)
class DiscreteStart:
    """Coupled convex search for a displacement too large for a linearisation.

    Attributes
    ----------
    reach : float, optional
        Longest displacement beside the affine [mm]; by default a tenth of the fixed image's longest side.
    radii : tuple of int
        Half-width of every scale's window in steps. The first step is `reach` over the first radius, each further one
        half of the last: a wide window for the large shape, then a narrow one about what has been found.
    cell : int
        Steps along a side of the cells that are displaced as a whole.
    coupling : tuple of float
        θ of every turn, rising.
    lam : float
        λ of the diffusion. A turn smooths over about ``step √(λ/θ)``.
    symmetric : bool
        Search in both directions and make the two displacements inverse to each other. Twice the work.
    memory : int
        What a search may hold [bytes]; steps grow until it fits.

    Notes
    -----
    On each scale the energy ``Σ_x c(x, d(x)) + θ |d(x) - u(x)|² + λ <u, R u>`` falls in turns: by d over the window of
    whole steps, cell by cell and so exactly, and by u, the solution of ``(θ W I + λ R) u = θ W d``. c is the mean
    squared difference of the features over a cell, in units of what is typically at stake, so that θ suits any;
    displacements in the coupling are in steps. W is what is at stake in a cell, the mean cost over the window beyond
    the lowest: a flat cell takes its displacement from its neighbours, and so does one whose best match lies at the
    window's border (a better one may lie beyond) or outside the moving image (where the cost is the cell's mean).

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
                "discrete start", got, "one radius at least, and whole numbers above zero", "correct it"
            )
        rising = all(a <= b for a, b in pairwise(self.coupling))
        if not self.coupling or not rising or not 0 < self.coupling[0] < math.inf or not 0 < self.lam < math.inf:
            got = f"coupling {self.coupling}, λ {self.lam}"
            raise SettingsError("discrete start", got, "positive couplings that rise, and λ > 0", "correct it")

    @torch.no_grad()
    def __call__(
        self, fixed: FeatureImage, moving: FeatureImage, world: FloatArray, *, weight: Tensor | None = None
    ) -> Tensor:
        """Find a displacement; it has no derivative.

        Parameters
        ----------
        fixed, moving : FeatureImage
            Features with the same channels; the grids may differ.
        world : array, shape (D+1, D+1)
            Affine that follows the displacement, fixed RAS mm to moving RAS mm.
        weight : Tensor, shape (N, 1, *S), optional
            How much each voxel of the fixed features counts, beside their own weight.

        Returns
        -------
        Tensor, shape (N, D, *T) [voxel of its own grid]
            Over the fixed grid's extent, a few voxels a side: what :meth:`learngn.optimise.GaussNewton.forward` takes
            as `initial`.

        Raises
        ------
        ShapeError
            If the channels or samples of the two differ, or the weight does not lie on the fixed features' grid.
        """
        fixed, moving = _known(_weighted(fixed, weight)), _known(moving)
        if fixed.data.shape[:2] != moving.data.shape[:2]:
            raise ShapeError(
                "moving features",
                f"{tuple(moving.data.shape[:2])} samples and channels",
                f"the fixed features' {tuple(fixed.data.shape[:2])}",
                "compute the features of both images together",
            )
        reach = 0.1 * float(fixed.grid.extent.max()) if self.reach is None else self.reach
        wanted = reach / self.radii[0]
        fields: list[Tensor] = []
        for radius in self.radii:
            step, offsets = self._window(fixed, wanted, radius)
            fields = self._search(fixed, moving, world, step, offsets, fields)
            wanted = step / 2
        return fields[0]

    def _grids(self, fixed: Grid, step: float) -> tuple[Grid, Grid]:
        """Cells, and the lattice of voxels of about `step` mm that divides them."""
        cells = fixed.coarsened(self.cell * step)
        parts = [max(1, round(size / step)) for size in cells.spacing]
        return cells, cells.resized([k * n for k, n in zip(parts, cells.shape, strict=True)])

    def _window(self, fixed: FeatureImage, step: float, radius: int) -> tuple[float, NDArray[np.int64]]:
        """Step [mm] and offsets [voxel of the lattice] of a scale, within the memory."""
        reach = radius * step
        while True:
            cells, lattice = self._grids(fixed.grid, step)
            # No finer than the features: a window in steps that do not exist would shrink to nothing.
            offsets = window(lattice.spacing, max(reach, radius * float(lattice.spacing.min())), 4 * radius)
            # Cost, coverage and a temporary of their size; features of both images, as they come and as rows.
            held = 3 * len(offsets) * cells.size + 4 * fixed.data.shape[1] * lattice.size
            if len(fixed.data) * held * fixed.data.element_size() <= self.memory or cells.size == 1:
                return step, offsets
            step *= 2 ** (1 / 3)

    def _search(
        self,
        fixed: FeatureImage,
        moving: FeatureImage,
        world: FloatArray,
        step: float,
        offsets: NDArray[np.int64],
        fields: list[Tensor],
    ) -> list[Tensor]:
        """One scale: the displacement of the cells from the fixed image, and if symmetric that from the moving one."""
        cells, lattice = self._grids(fixed.grid, step)
        ours, theirs = _on_lattice(fixed, lattice), moving.on(moving.grid.coarsened(step))
        to_moving = lattice.index_map(theirs.grid, world)
        zero = fixed.data.new_zeros((len(fixed.data), lattice.ndim, *cells.shape))
        starts = [sampling.resize_field(u, cells.shape) for u in fields] or [zero, zero]
        costs = [CellCosts.of(ours, theirs, to_moving, cells, step, offsets, starts[0])]
        if self.symmetric:
            moved = sampled(theirs, None, to_moving, lattice)
            costs.append(
                CellCosts.of(moved, ours, sampling.identity_map(lattice.ndim), cells, step, offsets, starts[1])
            )
        found = starts[: len(costs)]
        for theta in self.coupling:
            found = [c.smoothed(*c.best(u, theta), theta, self.lam) for c, u in zip(costs, found, strict=True)]
        return _consistent(found) if self.symmetric else found


def _weighted(image: FeatureImage, weight: Tensor | None) -> FeatureImage:
    """Features whose weight is multiplied by another."""
    if weight is None:
        return image
    if weight.shape != (len(image.data), 1, *image.grid.shape):
        raise ShapeError(
            "weight",
            f"shape {tuple(weight.shape)}",
            f"{(len(image.data), 1, *image.grid.shape)}",
            "give it on the grid of the fixed features",
        )
    return replace(image, weight=weight if image.weight is None else weight * image.weight)


def _known(image: FeatureImage) -> FeatureImage:
    """Features carried on to where they do not count: averages and interpolation look at neighbours."""
    if image.weight is None:
        return image
    return replace(image, data=sampling.filled(image.data, image.weight > 0))


def _on_lattice(image: FeatureImage, lattice: Grid) -> FeatureImage:
    """Area average; interpolated along an axis whose voxels are larger than the lattice's."""
    shape = [min(n, m) for n, m in zip(image.grid.shape, lattice.shape, strict=True)]
    pooled = image.on(image.grid.resized(shape))
    weight = None if pooled.weight is None else sampling.resize(pooled.weight, lattice.shape).clamp(0, 1)
    return FeatureImage(sampling.resize(pooled.data, lattice.shape), lattice, weight)


def _consistent(fields: list[Tensor], rounds: int = 4) -> list[Tensor]:
    """Two displacements brought closer to each other's inverse: each gives way by half of what is missing."""
    there, back = fields
    for _ in range(rounds):
        there, back = there - sampling.compose(back, there) / 2, back - sampling.compose(there, back) / 2
    return [there, back]
