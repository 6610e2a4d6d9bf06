"""Reading of a pair of files, and checks that what belongs to each scan fits it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from learngn.errors import LabelError
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.interop import ImageLike, as_image
from learngn.io import Pair, Subject, labels_on, read_grid, read_image, split_format
from learngn.registration.masks import read_mask
from learngn.registration.pair import Guidance, RegistrationPair, Side, check_labels, with_own_labels
from learngn.registration.pictures import read_picture_or_scan
from learngn.registration.points import read_keypoints, read_landmark_pair


def read_pair(
    files: Pair,
    *,
    label_maps: bool | None = None,
    guidance: Guidance | None = None,
    tissue: Path | None = None,
    scans: bool = True,
    evaluation_masks: bool = True,
) -> RegistrationPair:
    """Read the files of a pair, and check that masks, labels and landmarks fit the scans.

    Parameters
    ----------
    files : Pair
    label_maps : bool, optional
        Whether the scans are label maps, as the requested features compare these; None to decide by the scans' values.
    guidance : Guidance, optional
        Use of masks and key points; by default neither is used.
    tissue : Path, optional
        Label map of tissues in the fixed image's world.
    scans : bool
        Read the scans themselves, not only their headers.
    evaluation_masks : bool
        Score the deformation within the fixed scan's mask.

    Raises
    ------
    LearnGNError
        If a file cannot be read or does not fit its scan.
    """
    guidance = guidance or Guidance()
    subjects, found = (files.fixed, files.moving), []
    for subject, what in zip(subjects, ("fixed", "moving"), strict=True):
        masks = guidance.masks, evaluation_masks and what == "fixed"
        found.append(_side(subject, what, bool(label_maps), scans, *masks))
    (fixed, fixed_grid), (moving, moving_grid) = found
    landmarks = read_landmark_pair((files.fixed.landmarks, files.moving.landmarks), (fixed_grid, moving_grid))
    fixed, moving = (replace(side, landmarks=points) for side, points in zip((fixed, moving), landmarks, strict=True))
    keypoints = None
    if guidance.keypoints is not None and files.fixed.keypoints is not None and files.moving.keypoints is not None:
        keypoints = read_keypoints(
            (files.fixed.keypoints, files.moving.keypoints),
            (fixed_grid, moving_grid),
            guidance.keypoints,
            guidance.scale,
        )
    pair = RegistrationPair(
        with_own_labels(fixed),
        with_own_labels(moving),
        keypoints,
        read_tissue(tissue, fixed.grid),
        files=files_of(files, tissue),
    )
    return pair.recognised() if scans and label_maps is None else pair


def files_of(pair: Pair, tissue: Path | None = None) -> dict[str, Path]:
    """Return the files of a pair by role: ``fixed``, ``moving``, ``fixed_labels``, ..., ``initial_transform``."""
    named: dict[str, Path | None] = {}
    for role in ("image", "labels", "landmarks", "mask", "keypoints"):
        for side, subject in (("fixed", pair.fixed), ("moving", pair.moving)):
            named[side if role == "image" else f"{side}_{role}"] = getattr(subject, role)
    given = {role: path for role, path in {**named, "tissue": tissue}.items() if path is not None}
    return given if pair.initial is None else given | {"initial_transform": split_format(pair.initial)[1]}


def _side(subject: Subject, what: str, label_map: bool, scan: bool, guided: bool, evaluated: bool) -> tuple[Side, Grid]:
    """Read what belongs to a scan, except its points; return the grid of its file as well."""
    picture = read_picture_or_scan(subject.image, labels=label_map) if scan else None
    grid = read_grid(subject.image) if picture is None else picture.image.grid
    labels = None if subject.labels is None else _on_grid(subject.labels, grid, f"labels of the {what} scan")
    side = Side(
        name=subject.image.name,
        grid=grid,
        image=None if picture is None else picture.image,
        mask=read_mask(subject.mask, grid, f"{what} mask") if guided else None,
        labels=labels,
        evaluation_mask=_on_grid(subject.mask, grid, f"mask of the {what} scan")
        if evaluated and subject.mask
        else None,
        colour=None if picture is None else picture.colour,
    )
    return side, grid if picture is None else picture.file_grid


def _on_grid(path: Path, grid: Grid, what: str) -> Image:
    return labels_on(read_image(path, labels=True), grid, what)


def read_tissue(source: ImageLike | None, fixed: Grid) -> Image | None:
    """Read a label map of tissues in the fixed image's world.

    Raises
    ------
    LabelError
        If it is not a label map, or does not overlap with the fixed image.
    LearnGNError
        If it cannot be read.
    """
    if source is None:
        return None
    image = as_image(source, labels=True)
    if not image.labels or image.grid.ndim != fixed.ndim or not image.grid.overlap(fixed):
        raise LabelError(
            "tissues", f"{image.name}, {image.grid}", "a label map in the world of the fixed image", "check the file"
        )
    check_labels(image, "tissues")
    return image
