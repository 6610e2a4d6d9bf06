"""Evaluation of registrations: the metrics of Learn2Reg, further measures of folding, and statistics."""

from learngn.evaluation.batch import find_field, score_all
from learngn.evaluation.comparison import MethodComparison, compare_methods
from learngn.evaluation.dataset import score_dataset, score_pair
from learngn.evaluation.deformation import folds_percent, sdlogj, std_log_jacobian
from learngn.evaluation.jacobian import Jacobian, jacobian_of
from learngn.evaluation.landmarks import tre
from learngn.evaluation.learn2reg import score, warp_labels
from learngn.evaluation.overlap import dice, labels_in_both, mean_over_labels
from learngn.evaluation.pair_scores import METRICS, Metric, PairScores
from learngn.evaluation.ranking import Ranking, rank
from learngn.evaluation.statistics import (
    Comparison,
    Interval,
    bootstrap_mean,
    compare,
    hardest_entries,
    mean_of_hardest_entries,
    quantile_over_cases,
)
from learngn.evaluation.submission import SubmissionFormat, write_submission
from learngn.evaluation.summary import Summary, summarise
from learngn.evaluation.surface import hd95
from learngn.evaluation.volume_change import VolumeChange, volume_changes, volume_rows

__all__ = [
    "METRICS",
    "Comparison",
    "Interval",
    "Jacobian",
    "MethodComparison",
    "Metric",
    "PairScores",
    "Ranking",
    "SubmissionFormat",
    "Summary",
    "VolumeChange",
    "bootstrap_mean",
    "compare",
    "compare_methods",
    "dice",
    "find_field",
    "folds_percent",
    "hardest_entries",
    "hd95",
    "jacobian_of",
    "labels_in_both",
    "mean_of_hardest_entries",
    "mean_over_labels",
    "quantile_over_cases",
    "rank",
    "score",
    "score_all",
    "score_dataset",
    "score_pair",
    "sdlogj",
    "std_log_jacobian",
    "summarise",
    "tre",
    "volume_changes",
    "volume_rows",
    "warp_labels",
    "write_submission",
]
