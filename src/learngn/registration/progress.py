"""Log messages about the steps of a registration."""

from __future__ import annotations

import logging
from collections.abc import Callable

from learngn.optimise import Iteration
from learngn.settings import Settings

_LOG = logging.getLogger(__name__)


def logged(
    settings: Settings, voxel: float, callback: Callable[[Iteration], None] | None
) -> Callable[[Iteration], None]:
    """Return a callback that logs every level and every step, and then calls another callback.

    Parameters
    ----------
    settings : Settings
    voxel : float
        Voxel size of stride 1 [mm].
    callback : callable, optional
    """
    reached = -1

    def report(step: Iteration) -> None:
        nonlocal reached
        if step.level != reached:
            reached, size = step.level, "x".join(map(str, step.shape))
            _LOG.info(
                "level %d of %d: %s voxels, %.3g mm, λ %.3g",
                step.level + 1,
                len(settings.strides),
                size,
                step.stride * voxel,
                step.lam,
            )
        _LOG.debug(
            "level %d, step %d: energy %.5g, mean update %.3g voxel, smallest Jacobian determinant %.3g, "
            "%d solver iterations%s",
            step.level + 1,
            step.iteration + 1,
            step.energy,
            step.update_mean,
            step.min_jacobian,
            step.solver_iterations,
            "" if step.accepted else ", rejected",
        )
        if callback is not None:
            callback(step)

    return report
