"""Quality of a registration without labels: measures of fit, and a verdict."""

from learngn.quality.evidence import Evidence, evidence
from learngn.quality.experience import Experience
from learngn.quality.feature_fit import FeaturePair, fits_worse
from learngn.quality.learned import LearnedMeasures, learned_measures
from learngn.quality.measures import Measures, measure
from learngn.quality.scan_summary import ScanSummary, steadiness
from learngn.quality.verdict import Reason, Verdict, judge

__all__ = [
    "Evidence",
    "Experience",
    "FeaturePair",
    "LearnedMeasures",
    "Measures",
    "Reason",
    "ScanSummary",
    "Verdict",
    "evidence",
    "fits_worse",
    "judge",
    "learned_measures",
    "measure",
    "steadiness",
]
