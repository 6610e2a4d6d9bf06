"""Result folder of a longitudinal comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from learngn._version import __version__
from learngn.evaluation import VolumeChange, volume_rows
from learngn.evaluation.score_csv import csv_text
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import field_suffix, write_image, write_json, write_text, write_transform
from learngn.longitudinal.study import Longitudinal, TimePoint, compare_time_points
from learngn.report.longitudinal import longitudinal_page
from learngn.report.material import Material
from learngn.results import check_inputs_kept, result_folder, sha256

# In the order in which they are moved: metrics.json comes after the files that it describes.
LONGITUDINAL_FILES = (
    "mean.nii.gz",
    "timepoint[0-9]*.*",
    "difference_*.nii.gz",
    "log-jacobian_*.nii.gz",
    "displacement_*.nii.gz",
    "displacement_*.mha",
    "regions.csv",
    "metrics.json",
    "report*.html",
)


def compare_files(
    scans: Sequence[Path],
    output: str | Path,
    *,
    labels: Path | None = None,
    mask: Path | None = None,
    label_names: Mapping[int, str] | None = None,
    report: bool = True,
    command: str = "",
    stage: Callable[[str], None] | None = None,
    **given: Any,
) -> dict[str, Any]:
    """Compare time points of one subject and write the result folder: what ``learngn longitudinal`` does.

    Parameters
    ----------
    scans : sequence of path
        The baseline, then the follow-ups.
    output : path
        Result folder, created if necessary; all files appear together or not at all.
    labels : path, optional
        Label map of the baseline.
    mask : path, optional
        Mask of the baseline.
    label_names : dict, optional
    report : bool
        Write ``report.html``.
    command : str
        Command line that repeats the run.
    stage : callable, optional
        Called with the name of every stage.
    **given
        Settings and brightness, see :func:`compare_time_points`.

    Returns
    -------
    dict
        Content of ``metrics.json``.

    Raises
    ------
    LearnGNError
        As :func:`compare_time_points`; or the folder cannot be written, or would replace an input.
    """
    say = stage or (lambda _: None)
    inputs = {"baseline": scans[0], **{f"follow_up_{k}": path for k, path in enumerate(scans[1:], 1)}}
    inputs |= {name: path for name, path in (("labels", labels), ("mask", mask)) if path is not None}
    check_inputs_kept(inputs, output, LONGITUDINAL_FILES)
    with result_folder(output, LONGITUDINAL_FILES) as folder:
        say("aligning and deforming")
        study = compare_time_points(scans, mask=mask, **given)
        regions: dict[int, list[VolumeChange]] = {}
        if labels is not None:
            say("regions")
            for index in range(1, len(scans)):
                regions[index] = study.volume_changes(labels, index, names=label_names)
        say("writing")
        content = _content(study, [path.name for path in scans], inputs, regions, command)
        _write_images(study, folder)
        if regions:
            write_text(csv_text(_table(regions)), folder / "regions.csv")
        write_json(content, folder / "metrics.json")
        if report:
            say("report")
            _write_pages(study, content, regions, labels, label_names, folder)
    return content


def _content(
    study: Longitudinal,
    names: Sequence[str],
    inputs: Mapping[str, Path],
    regions: Mapping[int, Sequence[VolumeChange]],
    command: str,
) -> dict[str, Any]:
    points = []
    for index, (name, point) in enumerate(zip(names, study.points, strict=True)):
        entry: dict[str, Any] = {"name": name, "gain": point.gain, "rigid": point.rigid.matrix.tolist()}
        entry |= _motion(point, study.grid)
        if index:
            entry["change"] = study.mean_space_jacobian(index).summary()
        if index in regions:
            entry["regions"] = [one.to_json() for one in regions[index]]
        points.append(entry)
    return {
        "version": __version__,
        "command": command,
        "inputs": {role: {"path": str(path.resolve()), "sha256": sha256(path)} for role, path in inputs.items()},
        "settings": study.settings.as_dict(),
        "time_points": points,
        "seconds": {**study.seconds, "total": sum(study.seconds.values())},
    }


def _motion(point: TimePoint, grid: Grid) -> dict[str, float]:
    """Return the angle of a rigid map, and the distance by which it moves the middle of the scan."""
    linear = point.rigid.matrix[:-1, :-1]
    cosine = (np.trace(linear) - 1) / 2 if len(linear) == 3 else linear[0, 0]
    shift = point.rigid.map_points(grid.centre) - grid.centre
    return {
        "turned_degree": float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))),
        "moved_mm": float(np.linalg.norm(shift)),
    }


def _write_images(study: Longitudinal, folder: Path) -> None:
    suffix, baseline = field_suffix(study.grid), study.points[0].scan.grid
    write_image(study.mean, folder / "mean.nii.gz")
    for number, point in enumerate(study.points, 1):
        write_image(point.aligned, folder / f"timepoint{number}_rigid.nii.gz", notes="rigid, in the mean space")
        write_image(point.warped, folder / f"timepoint{number}.nii.gz", notes="deformed to the mean space")
        write_transform(point.rigid, folder / f"timepoint{number}_rigid.tfm")
        write_transform(point.transform, folder / f"timepoint{number}_displacement{suffix}", reference=study.grid)
    for index in range(1, len(study.points)):
        pair, direction = f"{index + 1}-over-1", f"time point {index + 1} / 1"
        mean_space, own = study.mean_space_jacobian(index), study.jacobian(index)
        for jacobian, place in ((mean_space, "mean-space"), (own, "baseline")):
            words = f"log det J = volume {direction}, {place.replace('-', ' ')}"
            write_image(jacobian.logarithm, folder / f"log-jacobian_{pair}_{place}.nii.gz", notes=words)
        write_image(
            study.difference(index),
            folder / f"difference_{index + 1}-minus-1.nii.gz",
            notes=f"brightness of time point {index + 1} - 1, rigid, mean space",
        )
        path = folder / f"displacement_1-to-{index + 1}{field_suffix(baseline)}"
        write_transform(study.between(0, index), path, reference=baseline)


def _table(regions: Mapping[int, Sequence[VolumeChange]]) -> list[list[str]]:
    """Return the rows of ``regions.csv``: those of every follow-up, with its number in the first column."""
    rows: list[list[str]] = []
    for index, changes in regions.items():
        head, *lines = volume_rows(changes)
        rows += [] if rows else [["time_point", *head]]
        rows += [[str(index + 1), *line] for line in lines]
    return rows


def _write_pages(
    study: Longitudinal,
    content: Mapping[str, Any],
    regions: Mapping[int, Sequence[VolumeChange]],
    labels: Path | None,
    label_names: Mapping[int, str] | None,
    folder: Path,
) -> None:
    """Write a page for every follow-up: ``report.html`` is that of the last."""
    names, last = [point["name"] for point in content["time_points"]], len(study.points) - 1
    pages = {index: "report.html" if index == last else f"report_{index + 1}.html" for index in range(1, last + 1)}
    outlines = None if labels is None else _labels_in_mean_position(study, labels)
    for index, page in pages.items():
        others = {names[k]: other for k, other in pages.items() if k != index}
        material = _material(study, index, outlines, label_names)
        text = longitudinal_page(material, names, index, content, regions.get(index, ()), others)
        write_text(text, folder / page)


def _labels_in_mean_position(study: Longitudinal, labels: Path) -> Image:
    return study.points[0].rigid.warp(labels, study.grid, labels=True)


def _material(study: Longitudinal, index: int, labels: Image | None, label_names: Mapping[int, str] | None) -> Material:
    """Return the images of a page: baseline and follow-up in the mean position, before and after the deformation."""
    baseline, follow_up = study.points[0], study.points[index]
    transform = baseline.displacement.inverse().then(follow_up.displacement)
    return Material(
        metrics={"label_names": {str(label): name for label, name in (label_names or {}).items()}},
        label_maps=False,
        fixed=baseline.aligned,
        moving=follow_up.aligned,
        warped=transform.warp(follow_up.aligned, study.grid),
        fixed_labels=labels,
        moving_labels=None,
        warped_labels=None,
        transform=transform,
        grid=study.grid,
    )
