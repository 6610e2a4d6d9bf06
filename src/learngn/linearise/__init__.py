"""Linearisation of the residual: (fixed, warped) features to residual f, Jacobian J and confidence w."""

from learngn.linearise.analytic import Analytic
from learngn.linearise.learned import LearnedLinearisation, PublishedLinearisation
from learngn.linearise.linearisation import Linearisation, Lineariser, NormalEquations
from learngn.linearise.robust import GemanMcClure, Huber, Robust, RobustLoss

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
