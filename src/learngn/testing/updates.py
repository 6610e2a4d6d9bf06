"""Conformance checks of an update: zero and small steps, independent samples, and the gradient by the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from learngn.arrays import Array, require_torch
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.optimise import Update
from learngn.regularise import Diffusion, apply_regulariser
from learngn.testing.require import require, require_close, require_finite

_SHAPES = ((18, 15), (11, 10, 9))


def check_update(update: Update) -> None:
    """Check that an update fulfils the contract of :class:`learngn.optimise.Update`.

    Parameters
    ----------
    update : Update

    Raises
    ------
    AssertionError
        If a rule is broken; the message says which.

    Examples
    --------
    >>> from learngn.optimise import Compositional
    >>> check_update(Compositional())
    """
    for rule in UPDATE_RULES.values():
        rule(update)


def inner_field(shape: Sequence[int], size: float, seed: int = 0, samples: int = 1, device: Any = None) -> Array:
    """Make a smooth random displacement [voxel] that is zero at the border.

    Parameters
    ----------
    shape : sequence of int
        Shape S of the grid.
    size : float
        Approximate standard deviation in the middle.
    seed : int
        Random seed.
    samples : int
        Number of samples.
    device : torch.device or str, optional
        Device of PyTorch for a tensor; by default an array of NumPy is returned.

    Returns
    -------
    Array, shape (samples, D, *S), float64
    """
    coarse = [max(n // 6, 2) for n in shape]
    u = np.random.default_rng(seed).standard_normal((samples, len(shape), *coarse))
    u = size * sampling.resize(u, tuple(shape))
    for axis, n in enumerate(shape):
        line = np.sin(np.linspace(0, np.pi, n)) ** 2
        u = u * line.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return u if device is None else require_torch("a field on a device").as_tensor(u).to(device)


def _displacement(update: Update, shape: Sequence[int], samples: int = 1) -> Array:
    """Make a displacement for the update, (N, D, *S), or (2N, D, *S) if both images are displaced."""
    into_moving = inner_field(shape, 2.0, seed=1, samples=samples)
    if not update.symmetric:
        return into_moving
    return np.concat([into_moving, inner_field(shape, 1.5, seed=2, samples=samples)])


def shape_and_type(update: Update) -> None:
    """Check that the displacement's shape and type are preserved, and that the arguments are not modified."""
    for shape in _SHAPES:
        for dtype in (np.float32, np.float64):
            u, step = _displacement(update, shape, 2).astype(dtype), inner_field(shape, 1.0, samples=2).astype(dtype)
            before = u.copy(), step.copy()
            new, whole = update(u, step), update.whole(u)
            pulled = update.pull_back(u, step)
            where = f"update {update!r} on {shape}"
            for got, like, what in ((new, u, "displacement"), (whole, step, "whole"), (pulled, step, "pull_back")):
                require(
                    got.shape == like.shape and got.dtype == u.dtype,
                    f"{where}: {what} has shape {tuple(got.shape)} and type {got.dtype}, "
                    f"expected {tuple(like.shape)} and {u.dtype}",
                )
                require_finite(got, f"{where}: {what}")
            require_close(u, before[0], f"{where}: the given displacement")
            require_close(step, before[1], f"{where}: the given step")


def zero_step(update: Update) -> None:
    """Check that a step of zero does not change the displacement."""
    for shape in _SHAPES:
        u = _displacement(update, shape)
        got = update(u, np.zeros((1, len(shape), *shape)))
        require_close(got, u, f"update {update!r} on {shape}, of a step of zero", atol=1e-12)


def step_from_rest(update: Update) -> None:
    """Check that a displacement of zero, joined with a step, gives the step, to first order."""
    for shape in _SHAPES:
        step = 1e-4 * inner_field(shape, 1.0)
        rest = np.zeros_like(_displacement(update, shape))
        got = update.whole(update(rest, step))
        require_close(got, step, f"update {update!r} on {shape}, of a small step from rest", atol=1e-7)


def samples_do_not_mix(update: Update) -> None:
    """Check that each sample of a batch has the same result as alone."""
    for shape in _SHAPES:
        u, step = _displacement(update, shape, 2), inner_field(shape, 1.0, samples=2)
        together = update.whole(update(u, step))
        for n in range(2):
            alone = update.whole(update(u[n::2], step[n : n + 1]))
            require_close(
                together[n : n + 1], alone, f"update {update!r} on {shape}, sample {n} of a batch", atol=1e-12
            )


def shares_are_composed(update: Update) -> None:
    """Check that each displacement is composed with the share of the step that `shares` gives, if not None."""
    if update.shares is None:
        return
    for shape in _SHAPES:
        u, step = _displacement(update, shape), inner_field(shape, 1.0)
        require(len(update.shares) == len(u), f"update {update!r}: got {len(update.shares)} shares, expected {len(u)}")
        expected = np.concat([sampling.compose(u[n : n + 1], share * step) for n, share in enumerate(update.shares)])
        require_close(update(u, step), expected, f"update {update!r} on {shape}, composed by its shares", atol=1e-12)


def pull_back_is_the_derivative(update: Update) -> None:
    """Check `pull_back` against central differences of an energy of the displacement between the images."""
    for shape in _SHAPES:
        grid = Grid.from_spacing(shape, (1.0, 2.0, 1.5)[: len(shape)])
        u, step = _displacement(update, shape), inner_field(shape, 1.0)

        def regularity(scale: float, u: Array = u, step: Array = step, grid: Grid = grid) -> float:
            whole = update.whole(update(u, scale * step))
            return float((whole * apply_regulariser(Diffusion(), whole, grid)).sum()) / 2

        h = 1e-5
        elastic = apply_regulariser(Diffusion(), update.whole(u), grid)
        got = float((update.pull_back(u, elastic) * step).sum())
        expected = (regularity(h) - regularity(-h)) / (2 * h)
        require(
            abs(got - expected) <= 1e-4 * abs(expected),
            f"update {update!r} on {shape}: pull_back gives the derivative {got:.6g}, differences {expected:.6g}",
        )


def differentiable(update: Update) -> None:
    """Check the derivatives by the displacement and by the step, which training needs.

    Only PyTorch differentiates: without it there is nothing to check.
    """
    if find_spec("torch") is None:
        return
    torch, shape = require_torch("this check"), (9, 8)
    # Linear interpolation has no derivative at voxel centres, to which a displacement of zero would map.
    u = torch.as_tensor(_displacement(update, shape) + 0.37).requires_grad_()
    step = torch.as_tensor(inner_field(shape, 0.7) + 0.13).requires_grad_()
    correct = torch.autograd.gradcheck(
        lambda u, step: update(u, step), [u, step], atol=1e-5, rtol=1e-5, fast_mode=True, raise_exception=False
    )
    require(correct, f"update {update!r}: its derivative differs from finite differences")


UPDATE_RULES: dict[str, Callable[[Update], None]] = {
    rule.__name__: rule
    for rule in (
        shape_and_type,
        zero_step,
        step_from_rest,
        samples_do_not_mix,
        shares_are_composed,
        pull_back_is_the_derivative,
        differentiable,
    )
}
"""Rules of :func:`check_update` by name."""
