"""Input of a pair's report: the images of a result, from memory or from files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from learngn.arrays import as_numpy
from learngn.errors import DatasetError, FeatureError, LearnGNError
from learngn.features import parse_features
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import DisplacementField, Transform
from learngn.io import read_image, read_landmarks, read_transform
from learngn.registration import Registration
from learngn.registration.pictures import Picture, read_picture_or_scan, warped_colour
from learngn.registration.points import corresponding
from learngn.report.points import Points
from learngn.results import sha256

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Material:
    """Images and numbers of a pair's report; None for images that are missing or cannot be read.

    Attributes
    ----------
    metrics : dict
        Content of ``metrics.json``.
    label_maps : bool
        Whether the registered images are label maps.
    fixed, moving, warped : Image or None
        Images; the moving one on its own grid, the others on the fixed grid.
    fixed_labels, moving_labels, warped_labels : Image or None
    transform : Transform or None
        Transform from the fixed to the moving world.
    uncertainty : Image or None
        Standard deviation of the displacement [mm].
    grid : Grid or None
        Fixed grid; None if nothing can be shown.
    notes : list of str
        Explanations of missing or changed images.
    windows : dict
        Values that are shown black and white, by role ``fixed`` or ``moving``; by default from the images.
    fixed_mask, moving_mask : Image or None
        Masks of the scans, in which the registration compares them.
    landmarks, keypoints : (array, array), shape (M, D) [RAS mm], or None
        Corresponding points of the fixed and the moving scan: those that are scored, and those that guide.
    colours : dict
        Pictures in colour, (1, 3, *S), by role ``fixed``, ``moving`` or ``warped``, on the grids of the images.
    """

    metrics: Mapping[str, Any]
    label_maps: bool
    fixed: Image | None
    moving: Image | None
    warped: Image | None
    fixed_labels: Image | None
    moving_labels: Image | None
    warped_labels: Image | None
    transform: Transform | None
    grid: Grid | None
    uncertainty: Image | None = None
    notes: list[str] = field(default_factory=list)
    windows: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    fixed_mask: Image | None = None
    moving_mask: Image | None = None
    landmarks: Points | None = None
    keypoints: Points | None = None
    colours: Mapping[str, Image] = field(default_factory=dict)


def material_of(directory: Path, transform: Transform | None = None) -> Material:
    """Collect the input of a report from a result folder.

    Parameters
    ----------
    directory : Path
        Folder with ``metrics.json`` and other files of a result, which may be missing.
    transform : Transform, optional
        The transform, for a folder without its displacement. Images that the folder lacks are warped by it.

    Raises
    ------
    DatasetError
        If the folder has no readable ``metrics.json``.
    """
    metrics = read_metrics(directory / "metrics.json")
    reader = _Reader(metrics["inputs"], [])
    label_maps = reads_label_maps(str(metrics["settings"].get("features", "")))
    fixed_labels, moving_labels = reader.given("fixed_labels", True), reader.given("moving_labels", True)
    pictures = reader.scan("fixed", label_maps), reader.scan("moving", label_maps)
    fixed, moving = (None if picture is None else picture.image for picture in pictures)
    transform = transform or reader.read(lambda: read_transform(_displacement(directory)))
    warped = _warped(directory / "warped.nii.gz", moving, fixed, transform, reader, labels=label_maps)
    warped_labels = None
    if "moving_labels" in metrics["inputs"]:
        path = directory / "warped_labels.nii.gz"
        warped_labels = _warped(path, moving_labels, fixed, transform, reader, labels=True)
    uncertainty = None
    if "uncertainty" in metrics:
        uncertainty = reader.read(lambda: read_image(directory / "uncertainty.nii.gz"))
    grids = [image.grid for image in (fixed, warped) if image is not None]
    if isinstance(transform, DisplacementField):
        grids.append(transform.grid)
    return Material(
        metrics=metrics,
        label_maps=label_maps,
        fixed=fixed,
        moving=moving,
        warped=_shown(warped, moving, transform, label_maps),
        fixed_labels=fixed_labels,
        moving_labels=moving_labels,
        warped_labels=warped_labels,
        transform=transform,
        grid=grids[0] if grids else None,
        uncertainty=uncertainty,
        notes=reader.notes,
        fixed_mask=reader.given("fixed_mask", False),
        moving_mask=reader.given("moving_mask", False),
        landmarks=reader.points("landmarks", *pictures),
        keypoints=reader.points("keypoints", *pictures),
        colours=_colours(
            None if pictures[0] is None else pictures[0].colour,
            None if pictures[1] is None else pictures[1].colour,
            transform,
            None if fixed is None else fixed.grid,
        ),
    )


def material_in_memory(registration: Registration, metrics: Mapping[str, Any]) -> Material:
    """Collect the input of a report from a registration.

    Parameters
    ----------
    registration : Registration
    metrics : dict
        Content of its ``metrics.json``.
    """
    fixed, moving, warped = (_on_cpu(image) for image in (registration.fixed, registration.moving, registration.warped))
    label_maps = reads_label_maps(str(metrics["settings"].get("features", "")))
    fixed_labels, moving_labels = registration.given_labels
    uncertainty, keypoints = registration.uncertainty, registration.pair.keypoints
    return Material(
        metrics=metrics,
        label_maps=label_maps,
        fixed=fixed,
        moving=moving,
        warped=_shown(warped, moving, registration.transform, label_maps),
        fixed_labels=_on_cpu_or_none(fixed_labels),
        moving_labels=_on_cpu_or_none(moving_labels),
        warped_labels=_on_cpu_or_none(registration.warped_labels),
        transform=registration.transform,
        grid=fixed.grid,
        uncertainty=None if uncertainty is None else _on_cpu(uncertainty.deviation),
        fixed_mask=_on_cpu_or_none(registration.pair.fixed.mask),
        moving_mask=_on_cpu_or_none(registration.pair.moving.mask),
        landmarks=registration.pair.landmarks,
        keypoints=None if keypoints is None else (keypoints.fixed, keypoints.moving),
        colours=_colours(
            registration.pair.fixed.colour, registration.pair.moving.colour, registration.transform, fixed.grid
        ),
    )


def _colours(
    fixed: Image | None, moving: Image | None, transform: Transform | None, grid: Grid | None
) -> dict[str, Image]:
    """Return the pictures of a pair in colour, by role."""
    found = {"fixed": fixed, "moving": moving}
    if moving is not None and transform is not None and grid is not None:
        found["warped"] = warped_colour(moving, transform, grid)
    return {role: _on_cpu(image) for role, image in found.items() if image is not None}


def _on_cpu(image: Image) -> Image:
    return replace(image, data=as_numpy(image.data))


def _on_cpu_or_none(image: Image | None) -> Image | None:
    return None if image is None else _on_cpu(image)


def _shown(warped: Image | None, moving: Image | None, transform: Transform | None, label_maps: bool) -> Image | None:
    """Return the warped scan, warped again, so that outside the moving scan the page shows its own background."""
    if moving is None or warped is None or transform is None or label_maps:
        return warped
    return _on_cpu(transform.warp(moving, warped.grid))


def _warped(
    path: Path, moving: Image | None, fixed: Image | None, transform: Transform | None, reader: _Reader, *, labels: bool
) -> Image | None:
    """Read a warped image, or warp the moving one where the folder does not have it."""
    if path.exists() or moving is None or fixed is None or transform is None:
        return reader.read(lambda: read_image(path, labels=labels))
    return transform.warp(moving, fixed.grid)


def _displacement(directory: Path) -> Path:
    """File of the displacement: NIfTI, or MetaImage where NIfTI is not read alike by every program."""
    other = directory / "displacement.mha"
    return other if other.exists() else directory / "displacement.nii.gz"


def read_metrics(path: Path) -> dict[str, Any]:
    """Read ``metrics.json``.

    Raises
    ------
    DatasetError
        If the file is missing or damaged.
    """
    try:
        metrics: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(
            "result folder",
            f"no metrics.json in {path.parent}",
            "a folder written by `learngn register`",
            "check the path",
        ) from None
    except ValueError as error:
        raise DatasetError(
            f"{path}", f"not JSON ({error})", "what `learngn register` wrote", "register again"
        ) from None
    return metrics


@dataclass(frozen=True)
class _Reader:
    """Reader that returns None for files that cannot be read, and adds a note."""

    inputs: Mapping[str, Mapping[str, str]]
    notes: list[str]

    def given(self, role: str, labels: bool) -> Image | None:
        """Read an input of the registration from its original path."""
        picture = self.scan(role, labels)
        return None if picture is None else picture.image

    def scan(self, role: str, labels: bool) -> Picture | None:
        """Read an input of the registration from its original path, a picture with its colours."""
        source = self.inputs.get(role)
        if source is None:
            return None
        path, what = Path(source["path"]), role.replace("_", " ")
        if not path.exists():
            self.notes.append(f"The {what}, {path}, is no longer there: it is not shown.")
            return None
        if path.is_file() and sha256(path) != source["sha256"]:
            self.notes.append(f"The {what}, {path}, has changed since the registration.")
        return self.read(lambda: read_picture_or_scan(path, labels=labels))

    def points(self, kind: str, fixed: Picture | None, moving: Picture | None) -> Points | None:
        """Read corresponding points; None unless both files and both scans are there."""
        found = []
        for side, picture in (("fixed", fixed), ("moving", moving)):
            source = self.inputs.get(f"{side}_{kind}")
            if source is None or picture is None or not Path(source["path"]).exists():
                return None
            grid, path = picture.file_grid, Path(source["path"])
            read = self.read(lambda path=path, grid=grid: read_landmarks(path, grid))  # type: ignore[misc]
            if read is None:
                return None
            found.append(read)
        first, second = (landmarks.points for landmarks in corresponding(*found))
        if len(first) != len(second):
            self.notes.append(f"Not shown: {kind}, of which the files hold {len(first)} and {len(second)}.")
            return None
        return first, second

    def read(self, action: Callable[[], _T]) -> _T | None:
        try:
            return action()
        except LearnGNError as error:
            self.notes.append(f"Not shown: {error}")
            return None


def reads_label_maps(features: str) -> bool:
    """Whether features of this name are computed from label maps."""
    try:
        return parse_features(features).traits.reads_labels
    except FeatureError:  # a user's feature: the images are shown as scans
        return False
