"""Channels of other programs for a scan: probabilities of nnU-Net v2, label maps, images of several channels.

A probability map of nnU-Net has no header: it lies on the scan's grid, and is compared with the segmentation beside it.
Its ``.pkl`` is never opened, since unpickling can run code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.errors import FeatureError, ImageError, LearnGNError
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io.files import IMAGE_SUFFIXES, named, read_file, read_header, suffix_of
from learngn.io.images import read_image
from learngn.io.nnunet import read_nnunet
from learngn.io.source import Source

_SCAN_FOLDER = "{}"  # stands for the scan's folder in the name of a folder
_PROBE = 200_000  # number of voxels that are tested to recognise the content of an array


@dataclass(frozen=True, eq=False)
class Scores:
    """Named channels on a grid, computed one at a time: a hundred structures at once would not fit into memory.

    Attributes
    ----------
    names : tuple of str
        Structures, labels or numbers, without the background.
    grid : Grid
    channel : callable
        Returns the values of a channel by its number, shape (1, 1, *S), float32.
    """

    names: tuple[str, ...]
    grid: Grid
    channel: Callable[[int], NDArray[np.float32]]


def find_scores(folder: Path, image: Image) -> Path:
    """Find the file, or folder of structures, that belongs to an image, by the image's file name.

    For ``CASE_0000.nii.gz`` it is named ``CASE_0000`` or, as nnU-Net names its results, ``CASE``, with the suffix
    ``.npz`` or else one of an image, or is a folder of that name. ``{}`` in `folder` stands for the image's own folder;
    such a folder may hold the structures itself.

    Raises
    ------
    FeatureError
        If the image was not read from a file, or there is no such file.
    """
    if image.path is None:
        raise FeatureError(
            f"scores in {folder}", "an image made in memory", "one read from a file, whose name tells which scores",
            "read it with learngn.io.read_image, or pass the scores themselves as learngn.features.Given",
        )  # fmt: skip
    place = Path(str(folder).replace(_SCAN_FOLDER, str(image.path.parent)))
    stems = _stems(image.path)
    for stem in stems:
        for suffix in (".npz", *IMAGE_SUFFIXES):
            path = place / f"{stem}{suffix}"
            if path.is_file() and not path.samefile(image.path):
                return path
        for path in (place / stem / "segmentations", place / stem):
            if _structures(path):
                return path
    if _SCAN_FOLDER in str(folder) and _structures(place):
        return place
    raise FeatureError(
        f"scores of {image.path.name}",
        f"no such file in {place}",
        f"{' or '.join(stems)} with .npz, .nii.gz or another suffix of images, or a folder of that name",
        "give the scores the scan's name, or name another folder",
    )


def _stems(path: Path) -> list[str]:
    name = path.name[: len(path.name) - len(suffix_of(path))]
    return list(dict.fromkeys([name, re.sub(r"_\d{4}$", "", name)]))


def _structures(folder: Path) -> list[Path]:
    """Return the NIfTI files in a folder."""
    return sorted(p for p in folder.glob("*") if suffix_of(p) in (".nii", ".nii.gz")) if folder.is_dir() else []


def read_scores(path: Path, grid: Grid) -> Scores:
    """Read probabilities or labels.

    Parameters
    ----------
    path : Path
        nnU-Net v2's ``.npz`` (``nnUNetv2_predict --save_probabilities``); a label map, which gives a channel for each
        label; an image of several channels, probabilities; or a folder of NIfTI masks, one for each structure, as
        TotalSegmentator writes.
    grid : Grid
        Grid of the image, which must be that of the file.

    Raises
    ------
    FeatureError
        If the file has another grid, or values that are not probabilities.
    LearnGNError
        If a file cannot be read.
    """
    if path.is_dir():
        return _masks(_structures(path), path, grid)
    if path.suffix == ".npz":
        return _nnunet(path, grid)
    if _is_stack(path, grid):
        stack = read_channels(path, grid)
        stacked = np.concatenate([stack.channel(c) for c in range(len(stack.names))])[:, 0]
        return _probabilities(stacked, path, grid, stack.names)
    image = read_image(path, labels=True)
    _check_grid(image.grid, grid, path)
    values = image.label_values
    if not values:
        raise FeatureError(f"scores {path}", "no label", "at least one", "check the segmentation")
    return Scores(tuple(map(str, values)), grid, lambda c: np.asarray(image.data == values[c], np.float32))


def read_channels(path: Path, grid: Grid) -> Scores:
    """Read an image of several channels: a NIfTI or other file with a further axis, or with vectors.

    Parameters and errors are those of :func:`read_scores`; the values may be any finite numbers.
    """
    source = read_file(path)
    try:
        values, place = _stacked(source, grid.ndim, path)
    except LearnGNError as error:
        raise named(error, path) from None
    _check_grid(place, grid, path)
    if not np.isfinite(values).all():
        raise FeatureError(f"channels {path}", "NaN or infinity", "finite values", "replace them")
    return Scores(tuple(map(str, range(len(values)))), grid, lambda c: _channel(values, c))


def _channel(values: NDArray[Any], index: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(values[index], dtype=np.float32)[None, None]


def _is_stack(path: Path, grid: Grid) -> bool:
    header = read_header(path)
    return any(n > 1 for n in header.shape[grid.ndim :]) or header.components > 1


def _stacked(source: Source, ndim: int, path: Path) -> tuple[NDArray[Any], Grid]:
    """Return the values of an image with vectors or with further axes, channels first (C, *S), and its grid."""
    header, values = source.header, source.values
    further = header.shape[ndim:]
    channels = further if header.components == 1 else (*further, header.components)
    if len(header.shape) < ndim or sum(n > 1 for n in channels) > 1:
        raise ImageError(
            f"channels {path}", f"an array of {header.shape}", f"{ndim} axes and one of channels", "rearrange it"
        )
    values = np.moveaxis(values.reshape(*header.shape[:ndim], -1), -1, 0)
    return values, header.place(ndim)[0]


def _masks(files: Sequence[Path], folder: Path, grid: Grid) -> Scores:
    names = tuple(path.name[: len(path.name) - len(suffix_of(path))] for path in files)

    def mask(c: int) -> NDArray[np.float32]:
        image = read_image(files[c], labels=True)
        _check_grid(image.grid, grid, folder / files[c].name)
        return np.asarray(image.data != 0, dtype=np.float32)

    return Scores(names, grid, mask)


def _nnunet(path: Path, grid: Grid) -> Scores:
    values, names = read_nnunet(path, grid)
    scores = _probabilities(values, path, grid, names)
    beside = next((p for s in IMAGE_SUFFIXES if (p := path.with_name(path.stem + s)).is_file()), None)
    if beside is not None and len(scores.names) < len(values):
        _check_against(read_image(beside, labels=True), values, path, grid)
    return scores


def _probabilities(values: NDArray[Any], path: Path, grid: Grid, names: Sequence[str]) -> Scores:
    """Check probabilities (C, *S); if they sum to one, drop the first channel, the background."""
    if values.shape[1:] != grid.shape:
        raise FeatureError(
            f"scores {path}", f"probabilities of shape {values.shape[1:]}", f"{grid.shape}, the image's",
            "predict them anew for this image",
        )  # fmt: skip
    low, high = float(values.min()), float(values.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # comparisons with NaN are False
        raise FeatureError(
            f"scores {path}", f"values from {low:g} to {high:g}", "probabilities, 0 to 1",
            "apply softmax, or pass them as channels=DIR",
        )  # fmt: skip
    flat = values.reshape(len(values), -1)
    total = flat[:, :: max(1, flat.shape[1] // _PROBE)].astype(np.float32).sum(0)
    # Overlapping regions have no background channel; outside the region that nnU-Net segments all may be zero.
    softmax = len(values) > 1 and bool((np.abs(total - 1) < 0.02)[total > 0].all()) and bool((total > 0).any())
    first = 1 if softmax else 0
    return Scores(tuple(names[first:]), grid, lambda c: _channel(values, c + first))


def _check_against(segmentation: Image, values: NDArray[Any], path: Path, grid: Grid) -> None:
    """Raise :class:`FeatureError` if probabilities do not coincide with the segmentation written with them."""
    _check_grid(segmentation.grid, grid, path)
    foreground = np.flatnonzero(segmentation.data[0, 0])
    if not len(foreground):
        return
    probe = foreground[:: max(1, len(foreground) // _PROBE)]
    likely = values.reshape(len(values), -1)[:, probe].argmax(0)
    agreeing = float((likely > 0).mean())
    if agreeing < 0.5:  # postprocessing removes regions, but does not move them
        raise FeatureError(
            f"scores {path}", f"probabilities that agree with the segmentation beside them in {agreeing:.0%} of it",
            "both in the same place", "predict them anew: one of the two is another scan's, or its axes are turned",
        )  # fmt: skip


def _check_grid(file_grid: Grid, grid: Grid, path: Path) -> None:
    if file_grid.ndim != grid.ndim or not file_grid.same_space(grid, tolerance=0.1):
        raise FeatureError(
            f"scores {path}", str(file_grid), f"the image's grid, {grid}", "resample them to the grid of the image"
        )
