"""Composition of displacements with a step that is shortened where it would fold, by compiled loops."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.kernels import _cpu_guard
from learngn.kernels.layouts import is_plane, row_count, solid, volumes
from learngn.kernels.taps import area_taps, linear_taps


class CompiledGuard:
    """Implementation of :class:`learngn.kernels.interface.Guard`.

    After the first composition only what has changed since is composed again, and only that and its neighbours are
    examined: `_spans` holds the first and last changed voxel of each row of a sample.
    """

    def __init__(self, u: NDArray[Any], step: NDArray[Any], shares: Sequence[float], bound: float, reach: int) -> None:
        self._before, self._shortened = volumes(u), False
        self.u, self.step = np.empty(u.shape, dtype=np.float32), step
        self._steps, self._out = volumes(step), self.u.reshape(self._before.shape)
        self._shape, self._plane = solid(u.shape[2:]), is_plane(u.shape[1])
        self._shares, self._bound = np.array(shares, dtype=np.float32), np.float32(bound)
        self._cells, self._starts, self._weights = _cells(self._shape, reach)
        self._rows, count = row_count(1, self._shape), len(step)
        self._spans = np.empty((count, self._rows, 2), dtype=np.int64)
        self._spans[..., 0], self._spans[..., 1] = 0, self._shape[2]
        self._least = np.empty((len(u), self._rows), dtype=np.float32)
        coarse = [int(self._cells[axis, n - 1, 1]) + 1 for axis, n in enumerate(self._shape)]
        self._low = np.zeros((count, *coarse), dtype=np.uint8)

    def join(self) -> float:
        """See :class:`learngn.kernels.interface.Guard`."""
        items = len(self._before) * self._rows
        self._low[:] = 0
        _cpu_guard.compose(
            items, self._before, self._steps, self._shares, self._spans, self._shape, self._plane, self._out
        )
        _cpu_guard.judge(
            items, self._out, self._spans, self._shape, self._plane, self._bound, self._cells, self._least, self._low
        )
        return float(self._least.min())

    def shorten(self) -> None:
        """See :class:`learngn.kernels.interface.Guard`."""
        if not self._shortened:  # the given step is not changed
            self._shortened, self._steps = True, self._steps.copy()
            self.step = self._steps.reshape(self.step.shape)
        wide, items = _cpu_guard.widened(self._low), len(self._steps) * self._rows
        marked = wide.any(-1)
        _cpu_guard.shorten(items, self._steps, wide, marked, self._starts, self._weights, self._shape, self._spans)


@lru_cache(maxsize=64)
def _cells(shape: tuple[int, ...], reach: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return by axis the first and last cell of `reach` voxels of each voxel, and its interpolation from two cells."""
    cells, starts = np.zeros((3, max(shape), 2), dtype=np.int64), np.zeros((3, max(shape)), dtype=np.int64)
    weights = np.zeros((3, max(shape), 2), dtype=np.float32)
    for axis, n in enumerate(shape):
        count = max(1, n // reach)
        within = area_taps(n, count).matrix() > 0
        cells[axis, :n, 0], cells[axis, :n, 1] = within.argmax(0), count - 1 - within[::-1].argmax(0)
        back = linear_taps(count, n)
        starts[axis, :n], weights[axis, :n, : back.weights.shape[1]] = back.start, back.weights
    return cells, starts, weights
