"""Optimisers: affine and dense Gauss-Newton, their schedule, updates and step control; Adam as a baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from learngn.optimise.affine import AffineGaussNewton, AffineResult, centre_of_mass, translation_starts
from learngn.optimise.build import build
from learngn.optimise.descent import Descent
from learngn.optimise.discrete import DiscreteStart
from learngn.optimise.energy import Energy, QuadraticModel, State
from learngn.optimise.families import AFFINE, FAMILIES, RIGID, SIMILARITY, TRANSLATION, Family
from learngn.optimise.feature_pose import pose_by_features
from learngn.optimise.finish import Fields, at_full_resolution
from learngn.optimise.gauss_newton import GaussNewton, Optimised
from learngn.optimise.history import Iteration, StopReason
from learngn.optimise.landmarks import LandmarkPairs, refuse_landmarks
from learngn.optimise.pose import PoseSearch
from learngn.optimise.published import published_gauss_newton
from learngn.optimise.step_control import StepControl
from learngn.optimise.unfold import inverse_error, unfolded
from learngn.optimise.update import Additive, Compositional, Exponential, Symmetric, Update

if TYPE_CHECKING:
    from learngn.optimise.adam import AdamDisplacement

__all__ = [
    "AFFINE",
    "FAMILIES",
    "RIGID",
    "SIMILARITY",
    "TRANSLATION",
    "AdamDisplacement",
    "Additive",
    "AffineGaussNewton",
    "AffineResult",
    "Compositional",
    "Descent",
    "DiscreteStart",
    "Energy",
    "Exponential",
    "Family",
    "Fields",
    "GaussNewton",
    "Iteration",
    "LandmarkPairs",
    "Optimised",
    "PoseSearch",
    "QuadraticModel",
    "State",
    "StepControl",
    "StopReason",
    "Symmetric",
    "Update",
    "at_full_resolution",
    "build",
    "centre_of_mass",
    "inverse_error",
    "pose_by_features",
    "published_gauss_newton",
    "refuse_landmarks",
    "translation_starts",
    "unfolded",
]


def __getattr__(name: str) -> Any:
    """Import Adam when it is used: it needs PyTorch."""
    if name == "AdamDisplacement":
        from learngn.optimise.adam import AdamDisplacement

        return AdamDisplacement
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
