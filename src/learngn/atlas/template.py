"""Template of a group: its mean shape and intensity, by repeated registration to the current average."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from learngn.arrays import Array, like, namespace, quantile, zeros
from learngn.cohort import CohortEvents, Pool, run_cohort
from learngn.errors import DatasetError, FeatureError, SettingsError
from learngn.geometry.grid import Grid
from learngn.geometry.grid_map import GridMap
from learngn.geometry.image import Image
from learngn.geometry.mean_shape import in_mean_shape
from learngn.geometry.transform import Transform
from learngn.io import Pair, Subject, check_writable, read_image, read_learn2reg, write_image, write_json
from learngn.registration import Request

TEMPLATE_NAME, _REPORT_NAME = "template.nii.gz", "template.json"
_FIXED_NAME = "template_0000_0000.nii.gz"  # with the numbers that scans of a data set have
_BRIGHT = 0.9  # quantile of the positive values by which scans are scaled


@dataclass(frozen=True)
class Round:
    """Changes in one round of building a template.

    Attributes
    ----------
    subjects : int
        Number of registered subjects.
    moved : float
        Root mean square of the mean displacement: distance of the old template from the mean shape [mm].
    spread : float
        Root mean square distance of the subjects from the new template [mm].
    changed : float
        Root mean square change of the template's intensities, divided by their standard deviation.
    """

    subjects: int
    moved: float
    spread: float
    changed: float


def build_template(
    subjects: Sequence[Subject],
    directory: str | Path,
    request: Request | None = None,
    events: CohortEvents | None = None,
    *,
    rounds: int = 3,
    pool: Pool | None = None,
    retries: int = 0,
    after: Callable[[Round], None] | None = None,
) -> list[Round]:
    """Build the template of a group: ``template.nii.gz``, and ``template.json`` with the changes in every round.

    The first template is the first subject, on its grid. Each round registers all subjects to the template and replaces
    it by their average in their mean shape. After a killed run, the same call continues it.

    Parameters
    ----------
    subjects : sequence of Subject
        At least two subjects.
    directory : path
        Output folder, also for the registrations of every round, ``rounds/N``.
    request, events, pool, retries
        See :func:`learngn.cohort.run_cohort`; the fixed scan is the template.
    rounds : int
    after : callable, optional
        Called after every round.

    Raises
    ------
    DatasetError
        If there are fewer than two subjects, or none could be registered.
    SettingsError
        If the folder holds a template of other subjects.
    FeatureError
        If the features compare label maps, which cannot be averaged.
    """
    directory = Path(directory).resolve()
    if len(subjects) < 2 or rounds < 1:
        raise DatasetError("template", f"{len(subjects)} subjects, {rounds} rounds", "two and one at least", "add some")
    if request is not None and request.label_maps():
        raise FeatureError(
            "template", request.as_dict()["features"], "features of scans", "choose others, mind for example"
        )
    template, history = read_image(subjects[0].image), list[Round]()
    check_writable(directory)
    _check_same_subjects(subjects, directory)
    asked = request or Request()
    unjudged = replace(asked, changes={"quality": False, **asked.changes})  # means of all; none is left where it was
    for number in range(1, rounds + 1):
        folder = directory / "rounds" / str(number)
        check_writable(folder)
        fixed = Subject(folder / _FIXED_NAME)
        write_image(template, fixed.image)
        pairs = [Pair(fixed, subject) for subject in subjects]
        records = run_cohort(pairs, folder, unjudged, events, pool=pool, retries=retries)
        scans, transforms = [], []
        for pair, record in zip(pairs, records, strict=True):
            if "error" not in record:
                scans.append(read_image(pair.moving.image))
                transforms.append(read_learn2reg(folder / pair.field_name, template.grid, scans[-1].grid))
        if not scans:
            raise DatasetError(
                "template", f"no subject registered ({records[0]['error']})", "one at least", "see above"
            )
        new, moved, spread = average_in_mean_shape(scans, transforms, template.grid)
        changed = _change(template.data, new.data)
        template = new
        history.append(Round(len(scans), moved, spread, changed))
        write_image(template, directory / TEMPLATE_NAME)
        _write_report(subjects, history, directory)
        if after is not None:
            after(history[-1])
    return history


def average_in_mean_shape(
    scans: Sequence[Image], transforms: Sequence[Transform], grid: Grid
) -> tuple[Image, float, float]:
    """Average scans in their mean shape, which is that of :func:`learngn.geometry.mean_shape.in_mean_shape`.

    It does not depend on the common space from which the transforms start. Scans without negative
    values, such as MR, are scaled to the brightness of the first.

    Parameters
    ----------
    scans : sequence of Image
    transforms : sequence of Transform
        Transforms from the common space, in the world, to each scan.
    grid : Grid
        Grid of the result.

    Returns
    -------
    Image
    moved, spread : float
        See :class:`Round`.
    """
    fields = [transform.on(grid).displacement() for transform in transforms]
    centred, mean = in_mean_shape(fields, grid)
    total, squares, scales = zeros((1, 1, *grid.shape), mean), 0.0, _scales(scans)
    for scan, composed, scale in zip(scans, centred, scales, strict=True):
        warped = GridMap(grid, composed, np.eye(grid.ndim + 1)).warp(scan, background="border")
        total += scale / len(scans) * warped.data
        squares += _magnitude(composed, grid) ** 2 / len(scans)
    return Image(total, grid), _magnitude(mean, grid), squares**0.5


def _change(old: Array, new: Array) -> float:
    """Compute the root mean square change of values, divided by the standard deviation of the new ones."""
    xp = namespace(old, new)
    return float(xp.sqrt(xp.mean((new - old) ** 2) / xp.var(new, correction=1)))


def _magnitude(field: Array, grid: Grid) -> float:
    """Compute the root mean square magnitude [mm] of displacements that are given in voxels."""
    xp, linear = namespace(field), like(grid.affine[:-1, :-1], field)
    moved = linear @ xp.reshape(field, (*field.shape[:2], -1))
    return float(xp.sqrt(xp.mean(xp.sum(moved**2, axis=1))))


def _scales(scans: Sequence[Image]) -> list[float]:
    if any(float(scan.data.min()) < 0 for scan in scans):  # Hounsfield units, for example
        return [1.0] * len(scans)
    bright = [quantile(scan.data[scan.data > 0], _BRIGHT) for scan in scans]
    return [bright[0] / value for value in bright]


def _check_same_subjects(subjects: Sequence[Subject], directory: Path) -> None:
    path = directory / _REPORT_NAME
    names = [subject.image.name for subject in subjects]
    before = json.loads(path.read_text(encoding="utf-8"))["subjects"] if path.exists() else names
    if before != names:
        raise SettingsError(
            f"output folder {directory}",
            f"a template of {len(before)} other subjects",
            f"one of these {len(names)}",
            "name another output folder, or delete this one to begin anew",
        )
    _write_report(subjects, [], directory)


def _write_report(subjects: Sequence[Subject], rounds: Sequence[Round], directory: Path) -> None:
    report: dict[str, Any] = {
        "subjects": [subject.image.name for subject in subjects],
        "rounds": [asdict(entry) for entry in rounds],
    }
    write_json(report, directory / _REPORT_NAME)
