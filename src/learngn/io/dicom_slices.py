"""Headers of DICOM slices: position, scaling of the values, and grouping into volumes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from learngn.geometry.grid import FloatArray
from learngn.io.itk import ITK_FAILURES
from learngn.io.simpleitk import sitk

_INSTANCE, _POSITION, _ORIENTATION = "0008|0018", "0020|0032", "0020|0037"
_SLOPE, _INTERCEPT = "0028|1053", "0028|1052"
_SERIES_NUMBER, _DESCRIPTION, _MODALITY = "0020|0011", "0008|103e", "0008|0060"
# What tells the volumes of one series apart, the most telling first.
_DIFFERENCES = {
    "echo time": "0018|0081",
    "echo": "0018|0086",
    "b-value": "0018|9087",
    "time point": "0020|0100",
    "trigger time": "0018|1060",
    "image type": "0008|0008",
    "acquisition": "0020|0012",
    "acquisition time": "0008|0032",
    "content time": "0008|0033",
}
_SAME_PLACE = 1e-2  # mm
_SAME_TURN = 1e-3  # of direction cosines: rounding, not another plane
_PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True)
class Slice:
    """Header of one file of a series.

    Attributes
    ----------
    path : str
    size : tuple of int
        Size of the file's image; a multi-frame file has several slices.
    kind : int
        SimpleITK's number of the type of the rescaled values.
    tags : dict
        DICOM tags as text, without surrounding blanks.
    position : array, shape (3,), or None
        Position of the first voxel [LPS mm].
    axes : array, shape (2, 3), or None
        Directions of row and column.
    """

    path: str
    size: tuple[int, ...]
    kind: int
    tags: dict[str, str]
    position: FloatArray | None
    axes: FloatArray | None

    @property
    def frames(self) -> int:
        """Number of slices in the file."""
        return self.size[2] if len(self.size) > 2 else 1

    @property
    def scaling(self) -> tuple[str, str, int]:
        """Rescale slope, rescale intercept and type of the rescaled values."""
        return self.tags.get(_SLOPE, "1"), self.tags.get(_INTERCEPT, "0"), self.kind

    @property
    def is_dose(self) -> bool:
        """Whether the file holds a dose of radiotherapy instead of a scan."""
        return self.tags.get(_MODALITY) == "RTDOSE"

    @property
    def title(self) -> str:
        """Modality, number and description of the series."""
        parts = (self.tags.get(tag, "") for tag in (_MODALITY, _SERIES_NUMBER, _DESCRIPTION))
        return " ".join(text for text in parts if text)


def read_slice(path: str) -> Slice | None:
    """Read the header of a DICOM file; return None if it holds no image, or none that can be read."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(path)
    try:
        reader.ReadImageInformation()
        basic = (_INSTANCE, _POSITION, _ORIENTATION, _SLOPE, _INTERCEPT, _SERIES_NUMBER, _DESCRIPTION, _MODALITY)
        keys = (*basic, *_DIFFERENCES.values())
        tags = {key: reader.GetMetaData(key).strip(" \0") for key in keys if reader.HasMetaDataKey(key)}
        size, kind = tuple(reader.GetSize()), reader.GetPixelID()
    except ITK_FAILURES:
        return None
    axes = _numbers(tags.get(_ORIENTATION), 6)
    return Slice(path, size, kind, tags, _numbers(tags.get(_POSITION), 3), None if axes is None else axes.reshape(2, 3))


def without_copies(slices: Sequence[Slice]) -> list[Slice]:
    """Return the slices without later copies of a slice, which have the same SOP instance UID."""
    first = {slice_.tags.get(_INSTANCE) or slice_.path: slice_ for slice_ in reversed(slices)}
    paths = {slice_.path for slice_ in first.values()}
    return [slice_ for slice_ in slices if slice_.path in paths]


