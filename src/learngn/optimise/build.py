"""Construction of an optimiser from settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from learngn.arrays import namespace, require_torch
from learngn.geometry.image import Image
from learngn.linearise import GemanMcClure, Huber, RobustLoss
from learngn.optimise.gauss_newton import GaussNewton
from learngn.optimise.published import published_gauss_newton
from learngn.optimise.step_control import StepControl
from learngn.optimise.update import Additive, Compositional, Exponential, Symmetric, Update
from learngn.regularise import Adaptive, Curvature, Diffusion, Regulariser
from learngn.settings import Robustness, Settings

if TYPE_CHECKING:
    from learngn.optimise.adam import AdamDisplacement

_LUNG = -400.0  # [HU]; denser voxels are tissue

_UPDATES: dict[str, Callable[[], Update]] = {
    "compositional": Compositional,
    "additive": Additive,
    "exponential": Exponential,
}
_LOSSES: dict[str, Callable[[float], RobustLoss]] = {"huber": Huber, "geman-mcclure": GemanMcClure}
# Regularisers by name, made from the fixed image.
_REGULARISERS: dict[str, Callable[[Image], Regulariser]] = {
    "curvature": lambda _: Curvature(),
    "diffusion": lambda _: Diffusion(),
    "edges": Adaptive.across_edges,
    "lungs": lambda fixed: Adaptive.across_labels(_denser_than(_LUNG, fixed)),
}


def build(
    settings: Settings,
    fixed: Image | None = None,
    tissue: Image | None = None,
    *,
    trained: GaussNewton | None = None,
) -> GaussNewton | AdamDisplacement:
    """Make the optimiser that settings describe.

    Parameters
    ----------
    settings : Settings
    fixed : Image, optional
        Fixed image, for regularisers that depend on it; without it the regulariser is diffusion.
    tissue : Image, optional
        Label map in the fixed image's world, along whose boundaries organs may slide.
    trained : GaussNewton, optional
        Trained method whose lineariser and regularisation weights are used; with the published update all of it
        except the schedule and the regulariser.

    Returns
    -------
    GaussNewton or AdamDisplacement
        Optimiser, which is not changed afterwards.
    """
    levels, control = settings.levels(), StepControl(longest=settings.longest_step, min_jacobian=settings.min_jacobian)
    regulariser = _regulariser(settings, fixed, tissue)
    if settings.update == "adam":
        require_torch("the update adam")
        from learngn.optimise.adam import AdamDisplacement

        return AdamDisplacement(levels, rate=control.longest)
    if settings.update == "published":
        published = published_gauss_newton(levels) if trained is None else trained
        return published.replaced(levels=levels, regulariser=regulariser)
    method = GaussNewton(levels) if trained is None else trained
    return method.replaced(
        levels=levels,
        regulariser=regulariser,
        update=_update(settings),
        control=control,
        loss=_loss(settings.robust),
        overlap=settings.overlap,
    )


def _update(settings: Settings) -> Update:
    update = _UPDATES["exponential" if settings.diffeomorphic else settings.update]()
    return Symmetric(update) if settings.symmetric else update


def _loss(robust: Robustness | None) -> RobustLoss | None:
    return None if robust is None else _LOSSES[robust.kind](robust.scale)


def _regulariser(settings: Settings, fixed: Image | None, tissue: Image | None) -> Regulariser:
    if tissue is not None:
        return Adaptive.across_labels(tissue)
    return Diffusion() if fixed is None else _REGULARISERS[settings.regulariser](fixed)


def _denser_than(value: float, image: Image) -> Image:
    xp = namespace(image.data)
    return Image(xp.astype(image.data > value, xp.int32), image.grid, labels=True)
