"""Colours of labels, displacements and Jacobians: told apart by the colour-blind, on black and beside each other."""

from __future__ import annotations

# The first eight are those of Okabe and Ito, their two darkest lightened for a black ground; the others differ from
# them in lightness too. A label keeps its colour in every view, plot and table.
LABELS = (
    "#e69f00", "#56b4e9", "#2fc39a", "#f0e442", "#ff7a45", "#d98fc0", "#6f8cff", "#c9ced6",
    "#a6761d", "#8fe3ff", "#7fa33a", "#ffd9a8", "#c4483a", "#b58cff", "#3f8f8a", "#ffb3c7",
)  # fmt: skip

# Perceptually uniform, from matplotlib: viridis; berlin (F. Crameri), dark where nothing changes.
LENGTH = (
    "#440154", "#48186a", "#472d7b", "#424086", "#3b528b", "#33638d", "#2c728e", "#26828e", "#21918c",
    "#1fa088", "#28ae80", "#3fbc73", "#5ec962", "#84d44b", "#addc30", "#d8e219", "#fde725",
)  # fmt: skip
LOG_JACOBIAN = (
    "#9eb0ff", "#79abed", "#519fd3", "#3685ad", "#286886", "#1d4b61", "#14303e", "#111a20", "#190c09",
    "#2b0e01", "#411201", "#5b1d08", "#7d341e", "#9e513f", "#be6f63", "#df8f89", "#ffadad",
)  # fmt: skip
FOLD = "#ff2fd0"  # in neither of the scales


def label_colour(label: int) -> str:
    """Colour of a label, ``"#rrggbb"``."""
    return LABELS[(label - 1) % len(LABELS)]
