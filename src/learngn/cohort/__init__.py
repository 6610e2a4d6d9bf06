"""Many pairs: every validation pair of a data set, one after the other."""

from learngn.cohort.records import RECORDS_NAME, read_records
from learngn.cohort.serial import CohortEvents, run_cohort

__all__ = ["RECORDS_NAME", "CohortEvents", "read_records", "run_cohort"]
