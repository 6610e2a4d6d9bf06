"""JSON, TOML and NumPy archives from untrusted sources: every fault of theirs is one exception."""

from __future__ import annotations

import json
import math
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from learngn.errors import LearnGNError
from learngn.io.limits import check_memory

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def parse_json(text: str) -> Any:
    """Parse JSON.

    Raises
    ------
    ValueError
        If the text is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_values(path: Path, what: str, error: type[LearnGNError]) -> dict[str, Any]:
    """Read the keys and values of a file: TOML if its name ends with ``.toml``, otherwise JSON.

    Parameters
    ----------
    path : Path
    what : str
        Name of the file in messages.
    error : type of LearnGNError
        Raised if the file cannot be read, or holds something else than keys and values.
    """
    kind = "TOML" if path.suffix.lower() == ".toml" else "JSON"
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text) if kind == "TOML" else parse_json(text)
    except OSError as failure:
        raise error(
            f"{what} {path}", failure.strerror or str(failure), "a file that can be read", "check its path and rights"
        ) from failure
    except (ValueError, RecursionError) as failure:
        remedy = "correct it" if kind == "TOML" else "correct it; the name of a TOML file must end with .toml"
        raise error(f"{what} {path}", f"text that is no {kind} ({failure})", kind, remedy) from failure
    if not isinstance(values, dict):
        raise error(f"{what} {path}", f"a {type(values).__name__}", "keys and values", "correct it")
    return values


def read_archive(path: Path, what: str, error: type[LearnGNError]) -> dict[str, NDArray[Any]]:
    """Read the arrays of an ``.npz`` file by name; pickled objects, which can run code, are refused.

    Parameters
    ----------
    path : Path
    what : str
        Name of the file's content in messages.
    error : type of LearnGNError
        Raised if the file cannot be read, or needs more memory than there is.
    """
    try:
        check_memory(_unpacked_size(path), f"{what} {path}", error)
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except LearnGNError:
        raise
    except Exception as failure:  # NumPy passes on any exception of zipfile, zlib and the tokenizer of headers
        raise error(
            f"{what} {path}",
            f"a file that NumPy cannot read ('{failure}')",
            "an .npz archive",
            "check that it is one and complete, or write it anew",
        ) from failure


def _unpacked_size(path: Path) -> int:
    """Return the size of an archive's arrays by their headers [bytes]: NumPy allocates before it reads."""
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    size = 0
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                read = readers.get(npy.read_magic(member))
                if read is not None:
                    shape, _, dtype = read(member)
                    size += math.prod(shape) * dtype.itemsize
    return size
