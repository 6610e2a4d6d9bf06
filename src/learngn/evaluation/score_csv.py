"""Scores of pairs as a table for spreadsheets (CSV)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from learngn.evaluation.pair_scores import METRICS
from learngn.evaluation.summary import LABEL_METRICS, Summary


def csv_rows(summary: Summary) -> list[list[str]]:
    """Return rows for :func:`csv.writer`: a header, then one row per pair; missing scores are empty cells."""
    keys = [metric.key for metric in METRICS if metric.key in summary.means]
    columns = [(name, label) for name in LABEL_METRICS for label in summary.labels]
    judged = ["verdict", "reasons"] if summary.verdicts else []
    named = ["pair"] if any(pair.pair for pair in summary.pairs) else []
    rows = [[*named, "fixed", "moving", *judged, *keys, *(f"{name}_{label}" for name, label in columns), "error"]]
    for pair in summary.pairs:
        numbers = [getattr(pair, key) for key in keys]
        numbers += [getattr(pair, name).get(label, float("nan")) for name, label in columns]
        cells = ["" if math.isnan(number) else repr(float(number)) for number in numbers]
        words = [pair.verdict or "", "; ".join(pair.reasons)] if judged else []
        rows.append([*([pair.pair] if named else []), pair.fixed, pair.moving, *words, *cells, pair.error or ""])
    return rows


def csv_text(rows: Sequence[Sequence[str]]) -> str:
    """Format rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
