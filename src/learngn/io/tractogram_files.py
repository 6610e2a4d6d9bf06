"""Streamlines of TrackVis (.trk) and MRtrix (.tck), read and written by nibabel."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from learngn.errors import HeaderWarning, OutputError, StreamlineError
from learngn.geometry.grid import Grid
from learngn.io.atomic import atomic_path

# Fields of .tck that describe the file itself, which are written anew.
_OF_THE_FILE = ("magic_number", "datatype", "file", "count")


def read_tractogram(path: Path) -> tuple[Any, dict[str, Any]]:
    """Read a file; return nibabel's tractogram [RAS mm] and its header.

    The header has the image's ``dimensions`` and ``voxel_to_rasmm``, of ``.trk``, or MRtrix's own fields, as text.

    Raises
    ------
    StreamlineError
        If nibabel cannot read it, streamlines are missing, or it does not say where they lie.

    Warns
    -----
    HeaderWarning
        If the header is incomplete.
    """
    library, problems = _nibabel()
    is_trk = path.suffix.lower() == ".trk"
    reader = library.TrkFile if is_trk else library.TckFile
    try:
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            if not reader.is_correct_format(path):
                raise problems.HeaderError(f"no {path.suffix.lower()} file by its first bytes")
            file = reader.load(path, lazy_load=False)
    except (
        problems.HeaderError,
        problems.DataError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        OSError,
        EOFError,
    ) as failure:
        got = f"a file that nibabel cannot read ({type(failure).__name__}: {failure})"
        raise StreamlineError(f"streamlines {path}", got, "a complete one", "check or fetch it again") from failure
    for note in notes:
        if "vox_to_ras" in str(note.message):
            raise StreamlineError(
                f"streamlines {path}", "a header without the position (vox_to_ras)", "TrackVis version 2",
                "save it again with its image, for example by dipy",
            )  # fmt: skip
        if issubclass(note.category, problems.HeaderWarning):
            warnings.warn(HeaderWarning(f"streamlines {path}", str(note.message)), stacklevel=3)
    expected = file.header.get(library.Field.NB_STREAMLINES, 0)
    count = int(expected) if str(expected).isdigit() or isinstance(expected, np.integer | int) else 0
    if count and count != len(file.streamlines):  # 0 stands for "unknown"
        got = f"{len(file.streamlines)} streamlines"
        raise StreamlineError(f"streamlines {path}", got, f"{count}, as its header says", "fetch it again")
    if is_trk:
        return file.tractogram, {
            key: file.header[key] for key in (library.Field.DIMENSIONS, library.Field.VOXEL_TO_RASMM)
        }
    fields = {key: value for key, value in file.header.items() if isinstance(value, str) and key not in _OF_THE_FILE}
    return file.tractogram, fields


def write_tractogram(tractogram: Any, fields: Mapping[str, Any], grid: Grid | None, path: Path) -> None:
    """Write a file, atomically.

    Parameters
    ----------
    tractogram : nibabel.streamlines.Tractogram [RAS mm]
        Its data are left out of ``.tck``, which has none.
    fields : mapping
        Further fields of the header of ``.tck``.
    grid : Grid or None
        Grid of the image, for ``.trk``.
    path : Path

    Raises
    ------
    OutputError
        If the format cannot hold the data, or the file cannot be written.
    """
    library, problems = _nibabel()
    field = library.Field
    if grid is not None and path.suffix.lower() == ".trk":
        writer, header = library.TrkFile, {
            field.VOXEL_TO_RASMM: grid.affine.astype(np.float32),
            field.DIMENSIONS: np.array(grid.shape, np.int16),
            field.VOXEL_SIZES: grid.spacing.astype(np.float32),
            field.VOXEL_ORDER: grid.axis_codes.encode(),
        }  # fmt: skip
    else:
        writer, header = library.TckFile, dict(fields)
        tractogram.data_per_point, tractogram.data_per_streamline = {}, {}
    with atomic_path(path) as temporary:
        try:
            writer(tractogram, header).save(str(temporary))
        except (ValueError, problems.DataError, problems.HeaderError) as failure:
            got, expected = f"'{failure}' from nibabel", f"what {path.suffix} can hold"
            raise OutputError(f"output {path}", got, expected, "write .trx instead") from failure


def _nibabel() -> tuple[Any, Any]:
    """Return nibabel's modules of streamlines and of their errors; most of their functions have no types."""
    return import_module("nibabel.streamlines"), import_module("nibabel.streamlines.tractogram_file")
