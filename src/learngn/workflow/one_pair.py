"""Registration of one pair, from files to a result folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learngn.clock import Clock
from learngn.errors import header_warnings
from learngn.geometry.grid_map import Resampling
from learngn.io import Pair, Subject, read_grid
from learngn.kernels import warm
from learngn.optimise import Iteration
from learngn.registration import Guidance, Registration, Request, model_of, read_pair, register_pair
from learngn.registration.initial import initial_files, read_initial
from learngn.registration.reading import files_of
from learngn.results import check_inputs_kept, result_folder
from learngn.settings import Settings
from learngn.threads import thread_count
from learngn.workflow.result import write_result

if TYPE_CHECKING:
    from learngn.model import Model

_LOG = logging.getLogger(__name__)


def _ignore(*_: object) -> None:
    """Ignore an event."""


def _nothing(*_: object) -> dict[str, Any]:
    """Add nothing."""
    return {}


@dataclass(frozen=True)
class PairEvents:
    """Functions called while a pair is registered, to show progress.

    Attributes
    ----------
    dimension : callable
        Called with the number of dimensions, 2 or 3, before anything is computed.
    begins : callable
        Called with the settings before the displacement is optimised.
    step : callable
        Called with every Gauss-Newton step.
    stage : callable
        Called with the name of every later stage.
    registered : callable
        Called with the result when its files have been written, before they are moved to the result folder.
    adds : callable
        Called with the registration and the folder in which the result is written: files of
        :data:`learngn.results.RESULT_FILES` that it adds become part of the result, and what it returns of
        ``metrics.json``, its ``"warnings"`` after the others.
    ends : callable
        Called with the folder in which all files of the result have been written, before they are moved to the result
        folder: a file of :data:`learngn.results.RESULT_FILES` that is added, such as a log, becomes part of the result.
    """

    dimension: Callable[[int], None] = _ignore
    begins: Callable[[Settings], None] = _ignore
    step: Callable[[Iteration], None] = _ignore
    stage: Callable[[str], None] = _ignore
    registered: Callable[[Registration], None] = _ignore
    adds: Callable[[Registration, Path], Mapping[str, Any]] = _nothing
    ends: Callable[[Path], None] = _ignore


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

    This is what ``learngn register`` does. The result is written atomically: all files or none.

    Parameters
    ----------
    fixed, moving : path or Subject
        The scans, with or without label maps, landmarks, masks and key points.
    output : path
        Result folder, created if necessary.
    request : Request, optional
        Features, preset and settings; by default those that suit the scans.
    model : path or Model, optional
        A trained model.
    guidance : Guidance, optional
        Use of masks and key points, if there are any, and an initial transform.
    tissue : path, optional
        Label map in the fixed scan's world; organs may slide along the boundaries of its labels.
    resampling : Resampling, optional
        Interpolation of the moving scan, and the value outside of it.
    label_names : dict, optional
        Names of the labels, used in scores and report.
    report : bool
        Write ``report.html``.
    command : str
        Command line that repeats the run, for ``metrics.json``.
    events : PairEvents, optional

    Returns
    -------
    dict
        Content of ``metrics.json``, see docs/formats.md.

    Raises
    ------
    LearnGNError
        If a file cannot be read, the pair cannot be registered, or the folder cannot be written.
    """
    files, output = Pair(_subject(fixed), _subject(moving)), Path(output)
    request, events, clock = request or Request(), events or PairEvents(), Clock()
    initial = None if guidance is None else guidance.initial
    inputs = files_of(files, None if tissue is None else Path(tissue)) | initial_files(initial)
    check_inputs_kept(inputs, output)
    trained = model_of(model)
    with result_folder(output) as folder, ThreadPoolExecutor(1, "learngn-background") as background:
        if not files.fixed.image.is_dir():  # the dimension of a folder of slices is known only after reading it
            _load_kernels(read_grid(files.fixed.image).ndim, events, background)
        with clock.stage("read"), header_warnings() as notes:
            pair = read_pair(
                files,
                label_maps=request.label_maps(trained),
                guidance=guidance,
                tissue=None if tissue is None else Path(tissue),
                evaluation_masks=False,
            )
            start = read_initial(initial, pair)
        if files.fixed.image.is_dir():
            _load_kernels(pair.fixed.grid.ndim, events, background)
        registration = register_pair(
            pair,
            request,
            model=trained,
            initial=start,
            begins=events.begins,
            callback=events.step,
            resampling=resampling,
            clock=clock,
        )
        metrics = write_result(
            registration, folder,
            inputs=inputs, command=command, label_names=label_names, notes=notes, report=report, stage=events.stage,
            adds=events.adds,
        )  # fmt: skip
        events.registered(registration)
        for warning in metrics["warnings"]:
            _LOG.info("warning: %s", warning)
        events.ends(folder)
    return metrics


def _subject(source: str | Path | Subject) -> Subject:
    return source if isinstance(source, Subject) else Subject(Path(source))


def _load_kernels(ndim: int, events: PairEvents, background: ThreadPoolExecutor) -> None:
    """Load compiled kernels in the background."""
    events.dimension(ndim)
    if thread_count() > 1:
        background.submit(warm.load, ndim)
