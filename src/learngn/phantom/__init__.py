"""Synthetic abdomens for the demo and the tests: CT-like scans with 13 labelled organs, made from a seed."""

from learngn.phantom.abdomen import FIELD_OF_VIEW, Phantom, abdomen, abdomens
from learngn.phantom.anatomy import ORGANS
from learngn.phantom.plan import write_plan

__all__ = ["FIELD_OF_VIEW", "ORGANS", "Phantom", "abdomen", "abdomens", "write_plan"]
