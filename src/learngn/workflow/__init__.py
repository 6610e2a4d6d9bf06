"""Complete workflows: a pair or a series from files to a result folder, tuning of settings on a data set."""

from learngn.workflow.one_pair import PairEvents, register_files
from learngn.workflow.series import register_series, register_series_files

__all__ = ["PairEvents", "register_files", "register_series", "register_series_files"]
