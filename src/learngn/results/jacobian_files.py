"""Files of a Jacobian determinant: the image, what it is in words and numbers (JSON), and a table of labels (CSV)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learngn._version import __version__
from learngn.evaluation import Jacobian, VolumeChange, volume_rows
from learngn.evaluation.score_csv import csv_text
from learngn.io import write_image, write_json, write_text

_SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")
_INTERVAL = "95 %, from the uncertainty of the displacement"


@dataclass(frozen=True)
class JacobianPaths:
    """Names of the files.

    Attributes
    ----------
    image, sidecar, table : Path
        The image; beside it the JSON of the same name, and the CSV with ``_labels``.
    """

    image: Path
    sidecar: Path
    table: Path


def jacobian_paths(output: Path, *, log: bool, affine: bool, inverse: bool = False) -> JacobianPaths:
    """Return the names of the files; in a folder, they say what the values are and in which direction.

    Parameters
    ----------
    output : Path
        An image, or a folder: any path without the suffix of an image.
    log, affine : bool
        Whether it is the logarithm, and of the whole transform.
    inverse : bool
        Whether it is that of the transform from the moving to the fixed scan.
    """
    suffix = next((suffix for suffix in _SUFFIXES if output.name.lower().endswith(suffix)), None)
    if suffix is None or output.is_dir():
        direction = "fixed-over-moving" if inverse else "moving-over-fixed"
        name = f"{'log-' if log else ''}jacobian_{direction}{'' if affine else '_without-affine'}"
        output, suffix = output / f"{name}.nii.gz", ".nii.gz"
    stem = output.name[: -len(suffix)]
    return JacobianPaths(output, output.with_name(f"{stem}.json"), output.with_name(f"{stem}_labels.csv"))


def jacobian_json(
    jacobian: Jacobian,
    changes: Sequence[VolumeChange] = (),
    *,
    log: bool,
    direction: str = "moving / fixed",
    sources: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the content of the JSON beside the image; see docs/jacobian.md."""
    content: dict[str, Any] = {
        "version": __version__,
        "description": jacobian.description(direction, log=log),
        "direction": f"volume {direction}",
        "log": log,
        "affine_removed": jacobian.removed,
        "affine": jacobian.affine.tolist(),
        **({} if sources is None else {"inputs": dict(sources)}),
        "summary": jacobian.summary(),
    }
    if changes:
        content["labels"] = [change.to_json() for change in changes]
        if any(change.low_percent is not None for change in changes):
            content["interval"] = _INTERVAL
    return content


def write_jacobian(
    jacobian: Jacobian, content: Mapping[str, Any], changes: Sequence[VolumeChange], paths: JacobianPaths
) -> None:
    """Write the files, each atomically; the description stands in the header of NIfTI, too.

    Parameters
    ----------
    jacobian : Jacobian
    content : dict
        From :func:`jacobian_json`.
    changes : sequence of VolumeChange
        Rows of the table; without any there is none.
    paths : JacobianPaths

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    write_image(jacobian.image(log=content["log"]), paths.image, notes=content["description"])
    write_json(content, paths.sidecar)
    if changes:
        write_text(csv_text(volume_rows(changes)), paths.table)
