"""Linear pre-alignment on one level: energy, normal equations, iterations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import Array, as_numpy, channels_last, in_order, lattice, namespace
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray
from learngn.kernels.stencils import block_index
from learngn.linearise import Analytic, NormalEquations
from learngn.optimise.agreement import overlap_of, spread_of
from learngn.optimise.correlation import weight_of
from learngn.optimise.families import Family, exponential

_FARTHEST = 10.0  # largest parameter of a step: a translation by the extent, or a scale of e^10


@dataclass(frozen=True)
class LinearLimits:
    """Limits and penalty of a linear map.

    Attributes
    ----------
    overlap : float
        Least fraction of the smaller image that must be covered; images that overlap less may agree by chance.
    scale : float
        Largest stretch along any axis; its inverse is the largest shrinkage.
    stiffness : float
        Penalty of a stretch or shear of 100 %, relative to the energy.
    """

    overlap: float = 0.3
    scale: float = 2.0
    stiffness: float = 0.5


@dataclass(frozen=True, eq=False)
class LinearState:
    """Linear map, with its energy and the linearisation there."""

    matrix: FloatArray
    normal: NormalEquations
    strain: FloatArray  # symmetric (D, D): logarithm of the stretch
    data: float  # mean of ½ w |f|² over the overlap; infinite for a map beyond the limits
    stiff: float  # penalty of the strain, as a fraction of `data`

    @property
    def energy(self) -> float:
        """Energy that is minimised: data term and penalty of the strain."""
        return self.data * (1 + self.stiff)


class LinearProblem:
    """Linear registration problem of a pair on one level.

    Parameters
    ----------
    fixed, moving : FeatureImage
        Features on a coarse grid; their weights, if any, weight the residual, as in a dense registration.
    limits : LinearLimits
    """

    def __init__(self, fixed: FeatureImage, moving: FeatureImage, limits: LinearLimits) -> None:
        # Sampling is fastest with channels last, differences with channels first.
        self.fixed = replace(fixed, data=in_order(fixed.data))
        self.moving = replace(moving, data=channels_last(moving.data))
        self.limits, self.grid = limits, fixed.grid
        amounts = (_amount(image) for image in (fixed, moving))
        # Coverage refers to the smaller image: a scan of the liver alone cannot cover one of the trunk.
        self._smaller = min(amounts)

    def compared(self, matrix: FloatArray) -> tuple[Array, Array, float]:
        """Return warped features (1, C, *S), weight (1, 1, *S), and the fraction of the smaller image covered."""
        shape, moving = self.grid.shape, self.moving
        to_moving = self.grid.index_map(moving.grid, matrix)
        warped = sampling.warp(moving.data, None, to_moving, shape)
        xp, inside = namespace(warped), sampling.inside(moving.grid.shape, None, to_moving, shape, warped)
        weight = xp.astype(inside, warped.dtype)
        if moving.weight is not None:
            weight = weight * sampling.warp(moving.weight, None, to_moving, shape)
        if self.fixed.weight is not None:
            weight = weight * self.fixed.weight
        covered = float(xp.sum(weight)) * float(np.prod(self.grid.spacing))
        return warped, weight, covered / max(self._smaller, np.finfo(np.float64).tiny)

    def state(self, matrix: FloatArray) -> LinearState:
        """Evaluate the energy and its linearisation."""
        warped, weight, covered = self.compared(matrix)
        normal = Analytic().normal_equations(self.fixed.data, warped, weight)
        left, stretch, _ = np.linalg.svd(matrix[:-1, :-1].T)
        strain = (left * np.log(stretch)) @ left.T
        allowed = covered >= self.limits.overlap and np.exp(abs(np.log(stretch)).max()) < self.limits.scale
        data = (
            float(normal.energy.sum()) / max(float(namespace(weight).sum(weight)), 1e-12) if allowed else float("inf")
        )
        return LinearState(matrix, normal, strain, data, self.limits.stiffness * float((strain**2).sum()) / 2)

    def refine(self, matrix: FloatArray, family: Family, iterations: int) -> LinearState:
        """Refine a map by Levenberg-Marquardt iterations."""
        generators = family.generators(self.grid)
        # The displacement of a generator in voxels at index x is in_voxels @ [x, 1].
        in_voxels = (np.linalg.inv(self.grid.affine) @ generators @ self.grid.affine)[:, : self.grid.ndim]
        state, damping = self.state(matrix), 1e-3
        for _ in range(iterations):
            hessian, gradient = self._project(state, generators, in_voxels)
            step = -np.linalg.solve(hessian + damping * np.diag(np.diag(hessian) + 1e-12), gradient)
            # For contradictory scans, for example one and its negative, steps can be too large for a finite result.
            change = exponential(np.tensordot(step.clip(-_FARTHEST, _FARTHEST), generators, 1))
            trial = self.state(state.matrix @ change)
            if trial.energy < state.energy:
                settled = state.energy - trial.energy < 1e-4 * state.energy
                state, damping = trial, damping / 4
                if settled:
                    break
            else:
                damping *= 8
                if damping > 1e4:
                    break
        return state

    def agreement(self, matrix: FloatArray) -> tuple[float, float]:
        """Return the concordance over the overlap, and the fraction of the smaller image that is covered."""
        warped, weight, covered = self.compared(matrix)
        if covered < self.limits.overlap:
            return -1.0, covered
        return float(overlap_of(self.fixed.data, warped, weight).concordance(self._spread)), covered

    @cached_property
    def _spread(self) -> float:
        return spread_of((self.fixed.data, self.moving.data), (weight_of(self.fixed), weight_of(self.moving)))

    @cached_property
    def _monomials(self) -> tuple[Array, Array]:
        """Homogeneous index of every voxel, (V, D+1), and the products of pairs of its entries, (V, K)."""
        xp = namespace(self.fixed.data)
        x = xp.reshape(lattice(self.grid.shape, self.fixed.data, xp.float64), (self.grid.ndim, -1))
        x = xp.concat([x, xp.ones_like(x[:1])])
        return x.T, xp.stack([x[i] * x[j] for i, j in block_index(len(x))], axis=1)

    def _project(
        self, state: LinearState, generators: FloatArray, in_voxels: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return Hessian, (P, P), and gradient, (P,), of the sum over the voxels by the family's parameters."""
        x, products = self._monomials
        force, moments = (
            as_numpy(_in_double(values) @ monomials)
            for values, monomials in ((state.normal.gradient, x), (state.normal.blocks, products))
        )
        rows, columns = (_entries(n) for n in in_voxels.shape[1:])
        second = moments[rows[:, None, :, None], columns[None, :, None, :]].reshape(force.size, force.size)
        flat = in_voxels.reshape(len(in_voxels), -1)
        gradient, hessian = flat @ force.reshape(-1), flat @ second @ flat.T
        # The strain of T exp(P) grows by the symmetric part of P.
        energy = float(state.normal.energy.sum())
        penalty = self.limits.stiffness * energy if np.isfinite(state.data) else 0.0
        linear = generators[:, :-1, :-1]
        symmetric = (linear + linear.transpose(0, 2, 1)) / 2
        gradient = gradient * (1 + state.stiff) + penalty * np.einsum("kab,ab->k", symmetric, state.strain)
        hessian = hessian * (1 + state.stiff) + penalty * np.einsum("kab,lab->kl", symmetric, symmetric)
        return hessian, gradient


@lru_cache(maxsize=4)
def _entries(n: int) -> NDArray[np.int64]:
    """Return where the entries of a symmetric matrix, (n, n), are stored in its upper triangle."""
    entries = np.zeros((n, n), dtype=np.int64)
    for k, (a, b) in enumerate(block_index(n)):
        entries[a, b] = entries[b, a] = k
    return entries


def _in_double(values: Array) -> Array:
    """Return values of one image, (1, K, *S), in double precision: (K, V)."""
    xp = namespace(values)
    return xp.astype(xp.reshape(values, (values.shape[1], -1)), xp.float64)


def _amount(image: FeatureImage) -> float:
    """Return the extent of an image times its mean weight [mm^D]."""
    part = 1.0 if image.weight is None else float(namespace(image.weight).mean(image.weight))
    return part * float(np.prod(image.grid.extent))
