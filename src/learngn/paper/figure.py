"""Figure of the paper: Dice against the number of iterations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from learngn.errors import require_packages
from learngn.io import atomic_path


def draw_curves(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]], before: float, path: Path) -> None:
    """Draw Dice against the number of iterations, one line per method, and write it as PNG.

    Parameters
    ----------
    curves : dict
        Numbers of iterations and mean Dice, by the title of the method.
    before : float
        Dice without registration, the first point of every curve.
    path : Path
        File to write.

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.
    """
    require_packages(f"figure {path}", "plot", "matplotlib")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for title, (counts, dice) in curves.items():
        axes.plot([0.5, *counts], [before, *dice], marker="o", markersize=3, label=title)
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 2, 5, 10, 25, 50, 100], ["0", "1", "2", "5", "10", "25", "50", "100"])
    axes.minorticks_off()
    axes.set_xlabel("iterations")
    axes.set_ylabel("mean Dice")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