def in_order(slices: Sequence[Slice]) -> list[Slice]:
    """Sort slices of one orientation by position along their normal; slices without positions keep their order."""
    axes = slices[0].axes
    if axes is None or any(slice_.position is None for slice_ in slices):
        return list(slices)
    normal = np.cross(*axes)
    return sorted(slices, key=lambda slice_: float(slice_.position @ normal))


def volumes_of(slices: Sequence[Slice]) -> dict[str, list[Slice]]:
    """Group the slices of a series into volumes.

    Parameters
    ----------
    slices : sequence of Slice
        At least one.

    Returns
    -------
    dict
        Slices by the property that distinguishes the volumes, such as ``"echo time 4.6"``; one group if the slices are
        one volume.
    """
    for groups in (_by_file(slices), _by_size(slices), _by_orientation(slices)):
        if len(groups) > 1:
            return groups
    if _places_differ(slices):
        return {"": list(slices)}
    for name, tag in _DIFFERENCES.items():
        by_value = defaultdict(list)
        for slice_ in slices:
            by_value[f"{name} {slice_.tags.get(tag, 'unknown')}"].append(slice_)
        if len(by_value) > 1 and all(_places_differ(group) for group in by_value.values()):
            return dict(by_value)
    return _by_repetition(slices)


def _by_file(slices: Sequence[Slice]) -> dict[str, list[Slice]]:
    """Group by file if there are files with several frames: each is a volume."""
    if all(slice_.frames == 1 for slice_ in slices):
        return {"": list(slices)}
    return {f"file {Path(slice_.path).name}": [slice_] for slice_ in slices}


def _by_size(slices: Sequence[Slice]) -> dict[str, list[Slice]]:
    groups = defaultdict(list)
    for slice_ in slices:
        groups["size " + "x".join(map(str, slice_.size[:2]))].append(slice_)
    return dict(groups)


def _by_orientation(slices: Sequence[Slice]) -> dict[str, list[Slice]]:
    groups: list[list[Slice]] = []
    for slice_ in slices:
        for group in groups:
            first = group[0].axes
            if first is slice_.axes or (
                first is not None and slice_.axes is not None and np.abs(first - slice_.axes).max() < _SAME_TURN
            ):
                group.append(slice_)
                break
        else:
            groups.append([slice_])
    names = [_plane(group[0]) for group in groups]
    return {
        f"orientation {name}" + (f" ({names[: n + 1].count(name)})" if names.count(name) > 1 else ""): group
        for n, (name, group) in enumerate(zip(names, groups, strict=True))
    }


def _by_repetition(slices: Sequence[Slice]) -> dict[str, list[Slice]]:
    """Group into volumes the first slice at every position, the second slice at every position, ..."""
    groups: dict[str, list[Slice]] = defaultdict(list)
    counts: dict[tuple[int, ...], int] = defaultdict(int)
    for slice_ in slices:
        place = () if slice_.position is None else tuple(np.rint(slice_.position / _SAME_PLACE).astype(int).tolist())
        counts[place] += 1
        groups[f"repetition {counts[place]}"].append(slice_)
    return dict(groups)


def _places_differ(slices: Sequence[Slice]) -> bool:
    """Whether no two slices have the same position; True if positions are unknown."""
    if any(slice_.position is None for slice_ in slices):
        return True
    positions = np.array([slice_.position for slice_ in in_order(slices)])
    return len(slices) == 1 or float(np.linalg.norm(np.diff(positions, axis=0), axis=1).min()) > _SAME_PLACE


def _plane(slice_: Slice) -> str:
    if slice_.axes is None:
        return "unknown"
    normal = np.abs(np.cross(*slice_.axes))
    name = _PLANES[int(normal.argmax())]
    return name if normal.max() > 1 - _SAME_TURN else f"oblique, nearly {name}"


def _numbers(text: str | None, count: int) -> FloatArray | None:
    try:
        values = np.array([float(word) for word in (text or "").split("\\")])
    except ValueError:
        return None
    return values if values.shape == (count,) and np.isfinite(values).all() else None
