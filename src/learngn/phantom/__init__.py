"""Synthetic abdomens: CT-like scans with 13 labelled organs, made from a seed; the embedded default data."""

from learngn.phantom.abdomen import FIELD_OF_VIEW, Phantom, abdomen, abdomens
from learngn.phantom.anatomy import ORGANS

__all__ = ["FIELD_OF_VIEW", "ORGANS", "Phantom", "abdomen", "abdomens"]
