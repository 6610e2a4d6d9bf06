"""Settings of a registration, and the ones that suit each kind of feature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from learngn.errors import SettingsError
from learngn.grid import Grid
from learngn.optimise import (
    AdamDisplacement,
    Additive,
    Compositional,
    GaussNewton,
    StepControl,
    published_gauss_newton,
    schedule,
)
from learngn.optimise.schedule import Level

_METHODS: dict[str, Callable[[tuple[Level, ...], StepControl], GaussNewton | AdamDisplacement]] = {
    "compositional": lambda levels, control: GaussNewton(levels, update=Compositional(), control=control),
    "additive": lambda levels, control: GaussNewton(levels, update=Additive(), control=control),
    "published": lambda levels, _: published_gauss_newton(levels),
    "adam": lambda levels, control: AdamDisplacement(levels, rate=control.longest),
}


@dataclass(frozen=True)
class Settings:
    """What :func:`learngn.register` does.

    Attributes
    ----------
    features : str
        Names and weights, as :func:`learngn.features.parse_features` reads them.
    affine : bool
        Align linearly first.
    strides : tuple of float
        Voxel size of every level, in multiples of the fixed image's finest spacing, falling.
    iterations : tuple of int
        Steps of every level, at most.
    lam : (float, float)
        λ of the first and the last level [feature²].
    update : str
        ``"compositional"``, ``"additive"``, or ``"published"``: the components alone, with momentum; or ``"adam"``,
        first order instead of Gauss-Newton. The last two have no step control.
    longest_step : float
        Cap of an update [voxel of the level]; of Adam, the learning rate.
    min_jacobian : float
        Guard of the determinant; see :class:`learngn.optimise.StepControl`.
    """

    features: str
    affine: bool
    strides: tuple[float, ...] = (16, 8, 4, 2)
    iterations: tuple[int, ...] = (4, 5, 5, 5)
    lam: tuple[float, float] = (10.0, 0.5)
    update: str = "compositional"
    longest_step: float = 1.0
    min_jacobian: float = 0.1

    def __post_init__(self) -> None:
        if self.update not in _METHODS:
            raise SettingsError("update", repr(self.update), f"one of {', '.join(_METHODS)}", "mend --update")
        self.levels()

    def levels(self) -> tuple[Level, ...]:
        """The schedule."""
        return schedule(self.strides, self.iterations, self.lam)

    def method(self) -> GaussNewton | AdamDisplacement:
        """The optimiser that these settings describe."""
        control = StepControl(longest=self.longest_step, min_jacobian=self.min_jacobian)
        return _METHODS[self.update](self.levels(), control)

    def limited(self, grid: Grid, most_voxels: int = 2_000_000, fewest_along: int = 5) -> Settings:
        """The levels that make sense on a fixed grid; never none.

        Left out are the finest ones that have more voxels than a laptop handles in seconds, and the coarsest on which
        an axis has so few voxels that nothing holds the displacement.
        """
        voxel = float(grid.spacing.min())
        shapes = [grid.coarsened(stride * voxel).shape for stride in self.strides]
        long = [axis for axis, n in enumerate(grid.shape) if n >= fewest_along]
        affordable = [i for i, shape in enumerate(shapes) if math.prod(shape) <= most_voxels] or [0]
        keep = [i for i in affordable if all(shapes[i][axis] >= fewest_along for axis in long)] or affordable[-1:]
        levels = self.levels()
        # λ of every level kept is what it was: the schedule is cut, not squeezed.
        return replace(
            self,
            strides=tuple(self.strides[i] for i in keep),
            iterations=tuple(self.iterations[i] for i in keep),
            lam=(levels[keep[0]].lam, levels[keep[-1]].lam),
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


# λ has the unit of the squared features: it scales with their weight.
_PRESETS: dict[str, Callable[..., Settings]] = {
    "distance": partial(Settings, lam=(10.0, 0.5)),
    "organ-distance": partial(Settings, lam=(10.0, 0.5)),
    "labels": partial(Settings, lam=(0.3, 0.005)),
    "intensity": partial(Settings, strides=(16, 8, 4, 2, 1), iterations=(8, 8, 8, 8, 4), lam=(0.3, 0.03)),
    "mind": partial(Settings, strides=(16, 8, 4, 2, 1), iterations=(8, 8, 8, 8, 4), lam=(3.0, 0.3)),
}


def default_settings(features: str, labels: bool) -> Settings:
    """Settings tuned for these features (docs/results.md says on which subjects).

    Parameters
    ----------
    features : str
        The first one named decides.
    labels : bool
        Whether they read label maps: these are taken to be aligned, scans are not.
    """
    first = features.split(",")[0].split(":")[0]
    return _PRESETS.get(first, _PRESETS["mind"])(features=features, affine=not labels)
