"""Adam on the displacement: the first-order baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from learngn import kernels
from learngn.arrays import Array, as_numpy, is_tensor
from learngn.errors import SettingsError
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray
from learngn.optimise.gauss_newton import Optimised
from learngn.optimise.history import Iteration, StopReason
from learngn.optimise.landmarks import LandmarkPairs, refuse_landmarks
from learngn.optimise.levels import PairLevel, averaged_fields, first_displacement, levels_of_pair
from learngn.regularise import Diffusion, Regulariser, apply_regulariser
from learngn.settings import Level
from learngn.solve import SolveStatus


class AdamDisplacement:
    """Optimiser by Adam of the energy ``½ Σ |φ_M(x + u(x)) - φ_F(x)|² + λ/2 <u, R u>``, that of Gauss-Newton.

    Parameters
    ----------
    levels : sequence of Level
        Levels, coarse to fine. The published baseline is one level of stride 4 with 25 iterations.
    regulariser : Regulariser
    rate : float
        Learning rate, about the longest step of a component [voxel of the level]. A single level with few iterations
        needs a larger one, 0.8.

    Raises
    ------
    SettingsError
        If the rate is not positive.

    Notes
    -----
    Adam divides every component of the gradient by its own running magnitude: the coupling of the components of a
    voxel, and of neighbouring voxels, is not used, and a step does not depend on the scale of the features. Steps are
    added without step control. The running means start anew on every level.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", 2015.
    M. P. Heinrich, "Learning Registration Models with Differentiable Gauss-Newton Optimisation", MIDL 2022.
    """

    def __init__(self, levels: Sequence[Level], *, regulariser: Regulariser | None = None, rate: float = 0.4) -> None:
        if not 0 < rate < math.inf:
            raise SettingsError("learning rate of Adam", f"{rate:g}", "a positive number", "0.4 suits most")
        self.levels = tuple(levels)
        self.regulariser = Diffusion() if regulariser is None else regulariser
        self.rate = rate

    @torch.no_grad()
    def __call__(
        self,
        fixed: FeatureImage,
        moving: FeatureImage,
        world: FloatArray,
        initial: Array | None = None,
        *,
        detailed: bool = False,
        landmarks: LandmarkPairs | None = None,
        voxel: float | None = None,
        callback: Callable[[Iteration], None] | None = None,
    ) -> Optimised:
        """Register features, without derivatives; parameters as of :class:`learngn.optimise.GaussNewton`."""
        refuse_landmarks(landmarks, "Adam")
        if not is_tensor(fixed.data):  # on the same memory, and back
            fixed, moving = _as_tensors(fixed), _as_tensors(moving)
            start = None if initial is None else torch.as_tensor(initial)
            result = self(fixed, moving, world, start, detailed=detailed, voxel=voxel, callback=callback)
            return replace(result, field=as_numpy(result.field))
        pairs = levels_of_pair(self.levels, fixed, moving, world, voxel)
        grids = [pair.grid for pair in pairs]
        given = [] if initial is None or not detailed else averaged_fields(initial, grids)
        u = given[0] if given else first_displacement(fixed, grids[0], initial)
        history: list[Iteration] = []
        for index, pair in enumerate(pairs):
            u = sampling.resize_field(u, grids[index].shape)
            if index and given:
                u = u + (given[index] - sampling.resize_field(given[index - 1], grids[index].shape))
            u = self._descend(index, pair, u, history, callback)
        return Optimised(u, pairs[-1].grid, tuple(history), StopReason.ITERATIONS)

    def _descend(
        self,
        index: int,
        pair: PairLevel,
        start: Tensor,
        history: list[Iteration],
        callback: Callable[[Iteration], None] | None,
    ) -> Tensor:
        """Take all iterations of one level, append them to `history`, and return the displacement."""
        level = pair.level
        # A copy, since Adam writes into it and the start may belong to the caller.
        u = start.detach().clone().requires_grad_()
        adam = torch.optim.Adam([u], lr=self.rate)
        data, elastic = self._evaluate(pair, u)
        for iteration in range(level.iterations):
            u.grad = torch.autograd.grad(data, u)[0] + level.lam * elastic
            before = u.detach().clone()
            adam.step()
            data, elastic = self._evaluate(pair, u)
            data_energy = float(data) / pair.voxels
            regularity = level.lam / 2 * float((u * elastic).sum(dtype=torch.float64)) / pair.voxels
            mean, longest = kernels.lengths(u.detach() - before)
            record = Iteration(
                level=index,
                stride=level.stride,
                shape=pair.grid.shape,
                iteration=iteration,
                lam=level.lam,
                energy=data_energy + regularity,
                data_energy=data_energy,
                regularity=regularity,
                step=1.0,
                update_mean=mean,
                update_max=longest,
                min_jacobian=float(kernels.determinant(u).min()),
                solver_iterations=0,
                solver_residual=math.nan,
                solver_status=SolveStatus.CONVERGED,
                accepted=True,
            )
            history.append(record)
            if callback is not None:
                callback(record)
        return u.detach()

    def _evaluate(self, pair: PairLevel, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return the data energy ``½ Σ f²``, differentiable by u, and the regulariser's R u."""
        with torch.enable_grad():
            compared = pair.compared(u)
            squared = (compared.warped - compared.fixed).square()
            data = (squared if compared.weight is None else squared * compared.weight).sum(dtype=torch.float64) / 2
        return data, apply_regulariser(self.regulariser, u, pair.grid)


def _as_tensors(image: FeatureImage) -> FeatureImage:
    weight = None if image.weight is None else torch.as_tensor(image.weight)
    return replace(image, data=torch.as_tensor(image.data), weight=weight)
