"""Uncertainty of a displacement, from the normal equations at the result of Gauss-Newton."""

from learngn.uncertainty.calibration import factor_of
from learngn.uncertainty.draws import samples
from learngn.uncertainty.estimate import Uncertainty, uncertainty_of
from learngn.uncertainty.information import Information, information
from learngn.uncertainty.labels import LabelUncertainty
from learngn.uncertainty.marginals import covariance

__all__ = [
    "Information",
    "LabelUncertainty",
    "Uncertainty",
    "covariance",
    "factor_of",
    "information",
    "samples",
    "uncertainty_of",
]
