"""Reports: pages and figures made of the files that a run has left, never of the run itself."""

from learngn.report.pair import write_pair_report

__all__ = ["write_pair_report"]
