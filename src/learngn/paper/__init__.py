"""The paper's comparison: its table and its figure, on your own data."""

from learngn.paper.paper import PaperEvents, run_paper

__all__ = ["PaperEvents", "run_paper"]
