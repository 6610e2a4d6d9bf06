"""Point files of 3D Slicer (.fcsv, .mrk.json) and elastix (.pts)."""

from __future__ import annotations

import copy
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from learngn.errors import LandmarkError
from learngn.geometry.grid import FloatArray
from learngn.io.documents import parse_json

Space = Literal["voxel", "lps", "ras", "pixel"]
POINT_SUFFIXES = (".fcsv", ".mrk.json", ".json", ".pts")

_SYSTEMS: dict[str, Space] = {"ras": "ras", "0": "ras", "lps": "lps", "1": "lps"}
_FCSV_COLUMNS = ("id", "x", "y", "z", "ow", "ox", "oy", "oz", "vis", "sel", "lock", "label", "desc", "associatednodeid")
_ELASTIX: dict[str, Space] = {"point": "lps", "index": "voxel"}
_MADE_OF_POINTS = ("Fiducial", "Line", "Angle", "Curve", "ClosedCurve")  # types of markups
_SCHEMA = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3.json#"


@dataclass(frozen=True)
class RawPoints:
    """Points as stored in a file.

    Attributes
    ----------
    values : array, shape (M, D)
        Coordinates, with at least as many columns as dimensions.
    space : {"voxel", "lps", "ras"}
        Coordinate system of the values.
    names : tuple of str, optional
        Name of each point.
    document : mapping, optional
        Whole content of a file of markups, which has more than points: curves, colours, descriptions.
    """

    values: FloatArray
    space: Space
    names: tuple[str, ...] | None = None
    document: Mapping[str, Any] | None = None


def parse_fcsv(text: str, path: Path) -> RawPoints:
    """Parse 3D Slicer's fiducials (``.fcsv``), in the coordinate system that the file's comments name, by default RAS.

    Raises
    ------
    LandmarkError
        If a line is wrong or the coordinate system unknown.
    """
    system, columns = "ras", list(_FCSV_COLUMNS)
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            key, _, value = (part.strip().lower() for part in line[1:].partition("="))
            if key == "coordinatesystem":
                system = value
            elif key == "columns":
                columns = [name.strip() for name in value.split(",")]
        elif line.strip():
            rows.append((number, next(csv.reader([line]))))
    if not {"x", "y", "z"} <= set(columns):
        raise _wrong(path, f"the columns {','.join(columns)!r}", "x, y and z among them")
    places, label = [columns.index(axis) for axis in "xyz"], columns.index("label") if "label" in columns else None
    points, names = [], []
    for number, cells in rows:
        if len(cells) <= max(places):
            raise _wrong(path, f"{len(cells)} columns in line {number}", f"{len(columns)}: {','.join(columns)}")
        points.append([_finite(cells[place], path, f"line {number}") for place in places])
        names.append(cells[label].strip() if label is not None and label < len(cells) else "")
    return RawPoints(np.array(points).reshape(-1, 3), _system(system, path), _named(names))


def parse_markups(text: str, path: Path) -> RawPoints:
    """Parse 3D Slicer's markups (``.mrk.json``): all control points, in the order of the file.

    Raises
    ------
    LandmarkError
        If the text is not of this format, a point has no position, or the coordinate system or the unit is unknown.
    """
    try:
        document = parse_json(text)
        markups = document["markups"]
        controls = [(markup, point) for markup in markups for point in markup.get("controlPoints", ())]
        systems = {str(markup.get("coordinateSystem", "LPS")) for markup, _ in controls}
        units = {json.dumps(markup.get("coordinateUnits", "mm")) for markup, _ in controls}
        points = [[_finite(value, path, _title(point)) for value in _position(point, path)] for _, point in controls]
        names = [str(point.get("label", "")) for _, point in controls]
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        raise _wrong(path, f"no markups ({type(failure).__name__}: {failure})", "those of 3D Slicer") from failure
    if len(systems) > 1:
        raise _wrong(path, f"several coordinate systems, {', '.join(sorted(systems))}", "one")
    if not units <= {'"mm"'}:
        raise _wrong(path, f"the unit {', '.join(sorted(units))}", "mm")
    system = systems.pop() if systems else "LPS"
    return RawPoints(np.array(points).reshape(-1, 3), _system(system, path), _named(names), document)


def is_elastix(text: str) -> bool:
    """Whether text begins like elastix' points: ``point`` or ``index``, then their number."""
    words = text.split(maxsplit=2)
    return len(words) > 1 and words[0].lower() in _ELASTIX and words[1].isdigit()


