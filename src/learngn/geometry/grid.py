"""Grids: position of an image's voxels in the world. All coordinate arithmetic of the package is here.

A grid's index ``x`` counts voxels in array order (i, j[, k]); integer indices are voxel *centres*, so a
grid of ``n`` voxels along an axis covers the indices -1/2 ... n - 1/2. The world is RAS, in mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learngn.errors import GeometryError

FloatArray = NDArray[np.float64]

_AXIS_NAMES = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True, eq=False)
class Grid:
    """Grid of voxels in the world, 2D or 3D: its shape and its position.

    Parameters
    ----------
    shape : sequence of int
        Number of voxels along each array axis, (H, W) or (H, W, D).
    affine : array, shape (D+1, D+1)
        Homogeneous matrix from voxel index to RAS mm.

    Raises
    ------
    GeometryError
        If the shape is empty or neither 2D nor 3D, or the affine is singular, not finite, not homogeneous or of another
        size.
    """

    shape: tuple[int, ...]
    affine: FloatArray

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise GeometryError("grid shape", str(shape), "2 or 3 positive sizes", "check the image's header")
        affine = np.array(self.affine, dtype=np.float64)
        n = len(shape) + 1
        if affine.shape != (n, n):
            raise GeometryError(
                "grid affine", f"shape {affine.shape}", f"({n}, {n}) for a {n - 1}D grid", "pass a homogeneous matrix"
            )
        if not np.allclose(affine[-1], np.eye(n)[-1], atol=1e-9):
            raise GeometryError(
                "grid affine",
                f"the last row {affine[-1].tolist()}",
                "0 ... 0 1",
                "pass a homogeneous matrix, not its transpose",
            )
        linear = affine[:-1, :-1]
        norms = np.linalg.norm(linear, axis=0)
        # A sheared direction matrix is allowed; one with linearly dependent axes is not.
        with np.errstate(all="ignore"):
            usable = np.isfinite(affine).all() and norms.min() > 0 and abs(np.linalg.det(linear / norms)) >= 1e-6
        if not usable:
            raise GeometryError(
                "grid affine",
                "a singular or non-finite matrix",
                "an invertible one",
                "repair the image's header (spacing, direction)",
            )
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @classmethod
    def from_spacing(
        cls,
        shape: Sequence[int],
        spacing: float | Sequence[float] = 1.0,
        origin: Sequence[float] | None = None,
        direction: ArrayLike | None = None,
    ) -> Grid:
        """Make a grid from its voxel sizes `spacing` [mm] and the centre of its first voxel, `origin` [RAS mm].

        Without an origin the grid is centred on the world's origin; without a direction its axes are R, A, S.
        """
        ndim = len(shape)
        sizes = np.broadcast_to(np.asarray(spacing, dtype=np.float64), (ndim,))
        axes = np.eye(ndim) if direction is None else np.asarray(direction, dtype=np.float64)
        affine = np.eye(ndim + 1)
        affine[:-1, :-1] = axes * sizes
        centre = (np.asarray(shape, dtype=np.float64) - 1) / 2
        affine[:-1, -1] = -affine[:-1, :-1] @ centre if origin is None else np.asarray(origin, dtype=np.float64)
        return cls(tuple(shape), affine)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self.shape == other.shape and bool(np.array_equal(self.affine, other.affine))

    def __hash__(self) -> int:
        return hash((self.shape, self.affine.tobytes()))

    @property
    def ndim(self) -> int:
        """Number of spatial dimensions, 2 or 3."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape))

    @property
    def spacing(self) -> FloatArray:
        """Voxel size along each array axis, shape (D,) [mm]."""
        return np.asarray(np.linalg.norm(self.affine[:-1, :-1], axis=0))

    @property
    def direction(self) -> FloatArray:
        """Unit vectors of the array axes in RAS, as columns, shape (D, D)."""
        return np.asarray(self.affine[:-1, :-1] / self.spacing)

    @property
    def origin(self) -> FloatArray:
        """Centre of the first voxel, shape (D,) [RAS mm]."""
        return np.asarray(self.affine[:-1, -1])

    @property
    def extent(self) -> FloatArray:
        """Length of the grid along each array axis, from border to border of the outermost voxels, shape (D,) [mm]."""
        return np.asarray(self.spacing * np.asarray(self.shape))

    @property
    def centre(self) -> FloatArray:
        """Centre of the grid, shape (D,) [RAS mm]."""
        return self.index_to_world((np.asarray(self.shape) - 1) / 2)

    @property
    def axis_codes(self) -> str:
        """Anatomical directions closest to the array axes, for example ``"RAS"`` or ``"LPS"``; no direction repeats."""
        along = np.abs(self.direction)
        # All axes are assigned together: one by one, two axes at 45 degrees could get the same direction.
        rows = max(permutations(range(self.ndim)), key=lambda order: sum(along[r, a] for a, r in enumerate(order)))
        return "".join(_AXIS_NAMES[row][int(self.direction[row, axis] > 0)] for axis, row in enumerate(rows))

    def index_to_world(self, index: ArrayLike) -> FloatArray:
        """Map voxel indices, shape (..., D), to RAS mm."""
        return apply_affine(self.affine, index)

    def world_to_index(self, points: ArrayLike) -> FloatArray:
        """Map RAS mm, shape (..., D), to (continuous) voxel indices."""
        return apply_affine(np.asarray(np.linalg.inv(self.affine), dtype=np.float64), points)

    def index_map(self, other: Grid, world: FloatArray | None = None) -> FloatArray:
        """Return the matrix from this grid's index to `other`'s, through an optional world-to-world affine.

        Parameters
        ----------
        other : Grid
            Grid to whose indices the matrix maps.
        world : array, shape (D+1, D+1), optional
            Affine from this grid's world to the other's [RAS mm to RAS mm]; identity by default.

        Returns
        -------
        array, shape (D+1, D+1)
            ``other.affine^-1 @ world @ self.affine``.

        Raises
        ------
        GeometryError
            If the grids have different numbers of dimensions.
        """
        if other.ndim != self.ndim:
            raise GeometryError(
                "two grids",
                f"{self.ndim}D and {other.ndim}D",
                "the same number of dimensions",
                "compare like with like",
            )
        matrix = self.affine if world is None else world @ self.affine
        return np.asarray(np.linalg.solve(other.affine, matrix))

    def moved(self, matrix: FloatArray) -> Grid:
        """Return the grid in a world that is moved by a matrix, (D+1, D+1) [RAS mm]."""
        return Grid(self.shape, matrix @ self.affine)

    def resized(self, shape: Sequence[int]) -> Grid:
        """Return a grid of another shape over exactly the same extent (cell-centred)."""
        factor = np.asarray(self.shape, dtype=np.float64) / np.asarray(tuple(shape), dtype=np.float64)
        scale = np.eye(self.ndim + 1)
        scale[:-1, :-1] = np.diag(factor)
        scale[:-1, -1] = (factor - 1) / 2
        return Grid(tuple(shape), self.affine @ scale)

    def coarsened(self, spacing: float) -> Grid:
        """Return a grid over the same extent with voxels of about `spacing` [mm] along every axis.

        Axes whose voxels are already that large are not changed: thick slices are not pooled before the in-plane voxels
        have reached their size.
        """
        factor = np.maximum(1.0, np.round(spacing / self.spacing))
        shape = np.maximum(1, np.round(np.asarray(self.shape) / factor)).astype(int)
        return self.resized(tuple(int(n) for n in shape))

    def part(self, first: Sequence[int], shape: Sequence[int]) -> Grid:
        """Return a grid of the same voxels that begins at index `first`, (D,); it may extend beyond this grid."""
        offset = np.eye(self.ndim + 1)
        offset[:-1, -1] = np.asarray(first)
        return Grid(tuple(shape), self.affine @ offset)

    def overlap(self, other: Grid, world: FloatArray | None = None) -> float:
        """Return the fraction of this grid's extent inside `other`, through an optional affine, to about a tenth.

        It is estimated at the centres of 9 cells per axis, none of which lies on the border.
        """
        axes = [(np.arange(9) + 0.5) * n / 9 - 0.5 for n in self.shape]
        probe = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        index = apply_affine(self.index_map(other, world), probe)
        inside = ((index >= -0.5) & (index <= np.asarray(other.shape) - 0.5)).all(axis=-1)
        return float(inside.mean())

    def same_space(self, other: Grid, tolerance: float = 1e-3) -> bool:
        """Whether both grids have the same shape and voxels at the same places, to `tolerance` voxels."""
        if self.shape != other.shape:
            return False
        corners = np.stack(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij"), axis=-1).reshape(
            -1, self.ndim
        )
        moved = apply_affine(self.index_map(other), corners)
        return bool(np.abs(moved - corners).max() <= tolerance)

    def __repr__(self) -> str:
        return f"Grid({self})"

    def __str__(self) -> str:
        shape = "x".join(str(n) for n in self.shape)
        spacing = "x".join(f"{s:.4g}" for s in self.spacing)
        return f"{shape} voxels of {spacing} mm, {self.axis_codes}"


