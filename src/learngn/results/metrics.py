"""``metrics.json``: settings, inputs, scores, times and warnings of a registration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

from learngn._version import __version__
from learngn.arrays import quantile
from learngn.evaluation import PairScores
from learngn.evaluation.pair_scores import json_number
from learngn.features import automatic_stains, has_stains
from learngn.io import write_json
from learngn.memory import peak_bytes, readable
from learngn.optimise import Iteration, StopReason
from learngn.registration import Registration
from learngn.results.files import sha256
from learngn.settings.levels import MOST_VOXELS

_MANY_FOLDS = 1.0  # [%] folding above which a warning is given
_COARSE = 3.0  # [mm] voxel size of the finest level above which small structures are lost
_BESIDE_OTHERS = {"corners", "edges", "vesselness"}  # features with too little information alone (docs/features.md)
_LITTLE_OVERLAP = 0.25  # covered fraction of the fixed image below which a warning is given


def metrics_of(
    registration: Registration,
    scores: PairScores,
    *,
    inputs: Mapping[str, Path],
    seconds: Mapping[str, float],
    command: str = "",
    label_names: Mapping[int, str] | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the content of ``metrics.json``; see docs/formats.md for its keys.

    Parameters
    ----------
    registration : Registration
    scores : PairScores
    inputs : dict
        Files read, by role: ``fixed``, ``moving``, ``fixed_labels``, ...
    seconds : dict
        Times of the stages, from :func:`write_files`.
    command : str
        Command line that repeats the run; empty if it was none.
    label_names : dict, optional
    notes : sequence of str
        Warnings from before the registration, for example about headers.
    """
    resolved = registration.resolved
    return {
        "version": __version__,
        "command": command,
        "inputs": _inputs_json(inputs),
        "settings": registration.settings.as_dict(),
        **({} if resolved.recognised is None else {"preset": resolved.recognised.to_json()}),
        "ndim": registration.fixed.grid.ndim,
        "finest_level_mm": finest_level(registration),
        **scores_json(scores),
        "label_names": _names_json(label_names),
        "seconds": dict(seconds),
        "peak_memory_mb": peak_bytes() / 2**20,
        **outcome(registration),
        **initial_json(registration),
        **uncertainty_json(registration),
        **({} if registration.inverse_error is None else {"inverse_error": registration.inverse_error}),
        **verdict_json(registration),
        "history": [_iteration_json(step) for step in registration.history],
        "warnings": [
            *notes,
            *_about_levels(registration),
            *_about_stains(registration),
            *warnings_of(registration, scores),
        ],
    }


def write_recorded_metrics(
    record: Mapping[str, Any],
    directory: Path,
    *,
    inputs: Mapping[str, Path],
    label_names: Mapping[int, str] | None = None,
) -> None:
    """Write ``metrics.json`` for a pair of a cohort from its record, which has no history.

    Parameters
    ----------
    record : dict
        See :func:`learngn.cohort.run_cohort`.
    directory : Path
    inputs, label_names
        As of :func:`metrics_of`.
    """
    scores = PairScores.from_json(record)
    left_out = {*scores.to_json(), "asked", "searches", "uncertainty"} - {"verdict", "reasons"}
    metrics = {
        **{key: value for key, value in record.items() if key not in left_out},
        "command": "",
        "inputs": _inputs_json(inputs),
        **scores_json(scores),
        "label_names": _names_json(label_names),
        "history": [],
        "warnings": [],
    }
    write_json(metrics, directory / "metrics.json")


def outcome(registration: Registration) -> dict[str, str]:
    """Return start and stop reason of a registration, for JSON."""
    stop = registration.stop
    return {"affine_start": registration.affine_start, "stop": stop.value, "stop_reason": stop.name.lower()}


def initial_json(registration: Registration) -> dict[str, Any]:
    """Return the initial transform of a registration and its use, for JSON; empty without one."""
    initial = registration.initial
    return {} if initial is None else {"initial_transform": initial.to_json(registration.settings.affine)}


def verdict_json(registration: Registration) -> dict[str, Any]:
    """Return the verdict on a registration with its reasons and measures, for JSON; empty if it was not judged."""
    return {} if registration.verdict is None else registration.verdict.to_json()


def uncertainty_json(registration: Registration) -> dict[str, Any]:
    """Return the uncertainty of a registration for JSON, if it was estimated; by label if the fixed scan has labels."""
    found, labels = registration.uncertainty, registration.pair.fixed.labels
    if found is None:
        return {}
    median, high = quantile(found.deviation.data, (0.5, 0.95))
    by_label = {} if labels is None else {str(k): asdict(value) for k, value in found.by_label(labels).items()}
    return {"uncertainty": {"median": float(median), "p95": float(high), "labels": by_label}}


