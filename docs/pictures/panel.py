"""Panels of a figure, all alike."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

INK = {"color": "#171a21"}


def panels(rows: int, columns: int, aspect: float, width: float = 10.0) -> Any:
    """Return a figure of panels without ticks, with its panels by row as `axes_rows`.

    Parameters
    ----------
    rows, columns : int
    aspect : float
        Width of a panel over its height.
    width : float
        Width of the figure [inch].
    """
    height = rows * (width / columns / aspect) + 0.7
    figure: Any = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    figure.axes_rows = figure.subplots(rows, columns, squeeze=False)
    for panel in figure.axes_rows.ravel():
        panel.set_xticks([])
        panel.set_yticks([])
        for edge in panel.spines.values():
            edge.set_visible(False)
    return figure