def apply_affine(matrix: FloatArray, points: ArrayLike) -> FloatArray:
    """Apply a homogeneous matrix, shape (D+1, D+1), to points, shape (..., D)."""
    points = np.asarray(points, dtype=np.float64)
    return np.asarray(points @ matrix[:-1, :-1].T + matrix[:-1, -1])


def index_range(shape: Sequence[int], matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the smallest and the largest index that a grid's extent reaches in another grid, shape (D,) each.

    Parameters
    ----------
    shape : sequence of int
        Shape of the grid.
    matrix : array, shape (D+1, D+1)
        Maps its index to that of the other grid (:meth:`Grid.index_map`).
    """
    corners = np.array(list(product((0, 1), repeat=len(shape)))) * np.asarray(shape) - 0.5
    reached = corners @ matrix[:-1, :-1].T + matrix[:-1, -1]
    return reached.min(0), reached.max(0)


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """Return the smallest box that contains all voxels of a mask, as slices; None for an empty mask."""
    box: list[slice] = []
    for axis in range(mask.ndim):
        # Each axis crops the mask for the next ones, which then have little to read.
        part = mask[tuple(box)]
        used = np.flatnonzero(part.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not len(used):
            return None
        box.append(slice(int(used[0]), int(used[-1]) + 1))
    return tuple(box)
