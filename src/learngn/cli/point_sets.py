"""Points, meshes and streamlines for ``learngn apply``: read, carried in the direction that they need, and written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli import console
from learngn.cli.panels import INPUT
from learngn.errors import LandmarkError, LearnGNError, MeshError, StreamlineError

if TYPE_CHECKING:
    import numpy as np

    from learngn.geometry.carrying import Carried
    from learngn.geometry.grid import Grid
    from learngn.geometry.transform import Transform
    from learngn.io import PointSet

_INEXACT = 0.1  # error of a point's inverse above which a warning is shown [mm]
_ERRORS: dict[str, type[LearnGNError]] = {
    "points": LandmarkError,
    "mesh": MeshError,
    "streamlines": StreamlineError,
}


class Side(str, Enum):
    """One of the two scans of a registration."""

    FIXED = "fixed"
    MOVING = "moving"

    @property
    def other(self) -> Side:
        """The other one."""
        return Side.MOVING if self is Side.FIXED else Side.FIXED

    @property
    def option(self) -> str:
        """Option that names its file."""
        return "--reference" if self is Side.FIXED else "--moving"


class World(str, Enum):
    """Coordinates of a file."""

    LPS = "LPS"
    RAS = "RAS"


OfOption = Annotated[
    Side | None,
    typer.Option(
        "--of",
        metavar="SCAN",
        help="Scan of the registration in which IMAGE lies, fixed or moving; it is carried to the other one.",
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
CoordinatesOption = Annotated[
    World | None,
    typer.Option(
        "--coordinates",
        metavar="WORLD",
        help="Coordinates of a mesh whose file does not say, LPS (default) or RAS.",
        case_sensitive=False,
        show_default=False,
        rich_help_panel=INPUT,
    ),
]


def kind_of(path: Path) -> str:
    """Return what a file holds, by its name: points, mesh, streamlines or image."""
    from learngn.io import is_landmarks
    from learngn.io.meshes import MESH_SUFFIXES
    from learngn.io.streamlines import STREAMLINE_SUFFIXES

    suffix = path.suffix.lower()
    if suffix in MESH_SUFFIXES:
        return "mesh"
    if suffix in STREAMLINE_SUFFIXES:
        return "streamlines"
    return "points" if is_landmarks(path) else "image"


def side_of(path: Path, kind: str, of: Side | None, inverse: bool) -> Side:
    """Decide in which scan a file lies: as the options say, else by its kind.

    An image lies in the moving scan, and `--inverse` says that it lies in the fixed one. Points lie in the fixed scan,
    and `--inverse` says that they lie in the moving one. Of a mesh and of streamlines one of the options must say it.
    """
    usual = Side.MOVING if kind == "image" else Side.FIXED
    by_inverse = usual.other if inverse else None
    if of is not None and by_inverse not in (None, of):
        error = _ERRORS.get(kind, LearnGNError)
        raise error(
            f"{kind} {path}", f"--of {of.value} as well as --inverse", "one of them",
            f"leave one out: --inverse means --of {usual.other.value}",
        )  # fmt: skip
    chosen = of or by_inverse
    if chosen is None and kind in ("mesh", "streamlines"):
        raise _ERRORS[kind](
            f"{kind} {path}", "no word of the scan in which it lies",
            "--of moving, to carry it to the fixed scan as the moving image is, or --of fixed for the other way",
            "add one of them",
        )  # fmt: skip
    return chosen or usual


@dataclass(frozen=True)
class Carrying:
    """A file to carry, from which scan to which, and how it is read and written.

    Attributes
    ----------
    path, output : Path
    kind : str
        As :func:`kind_of` gives it.
    side : Side
        Scan in which it lies.
    grids : dict of Side to Grid or None
        Grids of the two scans, as far as they were named.
    world : World or None
        Coordinates of a mesh that does not say.
    quiet : bool
    """

    path: Path
    output: Path
    kind: str
    side: Side
    grids: dict[Side, Grid | None]
    world: World | None
    quiet: bool

    def __call__(self, chain: Transform) -> None:
        """Carry it by a transform from the fixed to the moving scan."""
        from learngn.geometry.carrying import carry

        shape = self._read()
        self._check_place(shape.points)
        carried = carry(chain, shape.points, inverse=self.side is Side.MOVING)
        self._check(carried)
        self._write(shape.carried(carried))
        self._report(shape, carried)

    def _error(self, got: str, expected: str, remedy: str) -> LearnGNError:
        return _ERRORS[self.kind](f"{self.kind} {self.path}", got, expected, remedy)

    def _read(self) -> PointSet:
        from learngn.io import read_landmarks, read_mesh, read_streamlines

        source, target = self.grids[self.side], self.grids[self.side.other]
        if self.kind == "mesh":
            if self.world is None:
                return read_mesh(self.path)
            return read_mesh(self.path, world="lps" if self.world is World.LPS else "ras")
        if self.kind == "streamlines":
            lines = read_streamlines(self.path)
            self._check_header(lines.grid)
            if target is None and self.output.suffix.lower() != ".tck":
                raise self._error(
                    "no scan to which they are carried", "the one whose grid the file will name",
                    f"name it with {self.side.other.option}",
                )  # fmt: skip
            return lines
        if source is None:
            raise self._error("points alone", "the scan in which they lie", f"name it with {self.side.option}")
        landmarks = read_landmarks(self.path, source)
        if target is None and landmarks.space in ("voxel", "pixel"):
            raise self._error("voxels", "the scan whose voxels they become", f"name it with {self.side.other.option}")
        return landmarks

    def _check_header(self, grid: Grid | None) -> None:
        """Compare the image that a header names with the two scans: it tells the direction, too."""
        source, target = self.grids[self.side], self.grids[self.side.other]
        if grid is None or target is None or not grid.same_space(target, 0.01):
            return
        if source is None or not grid.same_space(source, 0.01):
            raise self._error(
                f"the grid of the {self.side.other.value} scan in its header", f"that of the {self.side.value} one",
                f"add --of {self.side.other.value}, if they lie there",
            )  # fmt: skip

    def _check_place(self, points: np.ndarray) -> None:
        """Check that some points lie in their scan, if it was named; landmarks were checked when they were read."""
        grid = self.grids[self.side]
        if grid is None or self.kind == "points":
            return
        if not _inside(points, grid).any():
            turned = points * [-1, -1, 1]
            other = "; in the other coordinates, LPS or RAS, some do" if _inside(turned, grid).any() else ""
            raise self._error(
                f"no point in the {self.side.value} scan of {grid}", f"points of this scan{other}",
                f"check --of and {'--coordinates' if self.kind == 'mesh' else 'the file'}",
            )  # fmt: skip

    def _check(self, carried: Carried) -> None:
        """Refuse what no displacement reaches, and warn of points outside and of points without a counterpart."""
        count, outside = len(carried.points), int(carried.outside.sum())
        if outside == count:
            raise self._error(
                "no point on the grid of the displacement", f"points of the {self.side.value} scan",
                f"check --of{' and --coordinates' if self.kind == 'mesh' else ''}, and that the transform is theirs",
            )  # fmt: skip
        warnings = []
        if outside:
            warnings.append(f"{outside} of {count} points lie outside the displacement's grid, where it is zero")
        inexact = carried.error > _INEXACT
        if inexact.any():
            warnings.append(
                f"{int(inexact.sum())} of {count} points have no exact counterpart, off by up to "
                f"{carried.error.max():.1f} mm: does the transform fold there?"
            )
        console.warn(warnings, self.quiet)

    def _write(self, shape: PointSet) -> None:
        from learngn.io import Landmarks, Mesh, Streamlines, write_landmarks, write_mesh, write_streamlines

        target, source = self.grids[self.side.other], self.grids[self.side]
        if isinstance(shape, Mesh):
            write_mesh(shape, self.output)
        elif isinstance(shape, Streamlines):
            write_streamlines(shape, self.output, grid=target)
        elif isinstance(shape, Landmarks) and (grid := target or source) is not None:
            write_landmarks(shape, self.output, grid=grid)
        console.warn([f"{self.output.name} does not hold {lost}" for lost in shape.lost_in(self.output)], self.quiet)

    def _report(self, shape: PointSet, carried: Carried) -> None:
        if self.quiet:
            return
        from learngn.io import Streamlines

        count = len(carried.points)
        points = "1 point" if count == 1 else f"{count} points"
        what = points if self.kind == "points" else f"{self.kind} of {points}"
        if isinstance(shape, Streamlines):
            what = f"{len(shape)} streamlines of {points}"
        typer.echo(f"{what} of the {self.side.value} scan, carried to the {self.side.other.value} scan")


def _inside(points: np.ndarray, grid: Grid) -> np.ndarray:
    import numpy as np

    if grid.ndim != points.shape[1]:
        return np.ones(len(points), dtype=bool)  # the transform's dimension is checked later
    index = grid.world_to_index(points)
    return np.asarray(((index >= -0.5) & (index <= np.asarray(grid.shape) - 0.5)).all(axis=1))
