"""What is looked at before an image is read: how much memory its header asks for, and what ITK's parsers choke on."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
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
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def memory() -> int:
    """Memory of this machine, or what its container may use of it [bytes]."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(installed, int(_CGROUP.read_text()))
    except (OSError, ValueError):  # no container, or "max"
        return installed


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


def check_size(path: Path, header: Header, what: str, error: type[LearnGNError]) -> None:
    """Raise `error` where the header of a file that ITK reads promises more than the file can hold, or memory."""
    if _holds_all(path):
        needed = math.prod(header.shape) * header.dtype.itemsize * header.components
        check_promise(header.shape, needed, path.stat().st_size, f"{what} {path}", error)
    check_memory(header.bytes, f"{what} {path}", error)


def check_promise(shape: Sequence[int], needed: int, size: int, name: str, error: type[LearnGNError]) -> None:
    """Raise `error` where values of `needed` bytes cannot come out of a file of `size` bytes, compressed or not."""
    if needed > size * _DEFLATE:
        raise error(
            name,
            f"a header of {'x'.join(map(str, shape))} voxels, {needed} bytes, in a file that holds {size * _DEFLATE} "
            "at most",
            "the voxels that the header promises",
            "fetch the file again: it is damaged or cut short",
        )


def check_text_header(path: Path, what: str, error: type[LearnGNError]) -> float:
    """Raise `error` where a MetaImage or NRRD header would overrun ITK's parsers, which would end the process.

    Returns
    -------
    float
        Length of the unit of an NRRD file's coordinates [mm], which ITK does not look at; 1 where it names none.
    """
    unit = 1.0
    if path.suffix.lower() not in _TEXT_HEADERS:
        return unit
    left = _HEADER
    with path.open("rb") as file:
        while left > 0 and (line := file.readline(left)).strip():
            left -= len(line)
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
    """Length of the units that an NRRD header names for its axes, which must be one and the same [mm]."""
    words = {word.strip().lower() for word in named.decode("utf-8", "replace").split('"') if word.strip()}
    lengths = {_UNITS.get(word, 1.0) for word in words} or {1.0}
    if len(lengths) != 1:
        raise error(name, f"units {', '.join(sorted(words))}", "one for all axes", "write the file anew, in mm")
    return lengths.pop()


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
    return suffix == ".png"
