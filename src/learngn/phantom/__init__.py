"""Synthetic abdomens and stained sections for the demo and the tests, made from a seed."""

from learngn.phantom.abdomen import FIELD_OF_VIEW, Phantom, abdomen, abdomens
from learngn.phantom.anatomy import ORGANS
from learngn.phantom.plan import write_plan
from learngn.phantom.sections import StainedSections, stained_sections

__all__ = [
    "FIELD_OF_VIEW",
    "ORGANS",
    "Phantom",
    "StainedSections",
    "abdomen",
    "abdomens",
    "stained_sections",
    "write_plan",
]
