"""Sizes that headers of meshes state, compared with those of the files: VTK reads what was cut off as noise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from learngn.errors import MeshError

_BYTES = {
    "char": 1, "unsigned_char": 1, "short": 2, "unsigned_short": 2, "int": 4, "unsigned_int": 4, "long": 8,
    "unsigned_long": 8, "float": 4, "double": 8, "vtkidtype": 4, "vtktypeint64": 8, "vtktypeuint64": 8,
    "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "float32": 4, "float64": 8,
    "uchar": 1, "ushort": 2, "uint": 4,
}  # fmt: skip
_CELLS = ("vertices", "lines", "polygons", "triangle_strips", "cells")
_COMPONENTS = {"normals": 3, "vectors": 3, "tensors": 9}
_STL_HEAD, _STL_FACE = 84, 50  # [bytes]


def check_complete(path: Path) -> None:
    """Raise :class:`MeshError` if a binary ``.vtk``, ``.stl`` or ``.ply`` file is shorter than its header says."""
    sizes = {".vtk": _vtk_end, ".stl": _stl_end, ".ply": _ply_end}
    if (of := sizes.get(path.suffix.lower())) is None:
        return
    content = path.read_bytes()
    try:
        needed = of(content)
    except EOFError:
        needed = len(content) + 1
    except (ValueError, KeyError, IndexError):  # a header that is none: VTK says what is wrong with it
        return
    if needed > len(content):
        raise MeshError(f"mesh {path}", f"{len(content)} bytes", f"{needed} by its header", "fetch the file again")


def _stl_end(content: bytes) -> int:
    if content.lstrip().startswith(b"solid") and b"facet" in content[:1000]:
        return len(content) if b"endsolid" in content[-1000:] else len(content) + 1
    return _STL_HEAD + _STL_FACE * int.from_bytes(content[80:_STL_HEAD], "little")


def _ply_end(content: bytes) -> int:
    """Return the least size: of lists, of which a header does not say how long they are, as triangles."""
    text, lines, words = _Lines(content), [], [""]
    if text.next().strip() != "ply":
        raise ValueError
    while words[:1] != ["end_header"]:
        words = text.next().split()
        lines.append(words)
    if ["format", "ascii", "1.0"] in lines:
        return len(content)
    end, count = text.place, 0
    for words in lines:
        if words[:1] == ["element"]:
            count = int(words[2])
        elif words[:2] == ["property", "list"]:
            end += count * (_BYTES[words[2]] + 3 * _BYTES[words[3]])
        elif words[:1] == ["property"]:
            end += count * _BYTES[words[1]]
    return end


def _vtk_end(content: bytes) -> int:
    """Return the end of the last section that is begun."""
    lines = _Lines(content)
    version = float(lines.next().split()[-1])
    lines.next()  # the title
    if lines.next().strip().upper() != "BINARY":
        return len(content)
    count, sizes = 0, (0, 0)
    for words in lines.words():
        name = words[0]
        if name in ("point_data", "cell_data"):
            count = int(words[1])
        elif name == "points":
            lines.skip(3 * int(words[1]) * _BYTES[words[2]])
        elif name in _CELLS:
            sizes = int(words[1]), int(words[2])
            if version < 5:
                lines.skip(4 * sizes[1])
        elif name in ("offsets", "connectivity"):
            lines.skip(sizes[name == "connectivity"] * _BYTES[words[1]])
        elif name == "cell_types":
            lines.skip(4 * int(words[1]))
        elif name in _COMPONENTS:
            lines.skip(_COMPONENTS[name] * count * _BYTES[words[2]])
        elif name == "texture_coordinates":
            lines.skip(int(words[2]) * count * _BYTES[words[3]])
        elif name == "color_scalars":
            lines.skip(int(words[2]) * count)
        elif name == "scalars":
            lines.next()  # the name of the colours
            lines.skip(count * math.prod(int(word) for word in words[3:4]) * _BYTES[words[2]])
        elif name == "lookup_table":
            lines.skip(4 * int(words[2]))
        elif name == "field":
            for _ in range(int(words[2])):
                _, components, values, kind = lines.next().split()
                lines.skip(int(components) * int(values) * _BYTES[kind.lower()])
        elif name == "metadata":
            while lines.next().strip():
                pass
        elif name != "dataset":
            break  # another keyword: VTK knows what it means
    return lines.place


class _Lines:
    """Lines of text between binary sections."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def next(self) -> str:
        """Return the next line; raise :class:`EOFError` if the file ends before the line does."""
        end = self.content.find(b"\n", self.place)
        if end < 0:
            raise EOFError
        line = self.content[self.place : end].decode("latin-1")
        self.place = end + 1
        return line

    def words(self) -> Iterator[list[str]]:
        """Yield the words of each line that has some, in lower case, up to the end of the file."""
        while self.content[self.place : self.place + 1000].strip():
            if words := self.next().lower().split():
                yield words

    def skip(self, size: int) -> None:
        """Go over a binary section."""
        self.place += size
