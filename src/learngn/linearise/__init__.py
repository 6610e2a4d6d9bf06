"""Linearisation of the residual: (fixed, warped) features to residual f, Jacobian J and confidence w."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from learngn.linearise.analytic import Analytic
from learngn.linearise.linearisation import Linearisation, Lineariser, NormalEquations
from learngn.linearise.robust import GemanMcClure, Huber, Robust, RobustLoss

if TYPE_CHECKING:
    from learngn.linearise.learned import LearnedLinearisation, PublishedLinearisation

__all__ = [
    "Analytic",
    "GemanMcClure",
    "Huber",
    "LearnedLinearisation",
    "Linearisation",
    "Lineariser",
    "NormalEquations",
    "PublishedLinearisation",
    "Robust",
    "RobustLoss",
]


def __getattr__(name: str) -> Any:
    if name in ("LearnedLinearisation", "PublishedLinearisation"):  # networks, which need PyTorch
        return getattr(import_module("learngn.linearise.learned"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
