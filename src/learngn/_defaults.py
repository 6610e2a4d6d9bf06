"""Features compared when none are named: in one light place, for the library and for ``--help``."""

SCAN_FEATURES = "mind,intensity:10"
LABEL_FEATURES = "organ-distance"
