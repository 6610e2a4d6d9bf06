"""Multi-atlas labelling: every atlas is registered to every target, and their labels are fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learngn.arrays import as_numpy
from learngn.atlas.fusion import VOTING
from learngn.atlas.trust import trusted
from learngn.cohort import CohortEvents, Failure, Pool, Serial, run_cohort
from learngn.errors import DatasetError, LabelError, SettingsError
from learngn.evaluation import dice, labels_in_both, mean_over_labels
from learngn.evaluation.pair_scores import json_number
from learngn.io import Pair, Subject, check_writable, read_image, read_learn2reg, write_image, write_json
from learngn.registration import Request

if TYPE_CHECKING:
    from learngn.model import Model

PROPAGATION_NAME = "propagation.json"
_FIELDS = "fields"


def propagate(
    targets: Sequence[Subject],
    atlases: Sequence[Subject],
    directory: str | Path,
    request: Request | None = None,
    events: CohortEvents | None = None,
    *,
    voting: str = "joint",
    weigh: bool = True,
    model: Model | None = None,
    pool: Pool | None = None,
    retries: int = 0,
    retry: bool = False,
) -> list[dict[str, Any]]:
    """Label targets by registered atlases.

    Writes for each target a label map of its scan's name; ``fields/``, the registrations as :func:`run_cohort` leaves
    them, which goes on where it was killed; and ``propagation.json``.

    Parameters
    ----------
    targets : sequence of Subject
        Scans to label. If they have label maps, the result is compared with them.
    atlases : sequence of Subject
        Scans with label maps.
    directory : path
    request, events, model, pool, retries, retry
        As of :func:`learngn.cohort.run_cohort`, whose fixed scans are the targets.
    voting : str
        ``"joint"`` or ``"majority"``; see :mod:`learngn.atlas.fusion`.
    weigh : bool
        Weigh the votes of atlases by the doubt and the uncertainty of their registrations, and leave out those whose
        verdict is ``"failed"``, unless all are; see :mod:`learngn.atlas.trust`.

    Returns
    -------
    list of dict
        For every target ``target``, ``atlases`` (number of atlases that were used), ``trust`` in each (if it differs),
        ``left_out`` (atlases whose verdict is ``"failed"``) or ``all_failed``, and, if it has labels, ``dice`` by label
        and ``dice_mean``; or ``error``.

    Raises
    ------
    SettingsError
        If the voting is unknown.
    DatasetError
        If there is no target or no atlas, or a scan is both.
    LabelError
        If an atlas has no label map.
    OutputError
        If a target lies in the output folder itself.
    """
    directory, pool = Path(directory).resolve(), pool or Serial()
    if voting not in VOTING:
        raise SettingsError("voting", repr(voting), f"one of {', '.join(VOTING)}", "choose one of them")
    _check(targets, atlases)
    check_writable(directory)
    pairs = [Pair(target, atlas) for target in targets for atlas in atlases]
    records = run_cohort(
        pairs, directory / _FIELDS, request, events, model=model, pool=pool, retries=retries, retry=retry
    )
    tasks, notes = {}, {}
    for number, target in enumerate(targets):
        of_target = records[number * len(atlases) : (number + 1) * len(atlases)]
        trust = trusted(of_target) if weigh else {n: 1.0 for n, r in enumerate(of_target) if "error" not in r}
        usable = [atlases[index] for index in trust]
        tasks[target.image.name] = partial(_Fusion(directory, voting), target, usable, tuple(trust.values()))
        notes[target.image.name] = _notes(atlases, of_target, trust) if weigh else {}
    results = {name: _described(name, result, notes[name]) for name, result in pool.run(tasks, retries)}
    summary = [results[target.image.name] for target in targets]
    write_json(
        {"voting": voting, "weigh": weigh, "atlases": [a.image.name for a in atlases], "targets": summary},
        directory / PROPAGATION_NAME,
    )
    return summary


@dataclass(frozen=True)
class _Fusion:
    """Warp the labels of registered atlases onto a target and fuse them, as a task for any process."""

    directory: Path
    voting: str

    def __call__(self, target: Subject, atlases: Sequence[Subject], trust: Sequence[float]) -> dict[str, Any]:
        if not atlases:
            raise DatasetError("atlases", "none that could be registered", "one at least", "see fields/results.jsonl")
        scan = read_image(target.image)
        warped, labels = [], []
        for atlas in atlases:
            moving, moving_labels = read_image(atlas.image), read_image(_labels(atlas), labels=True)
            field = self.directory / _FIELDS / Pair(target, atlas).field_name
            on_target = read_learn2reg(field, scan.grid, moving.grid).on(scan.grid)
            warped.append(on_target.warp(moving, background="border"))
            labels.append(on_target.warp(moving_labels))
        fused = VOTING[self.voting](scan, warped, labels, trust=trust)
        write_image(fused, self.directory / target.image.name)
        result: dict[str, Any] = {"atlases": len(atlases)}
        if target.labels is not None:
            true_labels = as_numpy(read_image(target.labels, labels=True).data[0, 0])
            fused_labels = as_numpy(fused.data[0, 0])
            known = {value for image in labels for value in image.label_values}
            scores = dice(true_labels, fused_labels, sorted(known & set(labels_in_both(true_labels, true_labels))))
            result["dice"] = {str(label): json_number(value) for label, value in scores.items()}
            result["dice_mean"] = json_number(mean_over_labels(scores))
        return result


def _described(name: str, result: Mapping[str, Any] | Failure, notes: Mapping[str, Any]) -> dict[str, Any]:
    return {"target": name, **({"error": result.error} if isinstance(result, Failure) else {**result, **notes})}


def _notes(
    atlases: Sequence[Subject], records: Sequence[Mapping[str, Any]], trust: Mapping[int, float]
) -> dict[str, Any]:
    """Return what is said about a target's atlases: those left out, and the trust in the others if it differs."""
    names = [atlas.image.name for atlas in atlases]
    failed = [n for n, record in enumerate(records) if record.get("verdict") == "failed"]
    notes: dict[str, Any] = {}
    if left_out := [names[index] for index in failed if index not in trust]:
        notes["left_out"] = left_out
    elif failed:
        notes["all_failed"] = True
    if len(set(trust.values())) > 1:
        notes["trust"] = {names[index]: round(value, 4) for index, value in trust.items()}
    return notes


def _labels(atlas: Subject) -> Path:
    if atlas.labels is None:
        raise LabelError(
            f"atlas {atlas.image.name}", "no label map", "one in labelsTr", "add it, or leave the atlas out"
        )
    return atlas.labels


def _check(targets: Sequence[Subject], atlases: Sequence[Subject]) -> None:
    both = {subject.image.resolve() for subject in targets} & {subject.image.resolve() for subject in atlases}
    if not targets or not atlases or both:
        raise DatasetError(
            "targets and atlases",
            f"{len(targets)} targets, {len(atlases)} atlases, {len(both)} in both",
            "one at least of each, none in both",
            "name others",
        )
    for atlas in atlases:
        _labels(atlas)
