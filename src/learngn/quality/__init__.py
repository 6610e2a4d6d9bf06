"""Quality of a registration without labels: measures of fit, and a verdict."""

from learngn.quality.evidence import Evidence, evidence
from learngn.quality.measures import Measures, measure
from learngn.quality.verdict import Reason, Verdict, judge

__all__ = ["Evidence", "Measures", "Reason", "Verdict", "evidence", "judge", "measure"]
