"""The report of one pair: reads what ``learngn register`` wrote and puts it on one page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from learngn.errors import DatasetError, FeatureError, LearnGNError
from learngn.features import parse_features
from learngn.grid import Grid
from learngn.image import Image
from learngn.io import read_image, read_transform, write_text
from learngn.report import html, numbers, pictures
from learngn.report.pictures import Scan, Volume
from learngn.report.planes import choose_planes
from learngn.transform import Affine, DisplacementField

_T = TypeVar("_T")


def write_pair_report(directory: str | Path) -> Path:
    """Write ``report.html`` into the result folder of ``learngn register``, from its files alone.

    Parameters
    ----------
    directory : path
        Folder with ``metrics.json`` and, as far as they exist, ``warped.nii.gz``, ``displacement.nii.gz`` and
        ``warped_labels.nii.gz``. The inputs are read from where ``metrics.json`` says they were; the page says which
        of them are gone or have changed, and shows the rest.

    Returns
    -------
    Path
        The page: one file that needs no other and no network.

    Raises
    ------
    DatasetError
        If the folder has no readable ``metrics.json``.
    OutputError
        If the page cannot be written.
    """
    directory = Path(directory)
    metrics = _read_metrics(directory / "metrics.json")
    files = _Files(directory, metrics)
    sections = [numbers.overlap(metrics)] if metrics.get("dice") else []
    sections = [*files.before_after(), *sections, *files.deformation()]
    if metrics["history"]:
        sections.append(numbers.progress(metrics))
    sections += [numbers.run(metrics), numbers.provenance(metrics)]
    fixed, moving = (Path(metrics["inputs"][role]["path"]).name for role in ("fixed", "moving"))
    text = html.page(
        f"{moving} onto {fixed}",
        numbers.verdict(metrics),
        [*metrics.get("warnings", []), *files.notes],
        sections,
        heading=numbers.heading(fixed, moving),
    )
    path = directory / "report.html"
    write_text(text, path)
    return path


class _Files:
    """The images of a result; what cannot be read is None and leaves a note."""

    def __init__(self, directory: Path, metrics: Mapping[str, Any]) -> None:
        self.notes: list[str] = []
        self._metrics = metrics
        self._label_maps = _reads_label_maps(str(metrics["settings"].get("features", "")))
        self.fixed = self._input("fixed", self._label_maps)
        self.warped = self._output(directory / "warped.nii.gz", self._label_maps)
        self.field = self._displacement(directory / "displacement.nii.gz")
        self.moving = self._on_fixed(self._input("moving", self._label_maps))
        self.fixed_labels = self._input("fixed_labels", True)
        self.moving_labels = self._on_fixed(self._input("moving_labels", True))
        self.warped_labels = None
        if "moving_labels" in metrics["inputs"]:
            self.warped_labels = self._output(directory / "warped_labels.nii.gz", True)

    @property
    def grid(self) -> Grid | None:
        """The fixed grid, on which the outputs lie too."""
        return next((found.grid for found in (self.fixed, self.warped, self.field) if found is not None), None)

    def before_after(self) -> list[str]:
        """Sections of slices, as far as there is something to show."""
        moving_window = _window(self.moving) or _window(self.warped)
        states = (
            ("Fixed", self.fixed, self.fixed_labels, _window(self.fixed)),
            ("Moving, before", self.moving, self.moving_labels, moving_window),
            ("Moving, registered", self.warped, self.warped_labels, moving_window),
        )
        scans = [
            Scan(caption, _volume(image), self._outlines(image, labels), None if self._label_maps else window)
            for caption, image, labels, window in states
            if image is not None
        ]
        if self.grid is None or not scans:
            return []
        planes = choose_planes(self.grid, self._guide())
        sections = [pictures.before_after(scans, planes, lambda label: numbers.label_name(self._metrics, label))]
        if self.fixed is not None and len(scans) > 1 and all(scan.labels is None for scan in scans):
            sections.append(pictures.checkerboards(scans[0], scans[1:], planes))
        return sections

    def deformation(self) -> list[str]:
        """Sections of the displacement and its Jacobian."""
        if self.field is None:
            return []
        guide = self._guide()
        return [
            pictures.deformation(
                self.field.data[0].numpy(),
                self.field.jacobian_determinant()[0].numpy(),
                self.field.grid,
                choose_planes(self.field.grid, guide),
                guide,
                numbers.deformation(self._metrics),
            )
        ]

    def _guide(self) -> Volume | None:
        """The labels by which the planes are chosen."""
        return self._outlines(self.fixed, self.fixed_labels)

    def _outlines(self, image: Image | None, labels: Image | None) -> Volume | None:
        if labels is not None:
            return _volume(labels)
        return _volume(image) if image is not None and self._label_maps else None

    def _input(self, role: str, labels: bool) -> Image | None:
        source = self._metrics["inputs"].get(role)
        if source is None:
            return None
        path, what = Path(source["path"]), role.replace("_", " ")
        if not path.exists():
            self.notes.append(f"The {what}, {path}, is no longer there: it is not shown.")
            return None
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != source["sha256"]:
            self.notes.append(f"The {what}, {path}, has changed since the registration.")
        return self._try(lambda: read_image(path, labels=labels))

    def _output(self, path: Path, labels: bool) -> Image | None:
        return self._try(lambda: read_image(path, labels=labels))

    def _displacement(self, path: Path) -> DisplacementField | None:
        transform = self._try(lambda: read_transform(path))
        return transform if isinstance(transform, DisplacementField) else None

    def _try(self, read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except LearnGNError as error:
            self.notes.append(f"Not shown: {error}")
            return None

    def _on_fixed(self, image: Image | None) -> Image | None:
        """A moving image before registration: where the scanner's coordinates put it on the fixed grid."""
        grid = self.grid
        if image is None or grid is None:
            return None
        # Beyond the image its darkest value: air, not the zero that is tissue in CT.
        outside = 0.0 if image.labels else float(image.data.min())
        return Affine.identity(grid.ndim).warp(image, grid, outside=outside)


def _read_metrics(path: Path) -> dict[str, Any]:
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


def _reads_label_maps(features: str) -> bool:
    try:
        return parse_features(features).labels
    except FeatureError:  # a feature of the user's own: its images are drawn as scans
        return False


def _volume(image: Image) -> Volume:
    values = image.data[0, 0].numpy()
    return values.astype(np.int64) if image.labels else values


def _window(image: Image | None) -> tuple[float, float] | None:
    return None if image is None else pictures.window_of(_volume(image))