def finest_level(registration: Registration) -> list[float]:
    """Return the voxel size of the finest level [mm], along every axis of the fixed image."""
    grid = registration.fixed.grid.coarsened(registration.resolved.spacing)
    return [round(float(size), 3) for size in grid.spacing]


def readable_spacing(spacing: Sequence[float]) -> str:
    """Return voxel sizes as text: one number if they are about equal."""
    if max(spacing) <= 1.1 * min(spacing):
        return f"{max(spacing):.2g} mm"
    return " x ".join(f"{size:.2g}" for size in spacing) + " mm"


def _about_levels(registration: Registration) -> list[str]:
    """Return warnings about levels left out by the memory budget, and a finest level made coarse by a large grid."""
    resolved, messages = registration.resolved, []
    finest, voxel = finest_level(registration), float(registration.fixed.grid.spacing.min())
    if resolved.coarsened and (max(finest) > _COARSE or resolved.spacing > 2 * voxel):
        messages.append(
            f"The finest level has voxels of {readable_spacing(finest)}, the fixed scan of {voxel:.2g} mm: levels are "
            f"fitted to {MOST_VOXELS / 1e6:g} million voxels. Name finer strides if time and memory allow."
        )
    if resolved.left_out:
        levels = ", ".join(f"1/{stride:g}" for stride in resolved.left_out)
        budget, last = readable(resolved.settings.memory or 0), f"1/{resolved.settings.strides[-1]:g}"
        messages.append(f"To keep to {budget} of memory the levels {levels} were left out: the finest is {last}.")
    return messages


def _about_stains(registration: Registration) -> list[str]:
    """Return a hint if stains that would suit the pictures cannot be separated here."""
    colours = registration.pair.fixed.colour, registration.pair.moving.colour
    if has_stains() or registration.settings.stains is None or len(automatic_stains(*colours)) == 1:
        return []
    return [
        "The sections were compared in grey: stains are separated by scikit-image, which is not installed. "
        "Run: pip install 'learngn[stains]'"
    ]


def warnings_of(registration: Registration, scores: PairScores) -> list[str]:
    """Return warnings about the quality of a registration; empty if there are none."""
    messages = []
    if registration.stop is StopReason.SOLVER:
        messages.append("The linear solver broke down on the finest level: the result is that of the step before.")
    overlap = registration.fixed.grid.overlap(registration.moving.grid, registration.affine.matrix)
    if overlap < _LITTLE_OVERLAP:
        messages.append(f"The moving scan covers only {overlap:.0%} of the fixed one: check the affine stage.")
    names = registration.settings.features
    if {part.partition(":")[0] for part in names.split(",")} <= _BESIDE_OTHERS:
        messages.append(f"{names} alone has too little information to align scans: add mind or intensity.")
    if scores.folds_percent > _MANY_FOLDS:
        messages.append(f"{scores.folds_percent:.1f} % of the voxels fold: raise the last λ.")
    if scores.dice_mean < scores.dice_mean_before:
        messages.append(
            f"The mean Dice fell from {scores.dice_mean_before:.3f} to {scores.dice_mean:.3f}: look at the pictures."
        )
    return messages


def _inputs_json(inputs: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    return {role: {"path": str(path.resolve()), "sha256": sha256(path)} for role, path in inputs.items()}


def _names_json(names: Mapping[int, str] | None) -> dict[str, str]:
    return {str(label): name for label, name in (names or {}).items()}


def scores_json(scores: PairScores) -> dict[str, Any]:
    """Return the scores that the pair has: Dice only with labels, TRE only with landmarks."""
    record = scores.to_json()
    known = {"folds_percent", "folds_body_percent", "std_log_jacobian", "sdlogj"}
    if scores.dice:
        known |= {
            "dice",
            "dice_before",
            "hd95",
            "dice_mean",
            "dice_mean_before",
            "hd95_mean",
            "hd95_mm",
            "hd95_mm_mean",
        }
    if record["tre"] is not None:
        known |= {"tre", "tre_before", "tre_landmarks", "tre_landmarks_before"}
    return {key: value for key, value in record.items() if key in known}


def _iteration_json(step: Iteration) -> dict[str, Any]:
    record = {key: value.name.lower() if isinstance(value, Enum) else value for key, value in asdict(step).items()}
    return {key: json_number(value) if isinstance(value, float) else value for key, value in record.items()}
