"""Scores in a cohort's report: tiles, plots and tables, from the summary of the scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from learngn.evaluation import Summary
from learngn.evaluation.pair_scores import METRICS, Metric, PairScores
from learngn.quality.verdict import STATUSES
from learngn.report import html
from learngn.report.banner import badge
from learngn.report.numbers import number
from learngn.report.palette import label_colour
from learngn.report.plots import distribution, scatter

_BEFORE = {"dice_mean": "dice_mean_before", "tre": "tre_before"}
_SECONDS = Metric("seconds", "Time", "s", False, None, 1)
_NAN = float("nan")


def shown_metrics(summary: Summary) -> list[Metric]:
    """Return the metrics to show, those before registration excluded."""
    return [metric for metric in METRICS if metric.key in summary.means and metric.key not in _BEFORE.values()]


def order_of(summary: Summary) -> list[int]:
    """Sort pairs from worst to best: by verdict, then by Dice, landmark error or folding.

    Pairs that could not be registered come first.
    """
    keys = [metric for key in ("dice_mean", "tre", "folds_percent") for metric in METRICS if metric.key == key]
    chosen = next((metric for metric in keys if metric.key in summary.means), METRICS[0])
    sign = 1 if chosen.higher_is_better else -1

    def badness(index: int) -> tuple[bool, int, bool, float]:
        pair = summary.pairs[index]
        value = getattr(pair, chosen.key)
        known = not math.isnan(value)
        return (pair.error is None, _rank(pair), known, sign * value if known else 0.0)

    return sorted(range(len(summary.pairs)), key=badness)


def tiles(summary: Summary, seconds: Sequence[float]) -> str:
    """Make tiles of the means over the pairs."""
    failed = len(summary.failed)
    items = [("Pairs", str(len(summary.pairs)), "", f"{failed} with an error" if failed else "all registered")]
    for metric in shown_metrics(summary):
        mean = summary.means[metric.key]
        before = summary.means.get(_BEFORE.get(metric.key, ""))
        value = _percent(mean.mean) if metric.unit == "%" else number(mean.mean)
        note = f"{mean.low:.2g} to {mean.high:.2g}" if mean.low < mean.high and value[0] != "<" else ""
        if before is not None:
            note = f"before {number(before.mean)}"
        items.append((metric.title, value, metric.unit, note))
    if not math.isnan(summary.dice_hardest):
        items.append(("Dice 30", number(summary.dice_hardest), "", "hardest 30 %"))
    known = [value for value in seconds if not math.isnan(value)]
    if known:
        items.append(("Time", f"{np.median(known):.1f}", "s", f"a pair; {_duration(sum(known))} in all"))
    return html.tiles(items)


def distributions(summary: Summary, seconds: Sequence[float]) -> str:
    """Make the section of distributions: a plot for every metric."""
    names = [pair.title for pair in summary.pairs]
    parts, beside = [], ""
    if "dice_mean_before" in summary.means:
        before, after = _values(summary, "dice_mean_before"), _values(summary, "dice_mean")
        beside = _plot("Dice", "after against before", scatter(before, after, names, "Dice of every pair"))
    for metric in (*shown_metrics(summary), _SECONDS):
        values = list(seconds) if metric is _SECONDS else _values(summary, metric.key)
        key = _BEFORE.get(metric.key, "")
        before_values = _values(summary, key) if key in summary.means else None
        span = (0.0, 1.0) if metric.key == "dice_mean" else None
        drawing = distribution(values, names, metric.title, before=before_values, span=span)
        if drawing:
            better = "" if metric is _SECONDS else "higher is better" if metric.higher_is_better else "lower is better"
            unit = f" [{metric.unit}]" if metric.unit else ""
            note = better + (", pale: before" if before_values is not None else "")
            parts.append(_plot(f"{metric.title}{unit}", note, drawing))
    lead = "A dot is a pair, a box the middle half of them, a line the median."
    strips = f'<div class="strips">{"".join(parts)}</div>'
    return html.section("Distributions", lead, f'<div class="plots">{beside}{strips}</div>')


def _plot(title: str, note: str, drawing: str) -> str:
    remark = f"<small>{escape(note)}</small>" if note else ""
    return f'<figure class="distribution"><h3>{escape(title)} {remark}</h3>{drawing}</figure>'


def labels(summary: Summary, short: Sequence[str], pages: Sequence[str | None]) -> str:
    """Make the section of labels: distribution, mean and worst pair of the Dice of every label.

    Parameters
    ----------
    summary : Summary
    short : sequence of str
        Short names of its pairs.
    pages : sequence of str or None
        Their own pages.
    """
    names = [pair.title for pair in summary.pairs]
    rows = []
    for label, intervals in summary.labels.items():
        name = summary.names.get(label, f"label {label}").replace("_", " ")
        after = [pair.dice.get(label, _NAN) for pair in summary.pairs]
        before = [pair.dice_before.get(label, _NAN) for pair in summary.pairs]
        drawing = distribution(after, names, f"Dice of {name}", before=before, span=(0.0, 1.0), slim=True)
        means = (intervals["dice_before"].mean, intervals["dice"].mean, intervals["hd95"].mean)
        known = [(value, index) for index, value in enumerate(after) if not math.isnan(value)]
        value, index = min(known, default=(_NAN, -1))
        worst = f"{number(value)} ({html.link(short[index], pages[index])})" if known else "–"
        rows.append((html.chip(label_colour(label), name), drawing, *(number(mean) for mean in means), worst))
    head = ("", "Dice from 0 to 1", "before", "mean", "HD95 [voxel]", "worst pair")
    lead = "Dice of every label over the pairs, and its means; pale: before registration."
    table = html.table(head, rows, "Dice by label")
    return html.section("Labels", lead, f'<div class="scores labels">{table}</div>')


def table(
    summary: Summary, records: Sequence[Mapping[str, Any]], seconds: Sequence[float], pages: Sequence[str | None]
) -> str:
    """Make a table of all pairs, worst first, which the page's script sorts and filters; `pages` are their own."""
    columns: list[tuple[str, str, str, int]] = []  # key, title, unit, decimals
    for metric in shown_metrics(summary):
        if _BEFORE.get(metric.key, "") in summary.means:
            columns.append((f"{metric.key}_before", f"{metric.title} before", metric.unit, metric.decimals - 1))
        columns.append((metric.key, metric.title, metric.unit, metric.decimals - 1))
    columns.append(("seconds", "Time", "s", 1))
    judged = [("verdict", "Verdict", "", 0)] if summary.verdicts else []
    head = "".join(
        f'<th scope="col"><button type="button" data-key="{key}">{escape(title)}'
        f"{f' <small>{escape(unit)}</small>' if unit else ''}</button></th>"
        for key, title, unit, _ in [("pair", "Pair", "", 0), *judged, *columns]
    )
    rows = []
    for index in order_of(summary):
        pair, name = summary.pairs[index], escape(str(records[index]["pair"]))
        title = escape(f"{pair.moving} onto {pair.fixed}", quote=True)
        linked = html.link(str(records[index]["pair"]), pages[index])
        cells = f'<th scope="row" title="{title}" data-v="{name}">{linked}</th>'
        if pair.error is not None:
            cells += f'<td class="error" colspan="{len(judged) + len(columns)}">{escape(pair.error)}</td>'
        else:
            cells += _verdict_cell(pair) if judged else ""
            values = [seconds[index] if key == "seconds" else getattr(pair, key) for key, *_ in columns]
            cells += "".join(
                f'<td data-v="{_data(v)}">{_cell(v, d)}</td>' for v, (*_, d) in zip(values, columns, strict=True)
            )
        words = f"{title} {pair.verdict or ''}".strip().lower()
        rows.append(f'<tr data-pair="{index}" data-text="{words}">{cells}</tr>')
    return f'<table id="pairs"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _verdict_cell(pair: PairScores) -> str:
    """Make the cell of a pair's verdict; its reasons are shown when one points at it."""
    if pair.verdict is None:
        return '<td data-v="">–</td>'
    reasons = escape("; ".join(pair.reasons), quote=True)
    return f'<td data-v="{_rank(pair)}" title="{reasons}">{badge(pair.verdict)}</td>'


def _rank(pair: PairScores) -> int:
    """Return the place of a pair's verdict: the worst first, those without one last."""
    return STATUSES.index(pair.verdict) if pair.verdict in STATUSES else len(STATUSES)


def _values(summary: Summary, key: str) -> list[float]:
    return [getattr(pair, key) for pair in summary.pairs]


def _cell(value: float, decimals: int) -> str:
    if math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.{decimals}f}"


def _percent(value: float) -> str:
    return "< 0.001" if 0 < value < 0.001 else f"{value:.2g}"


def _data(value: float) -> str:
    """Format a number for the script; empty for NaN."""
    return "" if math.isnan(value) else "Infinity" if math.isinf(value) else f"{value:.6g}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
