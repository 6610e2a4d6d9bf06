"""Gauss-Newton as a differentiable function of its features and learned parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.optimise import GaussNewton


def unrolled(
    method: GaussNewton,
    fixed: FeatureImage,
    moving: FeatureImage,
    world: FloatArray,
    initial: Tensor | None = None,
    *,
    iterations: Sequence[int] | None = None,
    last: int | None = None,
    voxel: float | None = None,
) -> list[tuple[Tensor, Grid]]:
    """Take a given number of whole steps, differentiably.

    Every step is computed again in the backward pass, so that only one displacement per step is stored. Steps are
    neither guarded nor rejected, as step control has no derivative.

    Parameters
    ----------
    method : GaussNewton
    fixed, moving : FeatureImage
        Features, tensors.
    world, initial, voxel
        As for :class:`learngn.optimise.GaussNewton`.
    iterations : sequence of int, optional
        Number of steps of every level; by default that of the schedule.
    last : int, optional
        Differentiate only this number of steps at the end of every level, and no level through the next one. Near a
        level's solution the derivative of a single step is nearly that of all of them, at a fraction of the cost;
        through many steps with a small λ gradients grow without bound. By default all steps are differentiated.

    Returns
    -------
    list of (Tensor, Grid)
        The displacement at the end of every level, shape (N, D, *S) [voxel], and its grid; with a symmetric update both
        displacements, (2N, D, *S).
    """
    descent, energies = method.descent(), method.energies(fixed, moving, world, voxel)
    u: Tensor = method.first(fixed, energies[0].pair.grid, initial)
    counts = [level.iterations for level in method.levels] if iterations is None else iterations
    ends = []
    for energy, count in zip(energies, counts, strict=True):
        u = sampling.resize_field(u if last is None else u.detach(), energy.pair.grid.shape)
        velocity = torch.zeros_like(method.update.whole(u))
        for index in range(count):
            with torch.set_grad_enabled(torch.is_grad_enabled() and (last is None or index >= count - last)):
                if torch.is_grad_enabled():
                    u, velocity = checkpoint(descent.advance, energy, u, velocity, use_reentrant=False)
                else:
                    u, velocity = descent.advance(energy, u, velocity)
        ends.append((u, energy.pair.grid))
    return ends
