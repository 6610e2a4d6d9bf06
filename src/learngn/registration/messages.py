"""Log messages about what a registration chooses and does."""

from __future__ import annotations

import logging
from collections.abc import Callable

from learngn.optimise import Iteration
from learngn.registration.initial import InitialTransform
from learngn.registration.pair import RegistrationPair
from learngn.registration.resolve import Resolved
from learngn.settings import Settings

_LOG = logging.getLogger(__name__)


def log_choice(pair: RegistrationPair, resolved: Resolved, initial: InitialTransform | None = None) -> None:
    """Log the images, the initial transform, and the settings that were chosen for them."""
    _LOG.info("fixed image: %s; moving image: %s", pair.fixed.grid, pair.moving.grid)
    if initial is not None:
        _LOG.info("start: %s", initial.describe(resolved.settings.affine))
    if resolved.recognised is not None:
        _LOG.info("preset %s: %s", resolved.recognised.preset.name, resolved.recognised.because)
    elif resolved.preset is not None:
        _LOG.info("preset %s: requested", resolved.preset)
    chosen, voxel = resolved.settings, resolved.voxel
    _LOG.info("similarity: %s; linear alignment: %s", chosen.features, chosen.affine)
    if chosen.stains is not None:
        _LOG.info("channels of the pictures: %s", chosen.stains)
    _LOG.info(
        "levels [mm]: %s; steps: %s; λ: %.3g to %.3g; update: %s",
        ", ".join(f"{stride * voxel:.3g}" for stride in chosen.strides),
        ", ".join(map(str, chosen.iterations)),
        *chosen.lam,
        chosen.update,
    )
    if resolved.coarsened:
        _LOG.info("the levels are coarser than those of the preset or the features: the fixed image is large")
    if resolved.left_out:
        left_out = ", ".join(f"{stride * voxel:.3g} mm" for stride in resolved.left_out)
        _LOG.info("levels left out because of the memory budget: %s", left_out)
    _LOG.debug("all settings: %s", chosen.as_dict())


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
