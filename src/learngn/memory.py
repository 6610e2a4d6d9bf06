"""How much memory a registration takes, foreseen from its shapes, and how it keeps to a budget; see docs/speed.md."""

from __future__ import annotations

import ctypes
import math
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from learngn.errors import SettingsError
from learngn.geometry.grid import Grid

# Bytes, measured and rounded up (docs/speed.md).
_LIBRARIES = 550_000_000
_AFFINE = 170_000_000  # more of them, and the search for a pose
_A_VOXEL = 8  # of either scan: itself, its label map, what is made of them for a moment
_WRITING = 84  # a voxel of the fixed scan: the displacement, its copies while it is written, and the scores meanwhile
_IN_TURN = 58  # the same, written after it is scored
_FIELDS = 300  # a voxel of the finest level: displacements, blocks, the solver
_A_CHANNEL = 12  # a voxel of the finest level: features of both scans, and those that are warped
_LINEAR = 14  # a channel and a voxel at which the linear stage sees either scan: features, their levels, temporaries
_MIND = 12  # channels
_SEARCH = 100_000_000  # shifts of a small scan in a large one
_LINEAR_PART = 1 / 48  # of the smaller scan's longest side: voxels of the linear stage
# Scans whose longest sides differ by no more than this are compared as they are.
SIMILAR = 2.0
LINEAR_VOXELS = 1_000_000
_MAKING = 60  # a voxel of the moving scan's features beyond those of the fixed scan's: what they are made of
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_size(text: str | int) -> int:
    """Bytes that ``"4GB"``, ``"1500 MB"``, ``"2.5GiB"`` or a plain number stand for.

    Raises
    ------
    SettingsError
        If it is something else, or nothing.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(text))
    size = float(match[1]) * _UNITS.get(match[2].upper(), 0) if match else 0.0
    if not 1 <= size < 2**63:
        raise SettingsError("memory", repr(text), "a size such as 4GB or 1500MB", "write it like these")
    return int(size)


def linear_spacing(fixed: Grid, moving: Grid, seen: Grid | None = None) -> float:
    """Voxel size at which the linear stage compares two scans [mm]: what it holds is bounded, whatever their extents.

    Parameters
    ----------
    fixed, moving : Grid
    seen : Grid, optional
        Part of the moving grid that is compared; by default all of it.

    Notes
    -----
    A part of the longest side: of the fixed scan where the extents are similar, of the smaller one where they are not,
    and there so large that neither has more than :data:`LINEAR_VOXELS` voxels.
    """
    sides = sorted(float(grid.extent.max()) for grid in (fixed, moving))
    if sides[1] <= SIMILAR * sides[0]:
        return _LINEAR_PART * float(fixed.extent.max())
    # No finer than what both scans resolve: one feature at two scales cannot be compared.
    spacing = max(_LINEAR_PART * sides[0], float(fixed.spacing.min()), float(moving.spacing.min()))
    while max(grid.coarsened(spacing).size for grid in (fixed, seen or moving)) > LINEAR_VOXELS:
        spacing *= 2 ** (1 / 3)
    return spacing


def predicted_bytes(
    fixed: Grid,
    moving: Grid,
    channels: int,
    spacing: float,
    *,
    affine: bool = True,
    symmetric: bool = False,
    in_turn: bool = False,
) -> int:
    """Peak of a registration, files to files, from above: resident memory of the process [byte].

    Parameters
    ----------
    fixed, moving : Grid
    channels : int
        Of the features.
    spacing : float
        Of the finest level [mm].
    affine : bool
        Scans are aligned linearly first.
    symmetric : bool
        Both scans are displaced.
    in_turn : bool
        The result is scored before it is written, not meanwhile.

    Notes
    -----
    The libraries, the scans, and the largest of three stages: the linear one, the finest level, and the writing of the
    result.
    """
    finest, theirs = (grid.coarsened(spacing).size for grid in (fixed, moving))
    if symmetric:
        finest = max(finest, theirs)
    level = (_FIELDS * (2 if symmetric else 1) + _A_CHANNEL * channels) * finest
    level += (_MAKING + 4 * channels) * max(0, theirs - finest)  # what is displaced lies on the fixed scan's grid
    written = (_IN_TURN if in_turn else _WRITING) * fixed.size
    if symmetric:
        written += 12 * (fixed.size + moving.size)
    linear = 0
    if affine:
        coarse = linear_spacing(fixed, moving)
        linear = _LINEAR * channels * sum(grid.coarsened(coarse).size for grid in (fixed, moving))
        sides = [float(grid.extent.max()) for grid in (fixed, moving)]
        if max(sides) > SIMILAR * min(sides):  # sought by MIND, with more shifts
            linear = linear * max(channels, _MIND) // max(channels, 1) + _SEARCH
    return _LIBRARIES + _AFFINE * affine + _A_VOXEL * (fixed.size + moving.size) + max(linear, level, written)


def affordable(
    strides: Sequence[float],
    budget: str | int,
    fixed: Grid,
    moving: Grid,
    channels: int,
    voxel: float,
    *,
    affine: bool = True,
    symmetric: bool = False,
) -> int:
    """Number of levels, from the coarsest on, with which a registration keeps to a budget.

    Parameters
    ----------
    strides : sequence of float
        Falling.
    budget : str or int
        As :func:`parse_size` reads it.
    fixed, moving : Grid
    channels : int
        Of the features.
    voxel : float
        What a stride of one means [mm].
    affine, symmetric : bool

    Raises
    ------
    SettingsError
        If the coarsest level alone takes more.
    """  # fmt: skip
    most = parse_size(budget)
    for count in range(len(strides), 0, -1):
        spacing = strides[count - 1] * voxel
        needed = predicted_bytes(fixed, moving, channels, spacing, affine=affine, symmetric=symmetric, in_turn=True)
        if needed <= most:
            return count
    raise SettingsError(
        "memory",
        f"a budget of {readable(most)}",
        f"{readable(needed)}, which two scans of {math.prod(fixed.shape)} and {math.prod(moving.shape)} voxels need",
        "allow more, or resample the scans to larger voxels first",
    )


def readable(size: float) -> str:
    """Bytes for people, rounded up: ``"1.4 GB"``, ``"620 MB"``."""
    if size < 10**9:
        return f"{math.ceil(size / 10**6)} MB"
    return f"{math.ceil(size / 10**8) / 10:g} GB"


def peak_bytes() -> int:
    """Largest resident memory of this process so far [byte]; the present one where the system keeps no record of it.

    Linux counts into ``getrusage`` what the process was before it became this program, a large parent's memory: where
    there is ``/proc``, that is asked.
    """
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    with suppress(ImportError):  # Windows has no such module
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    import psutil

    now = psutil.Process().memory_info()
    return int(getattr(now, "peak_wset", now.rss))


def give_back() -> None:
    """Give memory that has been freed back to the system, where the C library keeps it: glibc's does."""
    with suppress(OSError, AttributeError, TypeError):  # TypeError: Windows has no library without a name
        ctypes.CDLL(None).malloc_trim(0)
