"""Writing the results of a registration to disk."""

from learngn.results.bids import BidsOutput
from learngn.results.files import (
    sha256,
    write_displacement,
    write_files,
    write_uncertainty,
    write_warped,
    write_warped_labels,
)
from learngn.results.folder import RESULT_FILES, check_inputs_kept, page_of, pair_folder, result_folder
from learngn.results.jacobian_files import JacobianPaths, jacobian_json, jacobian_paths, write_jacobian
from learngn.results.metrics import (
    initial_json,
    metrics_of,
    outcome,
    readable_spacing,
    uncertainty_json,
    verdict_json,
    warnings_of,
    write_recorded_metrics,
)
from learngn.results.reading import is_result, read_result_draws, read_result_transform

__all__ = [
    "RESULT_FILES",
    "BidsOutput",
    "JacobianPaths",
    "check_inputs_kept",
    "initial_json",
    "is_result",
    "jacobian_json",
    "jacobian_paths",
    "metrics_of",
    "outcome",
    "page_of",
    "pair_folder",
    "read_result_draws",
    "read_result_transform",
    "readable_spacing",
    "result_folder",
    "sha256",
    "uncertainty_json",
    "verdict_json",
    "warnings_of",
    "write_displacement",
    "write_files",
    "write_jacobian",
    "write_recorded_metrics",
    "write_uncertainty",
    "write_warped",
    "write_warped_labels",
]
