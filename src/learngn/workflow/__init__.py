"""Complete workflows: a pair from files to a result folder, tuning of settings on a data set, a MONAI transform."""

from learngn.workflow.one_pair import PairEvents, register_files

__all__ = ["PairEvents", "register_files"]
