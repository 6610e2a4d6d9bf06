"""Registration of many pairs of a data set, by this process or by workers on this machine or a cluster."""

from learngn.cohort.cluster import open_pool
from learngn.cohort.feature_cache import FolderStore
from learngn.cohort.pool import Failure, Pool, Serial
from learngn.cohort.records import RECORDS_NAME, read_records
from learngn.cohort.run import CohortEvents, run_cohort
from learngn.cohort.saving import Saving

__all__ = [
    "RECORDS_NAME",
    "CohortEvents",
    "Failure",
    "FolderStore",
    "Pool",
    "Saving",
    "Serial",
    "open_pool",
    "read_records",
    "run_cohort",
]
