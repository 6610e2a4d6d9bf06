"""Tables of scores for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from learngn.evaluation.comparison import MethodComparison, compared_metrics
from learngn.evaluation.pair_scores import METRICS, Metric
from learngn.evaluation.statistics import Interval
from learngn.evaluation.summary import Summary
from learngn.evaluation.volume_change import VolumeChange

_DICE = next(metric for metric in METRICS if metric.key == "dice_mean")
_HD95 = next(metric for metric in METRICS if metric.key == "hd95_mean")
_TRE = next(metric for metric in METRICS if metric.key == "tre")


def render(summary: Summary) -> Group:
    """Render a summary for a terminal: metrics, labels, and failed pairs."""
    parts: list[Table | Text] = [metrics_table(summary)]
    if summary.labels:
        parts.append(labels_table(summary))
    if summary.verdicts:
        counts = ", ".join(f"{count} {status}" for status, count in summary.verdicts.items() if count)
        parts.append(Text(f"Verdicts: {counts}"))
    for pair in summary.doubtful:
        style = "red" if pair.verdict == "failed" else "yellow"
        parts.append(Text(f"{pair.title}: {pair.verdict_in_words}", style=style))
    for found in summary.outliers:
        parts.append(Text(f"outlier {summary.pairs[found.index].title}: {'; '.join(found.reasons)}", style="yellow"))
    for pair in summary.failed:
        parts.append(Text(f"{pair.title}: {pair.error}", style="red"))
    return Group(*parts)


def volume_table(changes: Sequence[VolumeChange]) -> Table:
    """Make a table with one row per label: its volume before and after a transform, and the change."""
    table, interval = Table(), any(change.low_percent is not None for change in changes)
    table.add_column("Label")
    for heading in ("Before [mm³]", "After [mm³]", "Change [%]", *(["95 % interval"] if interval else [])):
        table.add_column(escape(heading), justify="right")
    for change in changes:
        bounds = [f"{change.low_percent:+.2f} to {change.high_percent:+.2f}"] if interval else []
        numbers = (f"{change.before:.0f}", f"{change.after:.0f}", f"{change.change_percent:+.2f}")
        table.add_row(escape(change.name or str(change.label)), *numbers, *bounds)
    return table


def metrics_table(summary: Summary) -> Table:
    """Make a table with one row per metric: mean over pairs, its interval, Learn2Reg's quantile."""
    scored = len(summary.pairs) - len(summary.failed)
    table = Table(title=f"{scored} of {len(summary.pairs)} pairs scored", title_justify="left")
    table.add_column("Metric")
    for heading in ("Mean", f"{_confidence(summary)} interval", "Quantile", "Pairs"):
        table.add_column(heading, justify="right")
    for metric in METRICS:
        if metric.key not in summary.means:
            continue
        mean = summary.means[metric.key]
        quantile = ""
        if metric.case_quantile is not None:
            quantile = f"{metric.case_quantile:.0%}: {_number(summary.case_quantiles[metric.key], metric.decimals)}"
        table.add_row(
            _heading(metric),
            _number(mean.mean, metric.decimals),
            _bounds(mean, metric.decimals),
            escape(quantile),
            str(mean.count),
        )
    if not math.isnan(summary.dice_hardest):
        table.add_row("Dice, hardest 30 % ↑", _number(summary.dice_hardest, _DICE.decimals), "", "", "")
    if not math.isnan(summary.tre_hardest):
        table.add_row(escape("TRE, hardest 30 % [mm] ↓"), _number(summary.tre_hardest, _TRE.decimals), "", "", "")
    return table


def labels_table(summary: Summary) -> Table:
    """Make a table with one row per label: Dice before and after registration, its interval, HD95."""
    table = Table(title="By label", title_justify="left")
    table.add_column("Label")
    for heading in ("Dice before", "Dice ↑", f"{_confidence(summary)} interval", "HD95 [voxel] ↓", "Pairs"):
        table.add_column(escape(heading), justify="right")
    for label, intervals in summary.labels.items():
        table.add_row(
            escape(f"{label} {summary.names.get(label, '')}".rstrip()),
            _number(intervals["dice_before"].mean, _DICE.decimals),
            _number(intervals["dice"].mean, _DICE.decimals),
            _bounds(intervals["dice"], _DICE.decimals),
            _number(intervals["hd95"].mean, _HD95.decimals),
            str(intervals["dice"].count),
        )
    return table


def render_comparison(comparison: MethodComparison) -> Group:
    """Render two tables for a terminal: means with differences from the first method, and the ranking."""
    metrics = compared_metrics(comparison.summaries)
    first = next(iter(comparison.summaries))
    means = Table(title=f"Means over pairs; difference to {escape(first)} and its p (Holm)", title_justify="left")
    means.add_column("Method")
    for metric in metrics:
        unit = f" [{metric.unit}]" if metric.unit else ""
        means.add_column(escape(f"{metric.title}{unit} {'↑' if metric.higher_is_better else '↓'}"), justify="right")
    hardest = [
        (metric, attribute)
        for metric, attribute in ((_DICE, "dice_hardest"), (_TRE, "tre_hardest"))
        if not all(math.isnan(getattr(summary, attribute)) for summary in comparison.summaries.values())
    ]
    for metric, _ in hardest:
        means.add_column(escape(f"{metric.title}30 {'↑' if metric.higher_is_better else '↓'}"), justify="right")
    for name, summary in comparison.summaries.items():
        cells = []
        for metric in metrics:
            cell = f"{summary.means[metric.key].mean:.{metric.decimals}f}"
            if name != first:
                difference = comparison.differences[name][metric.key]
                p_value = comparison.adjusted[name][metric.key]
                cell += f"\n{difference.mean_difference:+.{metric.decimals}f}, p {p_value:.2g}"
            cells.append(cell)
        cells += [_number(getattr(summary, attribute), metric.decimals) for metric, attribute in hardest]
        means.add_row(escape(name), *cells)
    ranking = comparison.ranking
    ranks = Table(title=f"Ranking as in Learn2Reg ({ranking.test} test)", title_justify="left")
    for heading in ("Method", "Rank score", *ranking.metrics):
        ranks.add_column(heading, justify="left" if heading == "Method" else "right")
    for index in ranking.order:
        ranks.add_row(
            escape(ranking.methods[index]),
            f"{ranking.overall[index]:.3f}",
            *(f"{score:.2f}" for score in ranking.scores[index]),
        )
    return Group(means, ranks)


def _heading(metric: Metric) -> str:
    unit = f" [{metric.unit}]" if metric.unit else ""
    return escape(f"{metric.title}{unit} {'↑' if metric.higher_is_better else '↓'}")


def _confidence(summary: Summary) -> str:
    confidence = next((interval.confidence for interval in summary.means.values()), 0.95)
    return f"{confidence:.0%}"


def _bounds(interval: Interval, decimals: int) -> str:
    if math.isnan(interval.low):
        return ""
    return f"{_number(interval.low, decimals)} to {_number(interval.high, decimals)}"


def _number(value: float, decimals: int) -> str:
    return "" if math.isnan(value) else f"{value:.{decimals}f}"
