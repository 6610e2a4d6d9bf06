"""Checks before an image is read: the memory that its header asks for, and headers that ITK's parsers cannot take."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from learngn.errors import LearnGNError
from learngn.io.source import Header

_TEXT_HEADERS = (".mha", ".mhd", ".nrrd", ".nhdr")
_LINE = 1000  # bytes of a header's line: the parsers of MetaImage and NRRD copy words into buffers of a fixed size
_HEADER = 1 << 20  # bytes
_AXES = 9  # MetaImage's parser has room for ten
_DEFLATE = 1032  # bytes that one byte of a compressed file can stand for, at most
_UNITS = {
    "m": 1e3, "meter": 1e3, "meters": 1e3, "metre": 1e3, "metres": 1e3, "cm": 10.0, "um": 1e-3, "µm": 1e-3, "μm": 1e-3,
    "micron": 1e-3, "microns": 1e-3, "micrometer": 1e-3, "micrometers": 1e-3, "micrometre": 1e-3, "micrometres": 1e-3,
    "nm": 1e-6,
}  # fmt: skip
# Memory limit of a container or a cluster job on Linux, in both versions of control groups.
_CONTROL_GROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory() -> int:
    """Return the memory of this machine, or the limit of its container [bytes]."""
    limits = [_physical()]
    for path in _CONTROL_GROUPS:
        with suppress(OSError, ValueError):  # no container, or the text "max"
            limits.append(int(path.read_text(encoding="ascii")))
    return min(limits)


def _physical() -> int:
    with suppress(AttributeError, OSError, ValueError):  # not on Windows
        return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))
    try:
        import psutil

        return int(psutil.virtual_memory().total)
    except (ImportError, OSError):  # not known on this system: no limit
        return sys.maxsize


def check_memory(needed: int, what: str, error: type[LearnGNError]) -> None:
    """Raise `error` if a file's header, which may be damaged, asks for more memory than there is."""
    available = memory()
    if needed > available:
        raise error(
            what,
            f"a header that asks for {needed / 2**30:.3g} GiB of memory",
            f"at most the {available / 2**30:.3g} GiB of this machine",
            "check the header's sizes: the file may be damaged; or crop or resample it, or use a larger machine",
        )


def check_size(path: Path, header: Header, what: str, error: type[LearnGNError]) -> None:
    """Raise `error` if the header of a file that ITK reads has more voxels than the file or the memory can hold."""
    if _holds_all(path):
        needed = math.prod(header.shape) * header.dtype.itemsize * header.components
        check_promise(header.shape, needed, path.stat().st_size, f"{what} {path}", error)
    check_memory(header.bytes, f"{what} {path}", error)


def check_promise(shape: Sequence[int], needed: int, size: int, name: str, error: type[LearnGNError]) -> None:
    """Raise `error` if a file of `size` bytes, compressed or not, cannot hold values of `needed` bytes."""
    if needed > size * _DEFLATE:
        raise error(
            name,
            f"a header of {'x'.join(map(str, shape))} voxels, {needed} bytes, in a file that holds {size * _DEFLATE} "
            "at most",
            "the voxels that the header promises",
            "fetch the file again: it is damaged or cut short",
        )


def check_text_header(path: Path, what: str, error: type[LearnGNError]) -> float:
    """Raise `error` if a MetaImage or NRRD header would overrun the buffers of ITK's parsers, and end the process.

    Returns
    -------
    float
        Length of the unit of an NRRD file's coordinates [mm], which ITK ignores; 1 if the file names none.
    """
    unit = 1.0
    if path.suffix.lower() not in _TEXT_HEADERS:
        return unit
    remaining = _HEADER
    with path.open("rb") as file:
        while remaining > 0 and (line := file.readline(remaining)).strip():
            remaining -= len(line)
            name, _, value = (part.strip() for part in line.partition(b":" if b":" in line else b"="))
            if name == b"ElementDataFile":
                break
            if name.lower() == b"space units":
                unit = _unit(value, f"{what} {path}", error)
            wrong = name in (b"NDims", b"dimension") and not (value.isdigit() and int(value[:9]) <= _AXES)
            if wrong or (len(line) > _LINE and b":=" not in line and not line.startswith(b"#")):
                raise error(
                    f"{what} {path}",
                    f"the header's line {line[:40].decode('ascii', 'backslashreplace')!r} ({len(line)} characters)",
                    f"lines of at most {_LINE} characters, and at most {_AXES} axes",
                    "fetch the file again: it is damaged",
                )
    return unit


def _unit(named: bytes, name: str, error: type[LearnGNError]) -> float:
    """Return the length of the unit that an NRRD header names for all axes [mm]."""
    words = {word.strip().lower() for word in named.decode("utf-8", "replace").split('"') if word.strip()}
    lengths = {_UNITS.get(word, 1.0) for word in words} or {1.0}
    if len(lengths) != 1:
        raise error(name, f"units {', '.join(sorted(words))}", "one for all axes", "write the file anew, in mm")
    return lengths.pop()


def _holds_all(path: Path) -> bool:
    """Whether the voxels follow the header in the same file, uncompressed or deflated."""
    suffix = path.suffix.lower()
    if suffix in (".mha", ".nrrd"):
        with path.open("rb") as file:
            head = file.read(_HEADER)
        return (
            b"LOCAL" in head
            if suffix == ".mha"
            else not any(word in head for word in (b"data file", b"datafile", b"bz"))
        )
    return suffix == ".png"
