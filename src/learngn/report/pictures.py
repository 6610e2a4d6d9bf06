"""Pictures: from volumes on the fixed grid to the sections of slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from learngn.grid import Grid
from learngn.report import figures, html
from learngn.report.planes import Plane

Volume = NDArray[Any]

_OUTLINE = "#ffffff"


@dataclass(frozen=True)
class Scan:
    """One of the three states shown, on the fixed grid.

    Attributes
    ----------
    caption : str
    values : array, shape S
    labels : array of int, shape S, or None
    window : (float, float) or None
        Values shown black and white; None for a label map, whose labels are filled with their colours.
    """

    caption: str
    values: Volume
    labels: Volume | None
    window: tuple[float, float] | None

    def grey(self, values: Volume) -> Volume:
        """Values of a scan between 0, black, and 1, white."""
        low, high = self.window or (0.0, 1.0)
        return (values - low) / (high - low)

    def panel(self, plane: Plane) -> Figure:
        """The bare slice."""
        page = plane.cut(self.values)
        return figures.label_panel(page, plane) if self.window is None else figures.scan_panel(page, plane, self.window)


def window_of(values: Volume) -> tuple[float, float]:
    """Values to be shown black and white: the 0.5th and 99.5th percentile of at most a few 100,000 voxels."""
    step = max(1, round((values.size / 2e5) ** (1 / values.ndim)))
    low, high = np.percentile(values[(slice(None, None, step),) * values.ndim], (0.5, 99.5))
    return (float(low), float(high)) if high > low else (float(values.min()), float(values.max()) + 1e-6)


def before_after(scans: list[Scan], planes: list[Plane], name: Callable[[int], str]) -> str:
    """Fixed, moving and warped scan in every plane, with the outlines of their labels."""
    reference = scans[0].labels
    labels = [scan.labels for scan in scans if scan.labels is not None]
    rows = []
    for plane in planes:
        panels = []
        for number, scan in enumerate(scans):
            figure = scan.panel(plane)
            # The scan's own labels come last: where only colour is seen, the two agree.
            if number and reference is not None:
                figures.add_contours(figure, plane.cut(reference), colour=_OUTLINE, width=1.4)
            if scan.labels is not None and scan.window is not None:
                figures.add_contours(figure, plane.cut(scan.labels), width=1.8)
            panels.append(html.Panel(figure, plane, scan.caption))
        rows.append(html.row(panels, comparison=True))
    if not labels:
        return html.section("Before and after", "", *rows)
    values = sorted({int(value) for volume in labels for value in np.unique(volume)} - {0})
    legend = [(figures.label_colour(value), name(value)) for value in values]
    lead = "Colour: the labels of the scan shown."
    if reference is not None:
        legend.append((_OUTLINE, "fixed"))
        lead = "Colour: the labels of the scan shown. White: those of the fixed scan, where the two differ."
    return html.section("Before and after", lead, *rows, html.chips(legend))


def checkerboards(fixed: Scan, others: list[Scan], planes: list[Plane]) -> str:
    """Fixed scan and another in alternating fields: edges run on where the two agree."""
    rows = [html.row([_checkerboard(fixed, other, plane) for plane in planes]) for other in others]
    return html.section("Checkerboard", "Edges run on from field to field where the two scans agree.", *rows)


def _checkerboard(fixed: Scan, other: Scan, plane: Plane) -> html.Panel:
    first, second = (scan.grey(plane.cut(scan.values)) for scan in (fixed, other))
    figure = figures.scan_panel(figures.checkerboard(first, second, plane), plane, (0.0, 1.0))
    return html.Panel(figure, plane, f"{fixed.caption} and {other.caption[0].lower()}{other.caption[1:]}")


def deformation(
    field: NDArray[np.floating],
    determinant: Volume,
    grid: Grid,
    planes: list[Plane],
    outline: Volume | None,
    numbers: str,
) -> str:
    """Length of the displacement with a deformed lattice, and the Jacobian map.

    Parameters
    ----------
    field : array, shape (D, *S) [voxel, array order]
        The whole displacement.
    determinant : array, shape S
        Determinant of its Jacobian.
    grid : Grid
    planes : list of Plane
    outline : array of int, shape S, or None
        Labels of the fixed scan, drawn for orientation.
    numbers : str
        Summary of the deformation (HTML).
    """
    length = np.linalg.norm(np.einsum("ab,b...->a...", grid.affine[:-1, :-1], field), axis=0)
    longest = max(_rounded_up(float(np.percentile(length, 99.5))), 0.1)
    positive = determinant[determinant > 0]
    spread = np.percentile(np.abs(np.log(positive)), 99) if positive.size else 0.0
    top = max(_rounded_up(float(spread)), 0.1)
    moved, stretched = [], []
    for plane in planes:
        panel = figures.displacement_panel(plane.cut(length), plane.cut_vectors(field), plane, longest)
        jacobian = figures.jacobian_panel(plane.cut(determinant), plane, top)
        if outline is not None:
            figures.add_contours(jacobian, plane.cut(outline), colour=_OUTLINE, width=0.8, alpha=0.45)
        moved.append(html.Panel(panel, plane, f"Displacement, {plane.name}"))
        stretched.append(html.Panel(jacobian, plane, f"Jacobian, {plane.name}"))
    fold = html.chip(figures.FOLD, "fold") if (determinant <= 0).any() else ""
    return html.section(
        "Displacement",
        "How far every point moves, and a lattice that moves with it (its mean shift left out).",
        html.row(moved),
        html.colour_bar(figures.LENGTH, "0", "length [mm]", f"{longest:g}"),
    ) + html.section(
        "Jacobian",
        "Local change of volume from the fixed to the moving scan, as log det J: negative where it shrinks.",
        html.row(stretched),
        html.colour_bar(figures.LOG_JACOBIAN, f"−{top:g}", "log det J", f"{top:g}", fold),
        f'<div style="margin-top:18px">{numbers}</div>',
    )


def _rounded_up(value: float) -> float:
    """The next number of two significant digits: a scale that ends at a number one can read."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(np.round(np.ceil(value / unit) * unit, 6))
