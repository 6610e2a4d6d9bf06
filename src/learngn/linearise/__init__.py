"""Linearisation of the residual: (fixed, warped) features to residual f, Jacobian J and confidence w."""

from learngn.linearise.analytic import Analytic
from learngn.linearise.linearisation import Linearisation, Lineariser, NormalEquations

__all__ = ["Analytic", "Linearisation", "Lineariser", "NormalEquations"]
