"""Whole jobs: one pair from files to a result folder, settings tuned on a data set, a step of MONAI's pipelines."""

from learngn.workflow.one_pair import PairEvents, register_files

__all__ = ["PairEvents", "register_files"]
