"""What a registration leaves on the disk: its files and ``metrics.json``, all of them or none."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

from learngn._version import __version__
from learngn.clock import Clock
from learngn.errors import OutputError
from learngn.evaluation import PairScores
from learngn.evaluation.scores import json_number
from learngn.image import Image
from learngn.io import check_writable, temporary_folder, write_image, write_json, write_transform
from learngn.io.locks import locked
from learngn.memory import peak_bytes, readable
from learngn.optimise import Iteration, StopReason
from learngn.registration import Registration

# In the order in which they appear: where metrics.json is, the files that it speaks of are too.
RESULT_FILES = (
    "warped.nii.gz",
    "warped_labels.nii.gz",
    "displacement.nii.gz",
    "inverse_displacement.nii.gz",
    "affine.tfm",
    "metrics.json",
    "report.html",
)

_SPEAKING = ("metrics.json", "report.html")  # of the other files

_LOCK = ".learngn-result.lock"
_MANY_FOLDS = 1.0  # [%] beyond which a field is not to be trusted
_LITTLE_OVERLAP = 0.25  # fraction of the fixed image


@contextmanager
def result_folder(directory: str | Path) -> Iterator[Path]:
    """Offer a temporary folder to write a result into, and move its files to `directory` when the block ends.

    Results of an earlier run that this one has not made again are removed, so that the files of a folder always belong
    together. Whatever ends the block early, Ctrl-C included, leaves the folder as it was.

    Parameters
    ----------
    directory : path
        Made unless it exists; whether it can be written is seen at once.

    Raises
    ------
    OutputError
        If not.
    """
    directory = Path(directory)
    made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    check_writable(directory)
    try:
        with temporary_folder(directory) as temporary:
            yield temporary
            # Two runs into one folder move their files one after the other: what stays is all of one run.
            with locked(directory / _LOCK, remove=True):
                # Whoever is killed in between leaves no metrics.json that speaks of other files than those there.
                for name in reversed(RESULT_FILES):
                    if name in _SPEAKING or not (temporary / name).exists():
                        (directory / name).unlink(missing_ok=True)
                for name in RESULT_FILES:
                    if (temporary / name).exists():
                        os.replace(temporary / name, directory / name)
    finally:
        with suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()


def check_inputs_kept(inputs: Mapping[str, Path], directory: str | Path) -> None:
    """Raise :class:`OutputError` if writing a result into a folder would overwrite one of its inputs."""
    outputs = {(Path(directory) / name).resolve() for name in RESULT_FILES}
    for name, path in inputs.items():
        if path.resolve() in outputs:
            raise OutputError(
                f"output folder {directory}",
                f"the {name.replace('_', ' ')} {path.name} itself in it",
                "a folder without the inputs",
                "name another output folder",
            )


def write_files(
    registration: Registration, directory: Path, moving_labels: Image | None = None, before: Clock | None = None
) -> dict[str, float]:
    """Write images and transforms of a result.

    Parameters
    ----------
    registration : Registration
    directory : Path
    moving_labels : Image, optional
        Label map of the moving scan, to be warped.
    before : Clock, optional
        What was done before the registration.

    Returns
    -------
    dict
        Seconds of every stage, ``write`` and ``total`` included.
    """
    clock = Clock(dict(registration.seconds))
    for stage, seconds in (before or Clock()).seconds.items():
        clock.seconds[stage] = clock.seconds.get(stage, 0.0) + seconds
    grid, warped_labels = registration.fixed.grid, None
    if moving_labels is not None:
        with clock.stage("warp"):
            warped_labels = registration.transform.warp(moving_labels, grid)
    with clock.stage("write"):
        if warped_labels is not None:
            write_image(warped_labels, directory / "warped_labels.nii.gz")
        write_image(registration.warped, directory / "warped.nii.gz")
        write_transform(registration.transform, directory / "displacement.nii.gz", reference=grid)
        if registration.inverse is not None:
            write_transform(
                registration.inverse, directory / "inverse_displacement.nii.gz", reference=registration.moving.grid
            )
        if registration.settings.aligns:
            write_transform(registration.affine, directory / "affine.tfm")
    return clock.seconds | {"total": sum(clock.seconds.values())}


def write_metrics(
    registration: Registration,
    scores: PairScores,
    directory: Path,
    *,
    inputs: Mapping[str, Path],
    seconds: Mapping[str, float],
    command: str,
    label_names: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """Write ``metrics.json``; see docs/formats.md for its keys.

    Parameters
    ----------
    registration : Registration
    scores : PairScores
    directory : Path
    inputs : dict
        Files read, by role: ``fixed``, ``moving``, ``fixed_labels``, ...
    seconds : dict
        As :func:`write_files` returns them.
    command : str
        The command line, to repeat the run.
    label_names : dict, optional

    Returns
    -------
    dict
        What was written.
    """
    resolved = registration.resolved
    metrics: dict[str, Any] = {
        "version": __version__,
        "command": command,
        "inputs": {role: {"path": str(path.resolve()), "sha256": sha256(path)} for role, path in inputs.items()},
        "settings": registration.settings.as_dict(),
        **({} if resolved.recognised is None else {"preset": resolved.recognised.to_json()}),
        "ndim": registration.fixed.grid.ndim,
        **_scores_json(scores),
        "label_names": {str(label): name for label, name in (label_names or {}).items()},
        "seconds": dict(seconds),
        "peak_memory_mb": peak_bytes() / 2**20,
        **outcome(registration),
        **({} if registration.inverse_error is None else {"inverse_error": registration.inverse_error}),
        "history": [_iteration_json(step) for step in registration.history],
        "warnings": [*_levels_left_out(registration), *warnings_of(registration, scores)],
    }
    write_json(metrics, directory / "metrics.json")
    return metrics


def outcome(registration: Registration) -> dict[str, str]:
    """How a registration started and ended, for JSON."""
    stop = registration.stop
    return {"affine_start": registration.affine_start, "stop": stop.value, "stop_reason": stop.name.lower()}


def _levels_left_out(registration: Registration) -> list[str]:
    resolved = registration.resolved
    if not resolved.left_out:
        return []
    levels = ", ".join(f"1/{stride:g}" for stride in resolved.left_out)
    budget, finest = readable(resolved.settings.memory or 0), f"1/{resolved.settings.strides[-1]:g}"
    return [f"To keep to {budget} of memory the levels {levels} were left out: the finest is {finest}."]


def warnings_of(registration: Registration, scores: PairScores) -> list[str]:
    """What a user should look at before trusting a registration; empty if there is nothing."""
    found = []
    if registration.stop is StopReason.SOLVER:
        found.append("The linear solver broke down on the finest level: the result is that of the step before.")
    overlap = registration.fixed.grid.overlap(registration.moving.grid, registration.affine.matrix)
    if overlap < _LITTLE_OVERLAP:
        found.append(f"The moving scan covers only {overlap:.0%} of the fixed one: check the affine stage.")
    if scores.folds_percent > _MANY_FOLDS:
        found.append(f"{scores.folds_percent:.1f} % of the voxels fold: raise the last λ.")
    if scores.dice_mean < scores.dice_mean_before:
        found.append(
            f"The mean Dice fell from {scores.dice_mean_before:.3f} to {scores.dice_mean:.3f}: look at the pictures."
        )
    return found


def sha256(path: Path) -> str:
    """SHA-256 of a file, or of the files of a folder in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _scores_json(scores: PairScores) -> dict[str, Any]:
    """Scores without those that the pair does not have: no labels, no Dice."""
    record = scores.to_json()
    known = {"folds_percent", "std_log_jacobian", "sdlogj"}
    if scores.dice:
        known |= {"dice", "dice_before", "hd95", "dice_mean", "dice_mean_before", "hd95_mean"}
    if record["tre"] is not None:
        known |= {"tre", "tre_before"}
    return {key: value for key, value in record.items() if key in known}


def _iteration_json(step: Iteration) -> dict[str, Any]:
    record = {key: value.name.lower() if isinstance(value, Enum) else value for key, value in asdict(step).items()}
    return {key: json_number(value) if isinstance(value, float) else value for key, value in record.items()}
