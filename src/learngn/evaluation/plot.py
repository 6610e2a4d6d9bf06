"""Plot of several methods: a point for every pair, and a box plot for every method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from learngn.errors import OutputError, require_packages
from learngn.evaluation.comparison import compared_metrics, values_of
from learngn.evaluation.summary import Summary
from learngn.io import atomic_path

SUFFIXES = (".png", ".svg", ".pdf")


def check_plot_path(path: Path) -> None:
    """Check that a plot can be drawn at a path, before anything is computed.

    Raises
    ------
    OutputError
        If the suffix is not one of :data:`SUFFIXES`.
    MissingPackageError
        If matplotlib is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"output {path}", f"the suffix {path.suffix!r}", f"one of {', '.join(SUFFIXES)}", "rename the output"
        )
    require_packages(f"plot {path}", "plot", "matplotlib")


def draw_methods(summaries: Mapping[str, Summary], path: Path) -> None:
    """Draw a panel for every metric with a box for every method, and write it as PNG, SVG or PDF.

    Lines connect the values of a pair. The same scores give the same bytes.

    Parameters
    ----------
    summaries : dict
        Scores of the same pairs by method.
    path : Path

    Raises
    ------
    OutputError
        If the suffix is another, or the file cannot be written.
    MissingPackageError
        If matplotlib is not installed.
    """
    check_plot_path(path)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    metrics = compared_metrics(summaries)
    positions = np.arange(len(summaries))
    figure = Figure(figsize=(max(2.2, 0.8 * len(summaries) + 1.2) * len(metrics), 4), layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for panel, metric in zip(panels, metrics, strict=True):
        values = np.stack([values_of(summary, metric) for summary in summaries.values()])
        values = np.where(np.isfinite(values), values, np.nan)
        panel.plot(positions, values, color="0.75", linewidth=0.5, zorder=1)
        samples = [row[~np.isnan(row)] for row in values]
        panel.boxplot(
            samples,
            positions=positions,
            widths=0.5,
            showfliers=False,
            zorder=3,
            medianprops={"color": "black", "lw": 2},
        )
        for position, row in zip(positions, values, strict=True):
            panel.scatter(np.full(row.size, position), row, s=7, color=f"C{position % 10}", zorder=2)
        panel.set_xticks(positions, list(summaries), rotation=30, ha="right")
        unit = f" [{metric.unit}]" if metric.unit else ""
        panel.set_title(f"{metric.title}{unit} {'↑' if metric.higher_is_better else '↓'}", fontsize=10)
        panel.grid(axis="y", alpha=0.3)
    suffix = path.suffix.lower()
    dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with atomic_path(path) as temporary, rc_context({"svg.hashsalt": "learngn"}):
        figure.savefig(temporary, dpi=150, format=suffix[1:], metadata=dated.get(suffix))
