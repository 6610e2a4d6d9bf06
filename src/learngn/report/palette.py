"""Colours of labels, displacements and Jacobians, distinguishable for the colour-blind and on black."""

from __future__ import annotations

# The first eight are those of Okabe and Ito, the two darkest of them lightened for a black background; the others also
# differ from them in lightness. A label has the same colour in every view, plot and table.
LABELS = (
    "#e69f00", "#56b4e9", "#2fc39a", "#f0e442", "#ff7a45", "#d98fc0", "#6f8cff", "#c9ced6",
    "#a6761d", "#8fe3ff", "#7fa33a", "#ffd9a8", "#c4483a", "#b58cff", "#3f8f8a", "#ffb3c7",
)  # fmt: skip

# Perceptually uniform scales from matplotlib: viridis, and berlin (F. Crameri), which is dark at no change.
LENGTH = (
    "#440154", "#48186a", "#472d7b", "#424086", "#3b528b", "#33638d", "#2c728e", "#26828e", "#21918c",
    "#1fa088", "#28ae80", "#3fbc73", "#5ec962", "#84d44b", "#addc30", "#d8e219", "#fde725",
)  # fmt: skip
LOG_JACOBIAN = (
    "#9eb0ff", "#79abed", "#519fd3", "#3685ad", "#286886", "#1d4b61", "#14303e", "#111a20", "#190c09",
    "#2b0e01", "#411201", "#5b1d08", "#7d341e", "#9e513f", "#be6f63", "#df8f89", "#ffadad",
)  # fmt: skip
FOLD = "#ff2fd0"  # a colour that is in neither scale


def label_colour(label: int) -> str:
    """Return the colour of a label, ``"#rrggbb"``."""
    return LABELS[(label - 1) % len(LABELS)]
