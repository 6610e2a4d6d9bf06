"""Comparisons: the paper's table and figure on data of one's own."""

from learngn.paper.paper import PaperEvents, run_paper

__all__ = ["PaperEvents", "run_paper"]
