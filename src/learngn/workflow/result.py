"""Writing of a registration: its folder, or its report alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from learngn.errors import OutputError
from learngn.evaluation import score_pair
from learngn.io import check_writable, write_json, write_text
from learngn.memory import give_back
from learngn.registration import Registration
from learngn.report.pair import page_of_registration
from learngn.results import check_inputs_kept, metrics_of, result_folder, write_files
from learngn.threads import thread_count


def write_result(
    registration: Registration,
    folder: Path,
    *,
    inputs: Mapping[str, Path],
    command: str = "",
    label_names: Mapping[int, str] | None = None,
    notes: Sequence[str] = (),
    report: bool = True,
    stage: Callable[[str], None] | None = None,
    adds: Callable[[Registration, Path], Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Write all files of a result: images, transforms, ``metrics.json`` and the report.

    Parameters
    ----------
    registration : Registration
    folder : Path
        Existing folder, see :func:`learngn.results.result_folder`.
    inputs, command, label_names, notes
        See :func:`learngn.results.metrics_of`.
    report : bool
        Write ``report.html``.
    stage : callable, optional
        Called with the name of every stage.
    adds : callable, optional
        See :class:`learngn.workflow.PairEvents`.

    Returns
    -------
    dict
        Content of ``metrics.json``, see docs/formats.md.
    """
    give_back()  # memory of the levels; writing needs as much again
    if stage is not None:
        stage("writing and scoring")
    with ThreadPoolExecutor(1, "learngn-background") as background:
        scoring = background.submit(score_pair, registration.transform, registration.pair)
        if thread_count() == 1 or registration.settings.memory is not None:
            scoring.result()
            give_back()
        seconds = write_files(registration, folder)
        metrics = metrics_of(
            registration, scoring.result(),
            inputs=inputs, seconds=seconds, command=command, label_names=label_names, notes=notes,
        )  # fmt: skip
    if adds is not None:
        added = dict(adds(registration, folder))
        metrics["warnings"] += added.pop("warnings", ())
        metrics |= added
    write_json(metrics, folder / "metrics.json")
    if report:
        if stage is not None:
            stage("report")
        write_text(page_of_registration(registration, metrics), folder / "report.html")
    return metrics


def save_registration(
    registration: Registration,
    directory: str | Path,
    *,
    label_names: Mapping[int, str] | None = None,
    report: bool = True,
) -> Path:
    """Write a result folder; see :meth:`learngn.Registration.save`."""
    directory, inputs = Path(directory), _existing(registration)
    check_inputs_kept(inputs, directory)
    with result_folder(directory) as folder:
        write_result(registration, folder, inputs=inputs, label_names=label_names, report=report)
    return directory


def save_report(registration: Registration, path: str | Path, *, label_names: Mapping[int, str] | None = None) -> Path:
    """Write the report alone; see :meth:`learngn.Registration.report`."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"report {path}", f"the suffix {path.suffix!r}", ".html", "name a file such as report.html")
    check_writable(path.parent)
    seconds = {**registration.seconds, "total": sum(registration.seconds.values())}
    metrics = metrics_of(
        registration, registration.scores, inputs=_existing(registration), seconds=seconds, label_names=label_names
    )
    write_text(page_of_registration(registration, metrics), path)
    return path


def _existing(registration: Registration) -> dict[str, Path]:
    """Return the files from which the pair was read, as far as they are still there."""
    return {role: path for role, path in registration.pair.files.items() if path.exists()}
