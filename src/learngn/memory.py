"""Prediction of the memory that a registration takes, and restriction to a memory budget; see docs/speed.md."""

from __future__ import annotations

import ctypes
import math
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from learngn.errors import SettingsError

if TYPE_CHECKING:
    from learngn.geometry.grid import Grid

# Bytes, measured and rounded up (docs/speed.md).
_LIBRARIES = 250_000_000  # and freed memory that is kept
_PYTORCH = 250_000_000  # if it has been imported: for a model, for tensors, or to look for a GPU
_AFFINE = 20_000_000  # the pose search
_PER_SCAN_VOXEL = 8  # of both scans: scan, label map, temporary arrays
_WRITING = 40  # per voxel of the fixed scan: the displacement, its copies during writing, and scoring at the same time
_WRITING_AFTER_SCORING = 30  # the same, if the result is written after it has been scored
_FIELDS = 250  # per voxel of the finest level: displacements, blocks, the solver
_SYMMETRIC = 1.5  # as many times that if both scans are displaced
_INVERSE = 28  # per voxel of both scans: the inverse, from its computation to its writing
_PER_CHANNEL = 12  # and voxel of the finest level: features of both scans, and the warped features
_LINEAR = 14  # per channel and voxel of both scans in the linear stage: features, their levels, temporary arrays
_MIND = 12  # channels
_DISCRETE = 200_000_000  # costs of all displacements of the discrete search, on coarse cells
_SEARCH = 100_000_000  # translations of a small scan in a large one
_LINEAR_PART = 1 / 48  # voxel size of the linear stage, as a fraction of the smaller scan's longest side
# Two scans whose longest sides differ by no more than this factor have similar extents.
SIMILAR = 2.0
LINEAR_VOXELS = 1_000_000
_MAKING = 60  # per voxel that the moving scan's features have more than the fixed scan's: temporary arrays
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of glibc's mallopt
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_size(text: str | int) -> int:
    """Return the number of bytes of a size such as ``"4GB"``, ``"1500 MB"``, ``"2.5GiB"``, or a plain number.

    Raises
    ------
    SettingsError
        If the text is no such size, or is zero.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(text))
    size = float(match[1]) * _UNITS.get(match[2].upper(), 0) if match else 0.0
    if not 1 <= size < 2**63:
        raise SettingsError("memory", repr(text), "a size such as 4GB or 1500MB", "write it like these")
    return int(size)


def linear_spacing(fixed: Grid, moving: Grid, part: Grid | None = None) -> float:
    """Return the voxel size at which the linear stage compares two scans [mm]; it bounds the memory of the stage.

    Parameters
    ----------
    fixed, moving : Grid
    part : Grid, optional
        Part of the moving grid that is compared; by default the whole grid.

    Notes
    -----
    A fraction of a longest side: that of the fixed scan if the extents are similar, else that of the smaller scan. In
    the latter case the voxel size is raised until neither scan has more than :data:`LINEAR_VOXELS` voxels.
    """
    sides = sorted(float(grid.extent.max()) for grid in (fixed, moving))
    if sides[1] <= SIMILAR * sides[0]:
        return _LINEAR_PART * float(fixed.extent.max())
    # No finer than both scans resolve: features at different scales cannot be compared.
    spacing = max(_LINEAR_PART * sides[0], float(fixed.spacing.min()), float(moving.spacing.min()))
    while max(grid.coarsened(spacing).size for grid in (fixed, part or moving)) > LINEAR_VOXELS:
        spacing *= 2 ** (1 / 3)
    return spacing


def predicted_bytes(
    fixed: Grid,
    moving: Grid,
    channels: int,
    spacing: float,
    *,
    affine: bool = True,
    discrete: bool = False,
    symmetric: bool = False,
    scored_first: bool = False,
) -> int:
    """Return an upper bound of the peak resident memory of a registration, from reading to writing [byte].

    Parameters
    ----------
    fixed, moving : Grid
    channels : int
        Number of channels of the features.
    spacing : float
        Voxel size of the finest level [mm].
    affine : bool
        Whether there is a linear pre-alignment.
    discrete : bool
        Whether the optimisation starts with a discrete search.
    symmetric : bool
        Whether both scans are displaced.
    scored_first : bool
        Whether the result is scored before it is written, instead of at the same time.

    Notes
    -----
    The sum of the libraries, the scans, and the largest of four stages: the linear stage, the discrete search, the
    finest level, and the writing of the result.
    """
    finest, finest_moving = (grid.coarsened(spacing).size for grid in (fixed, moving))
    if symmetric:
        finest = max(finest, finest_moving)
    level = int((_FIELDS * (_SYMMETRIC if symmetric else 1) + _PER_CHANNEL * channels) * finest)
    level += (_MAKING + 4 * channels) * max(0, finest_moving - finest)  # displacements are on the fixed scan's grid
    written = (_WRITING_AFTER_SCORING if scored_first else _WRITING) * fixed.size
    if symmetric:
        written += _INVERSE * (fixed.size + moving.size)
    linear = 0
    if affine:
        coarse = linear_spacing(fixed, moving)
        linear = _LINEAR * channels * sum(grid.coarsened(coarse).size for grid in (fixed, moving))
        sides = [float(grid.extent.max()) for grid in (fixed, moving)]
        if max(sides) > SIMILAR * min(sides):  # the pose search then uses MIND, and more translations
            linear = linear * max(channels, _MIND) // max(channels, 1) + _SEARCH
    scans = _PER_SCAN_VOXEL * (fixed.size + moving.size)
    libraries = _LIBRARIES + _PYTORCH * ("torch" in sys.modules)
    return libraries + _AFFINE * affine + scans + max(linear, _DISCRETE * discrete, level, written)


def affordable(
    strides: Sequence[float],
    budget: str | int,
    fixed: Grid,
    moving: Grid,
    channels: int,
    voxel: float,
    *,
    affine: bool = True,
    discrete: bool = False,
    symmetric: bool = False,
) -> int:
    """Return the number of levels, counted from the coarsest, that a memory budget allows.

    Parameters
    ----------
    strides : sequence of float
        Strides of the levels, coarse to fine.
    budget : str or int
        Memory budget, as :func:`parse_size` reads it.
    fixed, moving : Grid
    channels : int
        Number of channels of the features.
    voxel : float
        Voxel size of stride 1 [mm].
    affine, discrete, symmetric : bool
        See :func:`predicted_bytes`.

    Raises
    ------
    SettingsError
        If the budget is too small even for the coarsest level.
    """  # fmt: skip
    most = parse_size(budget)
    for count in range(len(strides), 0, -1):
        spacing = strides[count - 1] * voxel
        needed = predicted_bytes(
            fixed,
            moving,
            channels,
            spacing,
            affine=affine,
            discrete=discrete,
            symmetric=symmetric,
            scored_first=True,
        )
        if needed <= most:
            return count
    raise SettingsError(
        "memory",
        f"a budget of {readable(most)}",
        f"{readable(needed)}, which two scans of {math.prod(fixed.shape)} and {math.prod(moving.shape)} voxels need",
        "allow more, or resample the scans to larger voxels first",
    )


def readable(size: float) -> str:
    """Format a number of bytes for messages, rounded up: ``"1.4 GB"``, ``"620 MB"``."""
    if size < 10**9:
        return f"{math.ceil(size / 10**6)} MB"
    return f"{math.ceil(size / 10**8) / 10:g} GB"


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far [byte]; the current one if the system has no record.

    ``/proc`` is preferred to ``getrusage``: on Linux the latter includes the memory of the parent process from before
    this program was executed.
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


def keep_freed() -> None:
    """Let the C library (glibc) keep freed arrays for the next ones, in this whole process.

    By default it returns every array of more than 32 MB to the system at once, which then clears the pages of the next
    one: half of the time that the levels of a large scan take. :func:`give_back` still returns what is free.
    """
    with suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(_TRIM_THRESHOLD, -1)  # never
        library.mallopt(_MMAP_MAX, 0)


def give_back() -> None:
    """Return freed memory to the system, if the C library (glibc) keeps it."""
    with suppress(OSError, AttributeError, TypeError):  # TypeError: Windows has no library without a name
        ctypes.CDLL(None).malloc_trim(0)
