"""Streamlines of TRX (.trx), read and written by the package trx-python."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.errors import OutputError, StreamlineError, require_packages
from learngn.geometry.grid import Grid
from learngn.io.atomic import atomic_path


@dataclass(frozen=True, eq=False)
class TrxContent:
    """Content of a file: nibabel's tractogram, the image's `dimensions` and `voxel_to_rasmm`, and the groups."""

    tractogram: Any
    header: dict[str, Any]
    groups: dict[str, NDArray[Any]]
    group_data: dict[str, dict[str, NDArray[Any]]]


def read_trx(path: Path) -> TrxContent:
    """Read a file, all of it into memory.

    Raises
    ------
    StreamlineError
        If the package cannot read it.
    MissingPackageError
        Without the package.
    """
    require_packages(f"streamlines {path}", "shapes", "trx")
    from trx import trx_file_memmap

    try:
        file = trx_file_memmap.load(str(path))
        try:
            tractogram = file.to_tractogram()
            groups = {name: np.array(members) for name, members in file.groups.items()}
            data = {name: {key: np.array(v) for key, v in of.items()} for name, of in file.data_per_group.items()}
            shape, affine = np.array(file.header["DIMENSIONS"]), np.array(file.header["VOXEL_TO_RASMM"])
        finally:
            file.close()
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, IndexError, OSError, AttributeError) as failure:
        got = f"a file that trx-python cannot read ({type(failure).__name__}: {failure})"
        raise StreamlineError(
            f"streamlines {path}", got, "a complete .trx file", "check or fetch it again"
        ) from failure
    return TrxContent(tractogram, {"dimensions": shape, "voxel_to_rasmm": affine}, groups, data)


def write_trx(
    tractogram: Any,
    groups: Mapping[str, NDArray[Any]],
    group_data: Mapping[str, Mapping[str, NDArray[Any]]],
    grid: Grid,
    path: Path,
) -> None:
    """Write a file, atomically: positions as float32, data in their own types.

    Raises
    ------
    OutputError
        If the package cannot write it.
    MissingPackageError
        Without the package.
    """
    require_packages(f"output {path}", "shapes", "trx")
    from trx import trx_file_memmap

    # Not by `from_tractogram`, which leaves temporary folders behind.
    file, lines = trx_file_memmap.TrxFile(), tractogram.streamlines.copy()
    file.header = {
        "VOXEL_TO_RASMM": grid.affine,
        "DIMENSIONS": np.array(grid.shape, np.uint16),
        "NB_VERTICES": int(lines.total_nb_rows),
        "NB_STREAMLINES": len(lines),
    }
    lines._offsets = lines._offsets.astype(np.uint32)
    file.streamlines = lines
    file.data_per_vertex.update({name: values.copy() for name, values in tractogram.data_per_point.items()})
    file.data_per_streamline.update({name: np.asarray(v) for name, v in tractogram.data_per_streamline.items()})
    file.groups.update({name: np.asarray(members) for name, members in groups.items()})
    file.data_per_group.update({name: dict(data) for name, data in group_data.items()})
    with atomic_path(path) as temporary:
        try:
            trx_file_memmap.save(file, str(temporary))
        except (ValueError, KeyError, TypeError, AttributeError) as failure:
            got = f"'{failure}' from trx-python"
            raise OutputError(f"output {path}", got, "what .trx can hold", "write .trk instead") from failure