def parse_elastix(text: str, path: Path) -> RawPoints:
    """Parse the points of elastix: ``point`` (LPS mm) or ``index`` (voxels), their number, and one point a line.

    Raises
    ------
    LandmarkError
        If the text is not of this format, or has another number of points than it says.
    """
    if not is_elastix(text):
        raise _wrong(
            path,
            f"the beginning {text[:30]!r}",
            "'point' (LPS mm) or 'index' (voxels) and the number of points, as in elastix",
        )
    kind, number, *lines = [line.strip() for line in text.splitlines() if line.strip()]
    points = [[_finite(word, path, f"point {n}") for word in line.split()] for n, line in enumerate(lines)]
    if len(points) != int(number):
        raise _wrong(path, f"{len(points)} points", f"{number}, as its second line says")
    if len({len(point) for point in points}) > 1:
        raise _wrong(path, "points of different dimensions", "one dimension")
    return RawPoints(np.array(points), _ELASTIX[kind.lower()])


def format_fcsv(lps: FloatArray, names: Sequence[str] | None) -> str:
    """Format points, shape (M, 3) [LPS mm], as an ``.fcsv`` file."""
    text = io.StringIO()
    text.write("# Markups fiducial file version = 5.0\n# CoordinateSystem = LPS\n")
    text.write("# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n")
    rows = [
        [str(n + 1), *(f"{value:.10g}" for value in point), 0, 0, 0, 1, 1, 1, 0, label, "", ""]
        for n, (point, label) in enumerate(zip(lps.tolist(), _labels(lps, names), strict=True))
    ]
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def format_markups(lps: FloatArray, names: Sequence[str] | None, document: Mapping[str, Any] | None = None) -> str:
    """Format points, shape (M, 3) [LPS mm], as a ``.mrk.json`` file.

    All else in the document from which they were read is kept, but for measurements, which are no longer true. Planes
    and regions, which are more than their points, and other numbers of points become fiducials.
    """
    if document is not None and _is_made_of_points(document, len(lps)):
        return _replaced(document, lps, names)
    points = [
        {"id": str(n + 1), "label": label, "position": point, "positionStatus": "defined"}
        for n, (point, label) in enumerate(zip(lps.tolist(), _labels(lps, names), strict=True))
    ]
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points}
    return json.dumps({"@schema": _SCHEMA, "markups": [markup]}, indent=1, ensure_ascii=False) + "\n"


def _is_made_of_points(document: Mapping[str, Any], count: int) -> bool:
    markups = document["markups"]
    known = all(markup.get("type", "Fiducial") in _MADE_OF_POINTS for markup in markups)
    return known and sum(len(markup.get("controlPoints", ())) for markup in markups) == count


def _replaced(document: Mapping[str, Any], lps: FloatArray, names: Sequence[str] | None) -> str:
    """Return a document of markups with other positions [LPS mm], in the coordinate systems that it names."""
    changed, places = copy.deepcopy(dict(document)), iter(lps)
    labels = iter(names or ())
    for markup in changed["markups"]:
        markup.pop("measurements", None)
        flip = [-1, -1, 1] if _SYSTEMS[str(markup.get("coordinateSystem", "LPS")).lower()] == "ras" else [1, 1, 1]
        for point in markup.get("controlPoints", ()):
            point["position"] = (next(places) * flip + 0.0).tolist()
            if (label := next(labels, None)) is not None:
                point["label"] = label
    return json.dumps(changed, indent=1, ensure_ascii=False) + "\n"


def format_elastix(lps: FloatArray) -> str:
    """Format points, shape (M, D) [LPS mm], as a ``.pts`` file."""
    lines = [" ".join(f"{value + 0.0:.10g}" for value in point) for point in lps.tolist()]
    return "\n".join(["point", str(len(lines)), *lines]) + "\n"


def _labels(points: FloatArray, names: Sequence[str] | None) -> Sequence[str]:
    return names if names is not None else [f"F-{n + 1}" for n in range(len(points))]


def _position(point: dict[str, Any], path: Path) -> Sequence[Any]:
    """Return the three coordinates of a control point."""
    position = point.get("position")
    if point.get("positionStatus") in ("undefined", "missing") or not isinstance(position, list) or len(position) != 3:
        raise _wrong(path, f"{_title(point)} without a position", "one for every point: they correspond by their order")
    return position


def _title(point: dict[str, Any]) -> str:
    return f"the point {point.get('label') or point.get('id')!r}"


def _system(name: str, path: Path) -> Space:
    if name.lower() not in _SYSTEMS:
        raise _wrong(path, f"the coordinate system {name!r}", "LPS or RAS")
    return _SYSTEMS[name.lower()]


def _finite(value: Any, path: Path, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise _wrong(path, f"{value!r} in {where}", "finite numbers")
    return number


def _named(names: Sequence[str]) -> tuple[str, ...] | None:
    return tuple(names) if any(names) else None


def _wrong(path: Path, got: str, expected: str) -> LandmarkError:
    return LandmarkError(f"landmarks {path}", got, expected, "check the file, or save the points again")
