"""Reports: pages made of what a run has left, each a single file."""

from learngn.report.cohort import write_cohort_report
from learngn.report.pair import write_pair_report

__all__ = ["write_cohort_report", "write_pair_report"]
