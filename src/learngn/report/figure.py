"""Figure of a registration by matplotlib: slices before and after, and the change of volume."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from learngn.errors import require_packages
from learngn.registration import Registration
from learngn.report import palette
from learngn.report.slices import before_and_after

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SCALE = (1.5, 8.0)  # least and largest end of the scale of the change of volume, as a factor
_WIDTH, _HEIGHT = 2.6, 2.5  # of a panel [inch]


def draw_registration(registration: Registration) -> Figure:
    """Draw slices before and after registration, and the Jacobian determinant; see :meth:`Registration.plot`.

    The figure belongs to no window: it needs no display, and none has to be closed.

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.
    """
    require_packages("Registration.plot", "plot", "matplotlib")
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    found, volume = before_and_after(registration), registration.jacobian()
    changes = [cut.of(volume, outside=1.0) for cut, _, _ in found]
    factors = np.concatenate([np.abs(np.log(np.maximum(change, 1e-6))).ravel() for change in changes])
    end = float(np.exp(np.clip(np.percentile(factors, 99), *np.log(_SCALE))))
    figure = _figure((_WIDTH * len(found) + 1, 3 * _HEIGHT))
    axes = np.atleast_2d(figure.subplots(3, len(found), squeeze=False))
    scale = LinearSegmentedColormap.from_list("volume", palette.LOG_JACOBIAN).with_extremes(bad=palette.FOLD)
    shown: Any = None
    for column, ((cut, before, after), change) in enumerate(zip(found, changes, strict=True)):
        axes[0, column].imshow(before)
        axes[1, column].imshow(after)
        known = np.ma.masked_less_equal(change, 0).clip(1 / end, end)
        shown = axes[2, column].imshow(known, cmap=scale, norm=LogNorm(1 / end, end))
        axes[0, column].set_title(cut.view.name)
    for row, name in zip(axes, ("before", "after", "change of volume"), strict=True):
        row[0].set_ylabel(name)
        for panel in row:
            panel.set_xticks([])
            panel.set_yticks([])
    bar = figure.colorbar(shown, ax=axes[2].tolist(), ticks=[1 / end, 1, end])
    bar.ax.set_yticklabels([f"{1 / end:.2g}", "1", f"{end:.2g}"])
    bar.minorticks_off()
    bar.set_label("moving / fixed")
    status = "" if registration.verdict is None else f": {registration.verdict.status}"
    figure.suptitle(f"{registration.title}{status}")
    return figure


def _figure(size: tuple[float, float]) -> Figure:
    """Return a figure that notebooks show, whatever the back end of matplotlib."""
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        def _repr_jpeg_(self) -> bytes:  # of scans a fifth of a PNG
            content = io.BytesIO()
            self.savefig(content, format="jpeg", dpi=80, pil_kwargs={"quality": 90})
            return content.getvalue()

    return ShownFigure(figsize=size, layout="constrained")
