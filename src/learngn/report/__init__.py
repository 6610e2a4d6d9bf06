"""Reports of results as HTML pages, each a single file."""

from learngn.report.cohort import write_cohort_report
from learngn.report.pair import write_pair_report

__all__ = ["write_cohort_report", "write_pair_report"]
