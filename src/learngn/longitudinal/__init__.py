"""Comparison of time points of one subject in their mean space: change of volume without bias to any of them."""

from learngn.longitudinal.files import LONGITUDINAL_FILES, compare_files
from learngn.longitudinal.study import SETTINGS, Longitudinal, TimePoint, compare_time_points

__all__ = [
    "LONGITUDINAL_FILES",
    "SETTINGS",
    "Longitudinal",
    "TimePoint",
    "compare_files",
    "compare_time_points",
]
