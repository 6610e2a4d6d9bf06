"""Reports: pages made of what a run has left, each a single file."""

from learngn.report.pair import write_pair_report

__all__ = ["write_pair_report"]
