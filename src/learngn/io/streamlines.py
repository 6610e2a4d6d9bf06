"""Streamlines of tractography, as points in the world: TrackVis, MRtrix and TRX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learngn.errors import GeometryError, OutputError, StreamlineError
from learngn.geometry.carrying import Carried
from learngn.geometry.grid import FloatArray, Grid
from learngn.io import tractogram_files, trx_files
from learngn.io.files import check_exists, check_name
from learngn.io.point_set import PointSet, checked_points

STREAMLINE_SUFFIXES = (".trk", ".tck", ".trx")


@dataclass(frozen=True, eq=False)
class Streamlines(PointSet):
    """Streamlines in the world.

    Parameters
    ----------
    points : array, shape (M, 3) [RAS mm]
        Points of all streamlines, one streamline after another.
    lengths : array, shape (N,), int
        Number of points of each streamline.
    point_data, streamline_data : mapping of str to array, shape (M, C) or (N, C)
        Values at the points, and of the streamlines.
    groups : mapping of str to array of int
        Numbers of the streamlines of each group (TRX).
    group_data : mapping of str to mapping of str to array
        Values of each group (TRX).
    grid : Grid, optional
        Grid of the image to which the streamlines belong, as the header of ``.trk`` and ``.trx`` names it.
    header : mapping
        Further fields of a ``.tck`` file, which MRtrix writes.
    """

    kind: ClassVar[str] = "streamlines"

    points: FloatArray
    lengths: NDArray[np.int64]
    point_data: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    streamline_data: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    groups: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    group_data: Mapping[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    grid: Grid | None = None
    header: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", checked_points(self.points, "streamlines", StreamlineError))
        lengths = np.asarray(self.lengths, dtype=np.int64)
        object.__setattr__(self, "lengths", lengths)
        if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != len(self.points):
            got = f"streamlines of {lengths.sum()} points in all"
            raise StreamlineError("streamlines", got, f"{len(self.points)}, as there are", "check the lengths")
        for data, count in ((self.point_data, len(self.points)), (self.streamline_data, len(lengths))):
            for name, values in data.items():
                if len(values) != count:
                    raise StreamlineError("streamlines", f"{len(values)} values of {name}", str(count), "check them")

    @classmethod
    def from_list(cls, lines: Sequence[ArrayLike]) -> Streamlines:
        """Make streamlines of arrays, each of shape (P, 3) [RAS mm]."""
        arrays = [np.asarray(line, dtype=np.float64).reshape(-1, 3) for line in lines]
        return cls(np.concatenate(arrays or [np.zeros((0, 3))]), np.array([len(a) for a in arrays], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        return f"Streamlines({len(self)} streamlines, {len(self.points)} points)"

    def lines(self) -> list[FloatArray]:
        """Return the points of each streamline, shape (P, 3) [RAS mm]."""
        return np.split(self.points, np.cumsum(self.lengths)[:-1])

    def carried(self, carried: Carried) -> Streamlines:
        """See :meth:`PointSet.carried`; the grid of the image that they leave is left out."""
        return replace(self, points=carried.points, grid=None)

    def lost_in(self, path: Path) -> tuple[str, ...]:
        """See :meth:`PointSet.lost_in`."""
        suffix, gone = path.suffix.lower(), []
        data = [*self.point_data, *self.streamline_data]
        if suffix == ".tck" and data:
            gone.append(f"the data {', '.join(data)}")
        if suffix != ".trx" and self.groups:
            gone.append(f"the groups {', '.join(self.groups)}")
        return tuple(gone)


def read_streamlines(path: str | Path) -> Streamlines:
    """Read streamlines.

    Parameters
    ----------
    path : Path
        ``.trk`` of TrackVis or ``.tck`` of MRtrix, or ``.trx``, with the extra ``[shapes]``.

    Returns
    -------
    Streamlines

    Raises
    ------
    StreamlineError
        If the file cannot be read, has no streamlines, or does not say where they lie (TrackVis, version 1).
    MissingPackageError
        For ``.trx`` without the extra ``[shapes]``.

    Warns
    -----
    HeaderWarning
        If the header is incomplete.
    """
    path = Path(path)
    what, suffix = f"streamlines {path}", path.suffix.lower()
    if suffix not in STREAMLINE_SUFFIXES:
        expected = f"one of {', '.join(STREAMLINE_SUFFIXES)}"
        raise StreamlineError(what, f"the suffix {suffix!r}", expected, "name a file of streamlines")
    check_exists(path, "streamlines", StreamlineError)
    if path.is_dir():
        raise StreamlineError(what, "a folder", "a file", "name the file itself")
    if suffix == ".trx":
        content = trx_files.read_trx(path)
        tractogram, header = content.tractogram, content.header
    else:
        content = None
        tractogram, header = tractogram_files.read_tractogram(path)
    lines = tractogram.streamlines
    count = len(lines)
    points = checked_points(np.concatenate([np.asarray(line) for line in lines] or [np.zeros((0, 3))]), what,
                            StreamlineError)  # fmt: skip
    return Streamlines(
        points,
        np.fromiter((len(line) for line in lines), np.int64, count),
        {name: np.concatenate(list(values)) for name, values in tractogram.data_per_point.items()},
        {name: np.asarray(values) for name, values in tractogram.data_per_streamline.items()},
        content.groups if content else {},
        content.group_data if content else {},
        _grid(header.get("dimensions"), header.get("voxel_to_rasmm")),
        header if suffix == ".tck" else {},
    )


def _grid(shape: Any, affine: Any) -> Grid | None:
    """Make the grid of a header; None if the header has none that makes sense."""
    if shape is None or affine is None:
        return None
    try:
        return Grid(tuple(int(n) for n in shape), np.asarray(affine, dtype=np.float64))
    except (GeometryError, ValueError):
        return None


def write_streamlines(streamlines: Streamlines, path: str | Path, *, grid: Grid | None = None) -> None:
    """Write streamlines, atomically, in the format that the suffix names.

    Parameters
    ----------
    streamlines : Streamlines
    path : Path
        ``.trk``, ``.tck`` or ``.trx``; :meth:`Streamlines.lost_in` tells what the format would not hold.
    grid : Grid, optional
        Grid of the image in which they lie, which the header of ``.trk`` and ``.trx`` names; by default their own.

    Raises
    ------
    OutputError
        If the format cannot hold the streamlines, their grid is not known, or the file cannot be written.
    MissingPackageError
        For ``.trx`` without the extra ``[shapes]``.
    """
    path, grid = Path(path), grid or streamlines.grid
    suffix = path.suffix.lower()
    check_name(path, "output", OutputError)
    if suffix not in STREAMLINE_SUFFIXES:
        expected = f"one of {', '.join(STREAMLINE_SUFFIXES)}"
        raise OutputError(f"output {path}", f"the suffix {suffix!r}", expected, "rename it")
    if suffix != ".tck" and (grid is None or grid.ndim != 3):
        got = "no image" if grid is None else "an image in 2D"
        raise OutputError(f"output {path}", got, f"the one in which the streamlines lie, for {suffix}", "name it")
    if suffix == ".trx" and grid is not None:
        trx_files.write_trx(_tractogram(streamlines), streamlines.groups, streamlines.group_data, grid, path)
    else:
        tractogram_files.write_tractogram(_tractogram(streamlines), streamlines.header, grid, path)


def _tractogram(streamlines: Streamlines) -> Any:
    library: Any = import_module("nibabel.streamlines")  # most of its functions have no types
    cuts = np.cumsum(streamlines.lengths)[:-1]
    return library.Tractogram(
        [line.astype(np.float32) for line in streamlines.lines()],
        data_per_streamline=dict(streamlines.streamline_data),
        data_per_point={name: np.split(_columns(v), cuts) for name, v in streamlines.point_data.items()},
        affine_to_rasmm=np.eye(4),
    )


def _columns(values: NDArray[Any]) -> NDArray[Any]:
    return values[:, None] if values.ndim == 1 else values
