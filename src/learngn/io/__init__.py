"""Reading and writing of files: the conventions of other programs are converted here, and nowhere else.

ITK's world is LPS and its arrays are (k, j, i); Learn2Reg's displacements are in voxels, without world coordinates.
Everything else in the package uses the one convention of :mod:`learngn.geometry.grid` and
:mod:`learngn.geometry.transform`.
"""

from __future__ import annotations

from learngn.io.atomic import atomic_path, check_writable, temporary_folder, write_json, write_text
from learngn.io.bids import BidsName, is_bids, read_bids
from learngn.io.colour import is_colour, is_picture, is_plain, read_colour, read_picture, write_colour
from learngn.io.dataset import find_subject, read_dataset, read_label_names
from learngn.io.dicom_objects import is_plan, kind_of
from learngn.io.documents import parse_json, read_values
from learngn.io.images import read_grid, read_image, write_image
from learngn.io.itk import from_sitk, to_sitk
from learngn.io.itk_transforms import from_itk, to_itk
from learngn.io.labels_on import labels_on
from learngn.io.landmarks import Landmarks, is_landmarks, read_landmarks, write_landmarks
from learngn.io.learn2reg import read_learn2reg, read_voxels, write_learn2reg, write_voxels
from learngn.io.matrices import read_matrix
from learngn.io.meshes import Mesh, read_mesh, write_mesh
from learngn.io.modules import read_module
from learngn.io.pair_table import is_pair_table
from learngn.io.pairs import choose_pairs, subjects
from learngn.io.point_set import PointSet
from learngn.io.probabilities import Scores, find_scores, read_channels, read_scores
from learngn.io.rt_dose import Dose, read_dose, write_dose
from learngn.io.rt_registration import read_registration, write_registration
from learngn.io.rt_structures import Contour, Structure, StructureSet, read_structures, write_structures
from learngn.io.rt_study import RTStudy, read_study
from learngn.io.series import frame_count, frame_step, read_frames, write_frames
from learngn.io.streamlines import Streamlines, read_streamlines, write_streamlines
from learngn.io.subject import Dataset, Pair, Subject, scan_numbers
from learngn.io.time_series import TimeSeries, read_time_series
from learngn.io.transforms import (
    field_suffix,
    is_learn2reg,
    read_named_transform,
    read_transform,
    split_format,
    write_transform,
)
from learngn.io.vector_series import read_vector_series, write_vector_series
from learngn.io.vectors import is_vector, read_vectors, write_vectors

__all__ = [
    "BidsName",
    "Contour",
    "Dataset",
    "Dose",
    "Landmarks",
    "Mesh",
    "Pair",
    "PointSet",
    "RTStudy",
    "Scores",
    "Streamlines",
    "Structure",
    "StructureSet",
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
    "from_itk",
    "from_sitk",
    "is_bids",
    "is_colour",
    "is_landmarks",
    "is_learn2reg",
    "is_pair_table",
    "is_picture",
    "is_plain",
    "is_plan",
    "is_vector",
    "kind_of",
    "labels_on",
    "parse_json",
    "read_bids",
    "read_channels",
    "read_colour",
    "read_dataset",
    "read_dose",
    "read_frames",
    "read_grid",
    "read_image",
    "read_label_names",
    "read_landmarks",
    "read_learn2reg",
    "read_matrix",
    "read_mesh",
    "read_module",
    "read_named_transform",
    "read_picture",
    "read_registration",
    "read_scores",
    "read_streamlines",
    "read_structures",
    "read_study",
    "read_time_series",
    "read_transform",
    "read_values",
    "read_vector_series",
    "read_vectors",
    "read_voxels",
    "scan_numbers",
    "split_format",
    "subjects",
    "temporary_folder",
    "to_itk",
    "to_sitk",
    "write_colour",
    "write_dose",
    "write_frames",
    "write_image",
    "write_json",
    "write_landmarks",
    "write_learn2reg",
    "write_mesh",
    "write_registration",
    "write_streamlines",
    "write_structures",
    "write_text",
    "write_transform",
    "write_vector_series",
    "write_vectors",
    "write_voxels",
]
