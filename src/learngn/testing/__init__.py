"""Conformance checks for your own features, regularisers, kernels and updates.

A check returns nothing, or raises :class:`AssertionError` with a message that says which rule is broken and where. It
needs no test framework; in pytest it is the body of a test.
"""

from learngn.testing.features import FEATURE_RULES, check_feature
from learngn.testing.images import label_map, smooth_scan
from learngn.testing.kernels import KERNEL_RULES, check_kernels
from learngn.testing.regularisers import REGULARISER_RULES, check_regulariser
from learngn.testing.updates import UPDATE_RULES, check_update

__all__ = [
    "FEATURE_RULES",
    "KERNEL_RULES",
    "REGULARISER_RULES",
    "UPDATE_RULES",
    "check_feature",
    "check_kernels",
    "check_regulariser",
    "check_update",
    "label_map",
    "smooth_scan",
]
