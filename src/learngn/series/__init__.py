"""Motion in a series of scans: all frames registered to their mean or to one of them, and what follows from it."""

from learngn.series.carry import carried_labels
from learngn.series.motion import SeriesMotion
from learngn.series.register import register_frames
from learngn.series.settings import SERIES, TRANSFORMS
from learngn.series.tables import LabelVolume, ejection_fraction, label_volumes

__all__ = [
    "SERIES",
    "TRANSFORMS",
    "LabelVolume",
    "SeriesMotion",
    "carried_labels",
    "ejection_fraction",
    "label_volumes",
    "register_frames",
]
