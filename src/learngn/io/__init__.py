"""Reading and writing of files: the conventions of other programs are converted here, and nowhere else.

ITK's world is LPS and its arrays are (k, j, i); Learn2Reg's displacements are in voxels, without world coordinates.
Everything else in the package uses the one convention of :mod:`learngn.geometry.grid` and
:mod:`learngn.geometry.transform`.
"""

from __future__ import annotations

from learngn.io.atomic import atomic_path, check_writable, temporary_folder, write_json, write_text
from learngn.io.colour import is_colour, read_colour, write_colour
from learngn.io.dataset import find_subject, read_dataset, read_label_names
from learngn.io.documents import parse_json, read_values
from learngn.io.images import read_grid, read_image, write_image
from learngn.io.itk import from_sitk, to_sitk
from learngn.io.itk_transforms import to_itk
from learngn.io.labels_on import labels_on
from learngn.io.landmarks import Landmarks, is_landmarks, read_landmarks, write_landmarks
from learngn.io.learn2reg import read_learn2reg, read_voxels, write_learn2reg, write_voxels
from learngn.io.matrices import read_matrix
from learngn.io.modules import read_module
from learngn.io.pair_table import is_pair_table
from learngn.io.pairs import choose_pairs, subjects
from learngn.io.probabilities import Scores, find_scores, read_channels, read_scores
from learngn.io.series import frame_count, frame_step, read_frames, write_frames
from learngn.io.subject import Dataset, Pair, Subject, scan_numbers
from learngn.io.time_series import TimeSeries, read_time_series
from learngn.io.transforms import field_suffix, read_transform, write_transform

__all__ = [
    "Dataset",
    "Landmarks",
    "Pair",
    "Scores",
    "Subject",
    "TimeSeries",
    "atomic_path",
    "check_writable",
    "choose_pairs",
    "field_suffix",
    "find_scores",
    "find_subject",
    "frame_count",
    "frame_step",
    "from_sitk",
    "is_colour",
    "is_landmarks",
    "is_pair_table",
    "labels_on",
    "parse_json",
    "read_channels",
    "read_colour",
    "read_dataset",
    "read_frames",
    "read_grid",
    "read_image",
    "read_label_names",
    "read_landmarks",
    "read_learn2reg",
    "read_matrix",
    "read_module",
    "read_scores",
    "read_time_series",
    "read_transform",
    "read_values",
    "read_voxels",
    "scan_numbers",
    "subjects",
    "temporary_folder",
    "to_itk",
    "to_sitk",
    "write_colour",
    "write_frames",
    "write_image",
    "write_json",
    "write_landmarks",
    "write_learn2reg",
    "write_text",
    "write_transform",
    "write_voxels",
]
