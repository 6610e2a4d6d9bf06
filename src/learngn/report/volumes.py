"""Volumes for the page: reoriented, resampled to the size of a display, and compressed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
from isal import igzip
from numpy.typing import NDArray

from learngn.geometry import sampling
from learngn.geometry.grid import Grid

Volume = NDArray[Any]

OTHERS = 255  # code of all labels beyond the 254th
_BLOCK = 8  # size of JPEG's blocks; tiles of whole blocks do not affect each other


@dataclass(frozen=True)
class Part:
    """Packed volume of the page.

    Attributes
    ----------
    spec : dict
        Description with which the page's script unpacks the volume.
    data : bytes
    """

    spec: dict[str, Any]
    data: bytes


def display_grid(grid: Grid, voxels: int) -> Grid:
    """Return the finest grid over the same extent with at most `voxels` voxels, nearly isotropic if coarser."""
    spacing, display = float(grid.spacing.min()), grid
    while display.size > voxels:
        spacing *= 1.1
        display = grid.coarsened(spacing)
    return display


def window_of(values: Volume) -> tuple[float, float]:
    """Return the values to show black and white: the 0.5th and 99.5th percentile of at most a few 100,000 voxels."""
    low, high = np.percentile(probe(values), (0.5, 99.5))
    return (float(low), float(high)) if high > low else (float(values.min()), float(values.max()) + 1e-6)


def label_values(labels: Volume) -> list[int]:
    """Return the labels in a label map in ascending order, without background."""
    if labels.dtype == np.uint8:  # counting is several times as fast as sorting
        return [int(value) for value in np.flatnonzero(np.bincount(labels.reshape(-1), minlength=256)) if value]
    return [int(value) for value in np.unique(labels) if value]


def codes_of(labels: Volume, values: list[int]) -> NDArray[np.uint8]:
    """Encode a label map: 0 is background, the i-th of `values` is i + 1, and all beyond 254 are :data:`OTHERS`."""
    low = min(int(labels.min()), 0)
    table = np.zeros(max(int(labels.max()), 0) - low + 1, dtype=np.uint8)
    for place, value in enumerate(values):
        if 0 <= value - low < len(table):
            table[value - low] = min(place + 1, OTHERS)
    return table[labels.astype(np.intp) - low] if low else table[labels]


def grey(values: Volume, window: tuple[float, float]) -> NDArray[np.uint8]:
    """Scale values to greys from 0 (black) to 255 (white)."""
    low, high = window
    scaled = (np.asarray(values, dtype=np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.clip(scaled + np.float32(0.5), 0, 255, out=scaled).astype(np.uint8)


def pooled(values: Volume, shape: tuple[int, ...]) -> Volume:
    """Average values over the voxels of a coarser grid."""
    if values.shape == shape:
        return values
    return np.asarray(sampling.pool(np.ascontiguousarray(values, dtype=np.float32)[None, None], shape)[0, 0])


def picked(labels: Volume, shape: tuple[int, ...]) -> Volume:
    """Take the labels at the voxel centres of a coarser grid."""
    for axis, (n, m) in enumerate(zip(labels.shape, shape, strict=True)):
        if n != m:
            labels = labels.take(((np.arange(m) + 0.5) * n / m).astype(np.intp), axis=axis)
    return labels


def pack_scan(volume: NDArray[np.uint8], quality: int) -> Part:
    """Pack a reoriented volume as one JPEG of all slices side by side, row by row.

    Greys have the shape (nz, ny, nx), colours (nz, ny, nx, 3).
    """
    nz, ny, nx, *colours = volume.shape
    tile = [math.ceil(n / _BLOCK) * _BLOCK for n in (ny, nx)]
    columns = max(1, min(nz, round(math.sqrt(nz * tile[0] / tile[1]))))
    rows = math.ceil(nz / columns)
    padding = ((0, rows * columns - nz), (0, tile[0] - ny), (0, tile[1] - nx), *[(0, 0) for _ in colours])
    tiles = np.pad(volume, padding, mode="edge").reshape(rows, columns, *tile, -1)
    mosaic = np.ascontiguousarray(tiles.transpose(0, 2, 1, 3, 4).reshape(rows * tile[0], columns * tile[1], -1))
    kind = "RGB" if colours else "GRAY"
    picture = simplejpeg.encode_jpeg(mosaic, quality, colorspace=kind, fastdct=False)
    return Part({"kind": "scan", "shape": [nz, ny, nx], "tile": tile, "columns": columns}, picture)


def pack_codes(volume: NDArray[np.uint8]) -> Part:
    """Pack a reoriented volume of codes without loss."""
    return Part({"kind": "codes", "shape": list(volume.shape), "type": "Uint8"}, _gzip(volume))


def pack_smooth(volume: NDArray[np.uint8] | NDArray[np.int16]) -> Part:
    """Pack a reoriented smooth volume, shape (..., nz, ny, nx), as differences along x, which compress well."""
    differences = np.diff(volume, axis=-1, prepend=volume.dtype.type(0))  # overflow wraps, and the page undoes it
    kind = "Uint8" if volume.dtype == np.uint8 else "Int16"
    return Part(
        {"kind": "smooth", "shape": list(volume.shape[-3:]), "type": kind},
        _gzip(differences.astype(differences.dtype.newbyteorder("<"))),
    )


def fullest(codes: NDArray[np.uint8]) -> list[int]:
    """Return the index along every axis with the largest sum of label areas, each relative to its largest area.

    The areas are measured on a coarse copy; without labels, the indices are the middle.
    """
    step = _step(codes)
    coarse = codes[tuple(slice(None, None, s) for s in step)]
    scores = [np.zeros(n) for n in coarse.shape]
    for value in label_values(coarse):
        mask = coarse == value
        for axis, score in enumerate(scores):
            area = mask.sum(axis=tuple(a for a in range(codes.ndim) if a != axis))
            score += area / area.max()
    return [
        int(score.argmax()) * s if score.any() else n // 2
        for score, s, n in zip(scores, step, codes.shape, strict=True)
    ]


def rounded_up(value: float) -> float:
    """Round up to two significant digits, for the end of a scale."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(np.round(np.ceil(value / unit - 1e-9) * unit, 6))


def _step(values: Volume) -> list[int]:
    step = max(1, round((values.size / 2e5) ** (1 / values.ndim)))
    return [step if n >= 4 * step else 1 for n in values.shape]


def probe(values: Volume) -> Volume:
    """Return a few 100,000 voxels of a volume."""
    return values[tuple(slice(None, None, s) for s in _step(values))]


def _gzip(volume: Volume) -> bytes:
    packed: bytes = igzip.compress(np.ascontiguousarray(volume), compresslevel=2)
    # The time in the header, four bytes, is set to zero, so that the same volume gives the same page.
    return packed[:4] + bytes(4) + packed[8:]
