"""One pair, from files to a result folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from learngn.clock import Clock
from learngn.errors import header_warnings
from learngn.evaluation import score_pair
from learngn.geometry.grid_map import Resampling
from learngn.io import Pair, Subject, read_grid
from learngn.kernels import warm
from learngn.memory import give_back
from learngn.model import Model, read_model
from learngn.optimise import Iteration
from learngn.registration import Guidance, Request, read_pair, register_pair
from learngn.report import write_pair_report
from learngn.results import check_inputs_kept, result_folder, write_files, write_metrics
from learngn.settings import Settings


def _nothing(*_: object) -> None:
    """Ignore an event."""


@dataclass(frozen=True)
class PairEvents:
    """Functions called while a pair is registered, to show progress.

    Attributes
    ----------
    dimension : callable
        Before anything is computed, with the number of dimensions, 2 or 3.
    begins : callable
        Before the displacement is optimised, with the settings.
    step : callable
        With every Gauss-Newton step.
    stage : callable
        With the name of every later stage.
    """

    dimension: Callable[[int], None] = _nothing
    begins: Callable[[Settings], None] = _nothing
    step: Callable[[Iteration], None] = _nothing
    stage: Callable[[str], None] = _nothing


def register_files(
    fixed: str | Path | Subject,
    moving: str | Path | Subject,
    output: str | Path,
    request: Request | None = None,
    *,
    model: str | Path | Model | None = None,
    guidance: Guidance | None = None,
    tissue: str | Path | None = None,
    resampling: Resampling | None = None,
    label_names: Mapping[int, str] | None = None,
    report: bool = True,
    command: str = "",
    events: PairEvents | None = None,
) -> dict[str, Any]:
    """Register a pair of files and write the result folder: images, transforms, ``metrics.json`` and the report.

    This is what ``learngn register`` does. The folder appears whole or not at all.

    Parameters
    ----------
    fixed, moving : path or Subject
        The scans, alone or with label maps, landmarks, masks and key points.
    output : path
        Made unless it exists.
    request : Request, optional
        Features, preset and settings; by default those that suit the scans.
    model : path or Model, optional
        A trained model.
    guidance : Guidance, optional
        Whether masks and key points are used, where there are some.
    tissue : path, optional
        Label map of the fixed scan, along whose boundaries organs may slide.
    resampling : Resampling, optional
        How the moving scan is interpolated, and the value outside of it.
    label_names : dict, optional
        Names of the labels, for scores and report.
    report : bool
        Write ``report.html``.
    command : str
        How to repeat the run, for ``metrics.json``.
    events : PairEvents, optional

    Returns
    -------
    dict
        Content of ``metrics.json``, see docs/formats.md.

    Raises
    ------
    LearnGNError
        If a file cannot be read, the pair not be registered, or the folder not be written.
    """
    files, output = Pair(_subject(fixed), _subject(moving)), Path(output)
    request, events, clock = request or Request(), events or PairEvents(), Clock()
    inputs = _inputs(files, tissue)
    check_inputs_kept(inputs, output)
    trained = read_model(model) if isinstance(model, str | Path) else model
    with result_folder(output) as folder, ThreadPoolExecutor(1, "learngn-beside") as beside:
        if not files.fixed.image.is_dir():  # a folder of slices is known when all of it has been read
            _get_ready(read_grid(files.fixed.image).ndim, events, beside)
        with clock.stage("read"), header_warnings() as notes:
            pair = read_pair(
                files,
                label_maps=request.label_maps(trained),
                guidance=guidance,
                tissue=None if tissue is None else Path(tissue),
                evaluation_masks=False,
            )
        if files.fixed.image.is_dir():
            _get_ready(pair.fixed.grid.ndim, events, beside)
        registration = register_pair(
            pair,
            request,
            model=trained,
            begins=events.begins,
            callback=events.step,
            resampling=resampling,
            clock=clock,
        )
        give_back()  # what the levels have held: writing takes as much anew
        events.stage("writing and scoring")
        scoring = beside.submit(score_pair, registration.transform, pair)
        if torch.get_num_threads() == 1 or registration.settings.memory is not None:
            scoring.result()
            give_back()
        seconds = write_files(registration, folder, pair.moving.labels if files.moving.labels else None)
        metrics = write_metrics(
            registration, scoring.result(), folder,
            inputs=inputs, seconds=seconds, command=command, label_names=label_names, notes=notes,
        )  # fmt: skip
        if report:
            events.stage("report")
            write_pair_report(folder, registration)
    return metrics


def _subject(source: str | Path | Subject) -> Subject:
    return source if isinstance(source, Subject) else Subject(Path(source))


def _get_ready(ndim: int, events: PairEvents, beside: ThreadPoolExecutor) -> None:
    """Load compiled kernels while other work is done."""
    events.dimension(ndim)
    if torch.get_num_threads() > 1:
        beside.submit(warm.load, ndim)


def _inputs(files: Pair, tissue: str | Path | None) -> dict[str, Path]:
    """Files that are read, by role: ``fixed``, ``moving``, ``fixed_labels``, ..."""
    named: dict[str, Path | None] = {}
    for role in ("image", "labels", "landmarks", "mask", "keypoints"):
        for side, subject in (("fixed", files.fixed), ("moving", files.moving)):
            named[side if role == "image" else f"{side}_{role}"] = getattr(subject, role)
    named["tissue"] = None if tissue is None else Path(tissue)
    return {role: path for role, path in named.items() if path is not None}
