"""Coarse-to-fine schedule: resolutions, iterations and regularisation weights of the levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from learngn.errors import SettingsError


@dataclass(frozen=True)
class Level:
    """One resolution of the schedule.

    Attributes
    ----------
    stride : float
        Voxel size, in multiples of the fixed image's finest spacing.
    iterations : int
        Largest number of Gauss-Newton steps.
    lam : float
        Regularisation weight λ [feature²].
    """

    stride: float
    iterations: int
    lam: float


def schedule(strides: Sequence[float], iterations: Sequence[int], lam: tuple[float, float]) -> tuple[Level, ...]:
    """Return levels with λ decreasing log-linearly from the first level to the last.

    Parameters
    ----------
    strides : sequence of float
        Decreasing, coarse to fine.
    iterations : sequence of int
        Number of iterations for each stride.
    lam : (float, float)
        λ at the first and at the last level.

    Raises
    ------
    SettingsError
        If the lengths differ, the strides do not decrease, or λ is not positive.
    """
    if len(strides) != len(iterations) or not strides:
        raise SettingsError(
            "schedule",
            f"{len(strides)} strides, {len(iterations)} iteration counts",
            "one count per stride",
            "give as many strides as iteration counts",
        )
    if any(b >= a for a, b in pairwise(strides)) or min(strides) < 1:
        raise SettingsError("schedule", f"strides {list(strides)}", "falling strides ≥ 1", "order them coarse to fine")
    if min(lam) <= 0:
        raise SettingsError("schedule", f"λ {lam}", "positive values", "raise λ")
    weights = np.geomspace(lam[0], lam[1], len(strides))
    return tuple(Level(float(s), int(n), float(w)) for s, n, w in zip(strides, iterations, weights, strict=True))
