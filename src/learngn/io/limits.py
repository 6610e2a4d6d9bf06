"""What is looked at before an image is read: how much memory its header asks for, and what ITK's parsers choke on."""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from learngn.errors import LearnGNError

_TEXT_HEADERS = (".mha", ".mhd", ".nrrd", ".nhdr")
_LINE = 1000  # bytes of a header's line: the parsers of MetaImage and NRRD copy words into buffers of a fixed size
_HEADER = 1 << 20  # bytes
_AXES = 9  # MetaImage's parser has room for ten
_DEFLATE = 1032  # bytes that one byte of a compressed file can stand for, at most
_WORK = 4  # bytes a voxel that reading needs beside the file's own: the values as float32
# Linux: what a container or a job of a cluster may use, in either version of its control groups.
_CONTROL_GROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory() -> int:
    """Memory of this machine, or what its container may use of it [bytes]."""
    try:
        import psutil

        found = [int(psutil.virtual_memory().total)]
    except (ImportError, OSError):  # a system that psutil cannot ask: nothing to hold a header against
        found = [sys.maxsize]
    for path in _CONTROL_GROUPS:
        with suppress(OSError, ValueError):  # no container, or "max"
            found.append(int(path.read_text(encoding="ascii")))
    return min(found)


def check_memory(needed: int, what: str, error: type[LearnGNError]) -> None:
    """Raise `error` where a file asks for more memory than there is: its header may say anything."""
    available = memory()
    if needed > available:
        raise error(
            what,
            f"a header that asks for {needed / 2**30:.3g} GiB of memory",
            f"at most the {available / 2**30:.3g} GiB of this machine",
            "check the header's sizes: the file may be damaged; or crop or resample it, or use a larger machine",
        )


def check_size(path: Path, header: Any, what: str, error: type[LearnGNError]) -> None:
    """Raise `error` where an image's header promises more than its file can hold, or memory.

    Parameters
    ----------
    path : Path
    header : SimpleITK.ImageFileReader
        That has read the file's header.
    what : str
        Name of the image in messages.
    error : type of LearnGNError
    """
    shape, size = "x".join(map(str, header.GetSize())), math.prod(header.GetSize()) * _bytes_of_voxel(header)
    holds = path.stat().st_size * _DEFLATE
    if size > holds and _holds_all(path):
        raise error(
            f"{what} {path}",
            f"a header of {shape} voxels, {size} bytes, in a file that holds {holds} at most",
            "the voxels that the header promises",
            "fetch the file again: it is damaged or cut short",
        )
    check_memory(size_of(header), f"{what} {path}", error)


def size_of(header: Any) -> int:
    """Bytes that reading an image takes, the file's values and ours together."""
    return int(math.prod(header.GetSize()) * (_bytes_of_voxel(header) + _WORK))


def check_text_header(path: Path, what: str, error: type[LearnGNError]) -> None:
    """Raise `error` where a MetaImage or NRRD header would overrun ITK's parsers, which would end the process."""
    if path.suffix.lower() not in _TEXT_HEADERS:
        return
    left = _HEADER
    with path.open("rb") as file:
        while left > 0 and (line := file.readline(left)).strip():
            left -= len(line)
            name, _, value = (part.strip() for part in line.partition(b":" if b":" in line else b"="))
            if name == b"ElementDataFile":
                break
            wrong = name in (b"NDims", b"dimension") and not (value.isdigit() and int(value[:9]) <= _AXES)
            if wrong or (len(line) > _LINE and b":=" not in line and not line.startswith(b"#")):
                raise error(
                    f"{what} {path}",
                    f"the header's line {line[:40].decode('ascii', 'backslashreplace')!r} ({len(line)} characters)",
                    f"lines of at most {_LINE} characters, and at most {_AXES} axes",
                    "fetch the file again: it is damaged",
                )


def _bytes_of_voxel(header: Any) -> int:
    try:
        kind = sitk.Image([1, 1], header.GetPixelID(), 0)
    except RuntimeError:  # unknown to SimpleITK, which will refuse it
        return 1
    scale = 2 if "complex" in kind.GetPixelIDTypeAsString() else 1
    return int(kind.GetSizeOfPixelComponent()) * scale * max(1, int(header.GetNumberOfComponents()))


def _holds_all(path: Path) -> bool:
    """Whether the voxels are in the file itself, behind the header, as they are or deflated."""
    suffix = path.suffix.lower()
    if suffix in (".mha", ".nrrd"):
        with path.open("rb") as file:
            head = file.read(_HEADER)
        return (
            b"LOCAL" in head
            if suffix == ".mha"
            else not any(word in head for word in (b"data file", b"datafile", b"bz"))
        )
    return path.name.lower().endswith((".nii", ".nii.gz", ".png"))
