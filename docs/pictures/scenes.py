"""Phantoms for the pictures of the documentation: pairs, other kinds of scans, and pairs that go wrong."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from learngn import DisplacementField, Grid, Image
from learngn.phantom import ORGANS, Phantom, abdomen

SHAPE = (128, 104, 88)
SEEDS = (1, 2)

_CONTRAST = [0, 10, 620, 180, 330, 480, 240, 30]  # at some Hounsfield units

Values = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """A pair for the page on troubleshooting, and what is shown of its report.

    Attributes
    ----------
    fixed, moving : Phantom
    options : dict
        Keywords of :func:`learngn.register`.
    mode : str
        Button of the report.
    labels : bool
        Score by the labels.
    go_to : str
        Button of the report that goes to a slice; empty for none.
    """

    fixed: Phantom
    moving: Phantom
    options: dict[str, Any] = field(default_factory=dict)
    mode: str = "Overlay"
    labels: bool = True
    go_to: str = ""


def pair(shape: tuple[int, ...] = SHAPE) -> tuple[Phantom, Phantom]:
    """Return two subjects."""
    first, second = (abdomen(shape, seed=seed) for seed in SEEDS)
    return first, second


def shrunk(phantom: Phantom, label: int, amount: float) -> Image:
    """Return the scan of a phantom, one of whose organs has lost a part of its volume, with other noise."""
    grid, inside = phantom.scan.grid, phantom.labels.data[0, 0] == label
    centre = np.argwhere(inside).mean(axis=0)
    index = np.moveaxis(np.indices(grid.shape), 0, -1) - centre
    near = ndimage.gaussian_filter(ndimage.binary_dilation(inside, iterations=2).astype(float), 2.0)
    pulled = index * ((1 - amount) ** (-1 / grid.ndim) - 1) * near[..., None]
    field = DisplacementField(np.moveaxis(pulled, -1, 0)[None].astype(np.float32), grid)
    moved = field.warp(phantom.scan, grid)
    noise = np.random.default_rng(9).normal(0, 8, grid.shape).astype(np.float32)
    return Image(moved.data + noise, grid)


def cases() -> dict[str, Case]:
    """Return one pair that succeeds and those that fail, by name."""
    fixed, moving = pair()
    return {
        "ok": Case(fixed, moving),
        "failed": Case(fixed, head(seed=1), labels=False),
        "folded": Case(fixed, moving, {"lam": (1e-4, 1e-5)}, "Jacobian", go_to="Next fold"),
        "mirrored": Case(fixed, changed(moving, lambda values: np.ascontiguousarray(values[::-1]))),
        "wrong-preset": Case(fixed, moving, {"preset": "abdomen-mr"}),
        "smooth": Case(fixed, moving, {"lam": (30.0, 30.0)}),
    }


def changed(phantom: Phantom, change: Any) -> Phantom:
    """Return a phantom with changed arrays: scan and labels alike, shape (H, W, D)."""

    def of(image: Image) -> Image:
        return Image.from_array(change(image.data[0, 0]), image.grid, labels=image.labels)

    return Phantom(of(phantom.scan), of(phantom.labels))


def head(*, seed: int) -> Phantom:
    """Return ellipsoids in each other with the contrast of MR: skin, brain, ventricles."""
    draw = np.random.default_rng(seed)
    grid = Grid.from_spacing((72, 88, 72), 2.5, origin=(-90, -110, -90))
    axes = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * 2.5 for n in grid.shape), indexing="ij")
    size = 1 + draw.uniform(-0.06, 0.06, 3)

    def inside(*half: float, shift: float = 0.0) -> Values:
        places = (axes[0] - shift, axes[1], axes[2])
        return sum((x / (h * s)) ** 2 for x, h, s in zip(places, half, size, strict=True)) < 1

    folds = sum(np.cos(x / 6.0 + phase) for x, phase in zip(axes, draw.uniform(0, 6, 3), strict=True))
    brain, ventricles = inside(62, 78, 60), inside(7, 26, 14, shift=11) | inside(7, 26, 14, shift=-11)
    values = np.select([ventricles, brain & (folds > 1.1), brain, inside(68, 85, 66)], [90, 420, 620, 40], 0.0)
    values = np.where(inside(74, 92, 72) & (values == 0), 780.0, values)
    values = ndimage.gaussian_filter(values, 0.7) + np.abs(draw.normal(0, 12, grid.shape))
    labels = np.select([ventricles, brain], [2, 1], 0).astype(np.uint8)
    return Phantom(
        Image.from_array(values.astype(np.float32), grid),
        Image.from_array(labels, grid, labels=True),
    )


def mr(shape: tuple[int, ...] = SHAPE, *, seed: int) -> Phantom:
    """Return a subject in another contrast: no negative values, bone dark, fat bright."""
    phantom = abdomen(shape, seed=seed, noise=0)
    curve = np.interp(phantom.scan.data[0, 0], [-1000, -400, -100, 0, 60, 120, 250, 900], _CONTRAST)
    noise = np.random.default_rng(seed).normal(0, 6, (2, *curve.shape))
    values = np.hypot(curve + noise[0], noise[1])  # as of a magnitude of complex numbers
    return replace(phantom, scan=Image.from_array(values.astype(np.float32), phantom.scan.grid))


def moved(phantom: Phantom, by: tuple[float, ...]) -> Phantom:
    """Return a phantom at another position in the world [mm]."""
    world = np.eye(len(by) + 1)
    world[:-1, -1] = by
    return _placed(phantom, world)


def larger(phantom: Phantom, factor: float) -> Phantom:
    """Return a phantom with larger voxels, and so of a larger body."""
    return _placed(phantom, np.diag([*[factor] * phantom.scan.grid.ndim, 1.0]))


def _placed(phantom: Phantom, world: Values) -> Phantom:
    def of(image: Image) -> Image:
        return Image(image.data, Grid(image.grid.shape, world @ image.grid.affine), labels=image.labels)

    return Phantom(of(phantom.scan), of(phantom.labels))


def breathing(count: int, shape: tuple[int, int, int] = (96, 80, 64)) -> tuple[list[Image], Image]:
    """Return frames of an abdomen whose upper part moves down and up by 20 mm, and the liver in the first frame."""
    still = abdomen(shape, seed=SEEDS[0], noise=0.0)
    grid = still.scan.grid
    up = (np.arange(shape[2]) + 0.5) / shape[2]
    profile = np.sin(np.pi * up) ** 2 * np.minimum(1, 1.6 * up)
    draw, frames = np.random.default_rng(0), []
    for number in range(count):
        depth = 20 * np.sin(np.pi * number / count) / float(grid.spacing[2])
        field = np.zeros((1, 3, *shape), np.float32)
        field[0, 2] = depth * profile
        frame = DisplacementField(field, grid).warp(still.scan, grid)
        frames.append(Image.from_array(frame.data[0, 0] + draw.normal(scale=12, size=shape), grid))
    liver = next(value for value, name in ORGANS.items() if name == "liver")
    return frames, Image((still.labels.data == liver).astype(np.uint8), grid, labels=True)


def chest(phantom: Phantom) -> Phantom:
    """Return a CT phantom in which large organs have the density of lung."""
    names = {name: value for value, name in ORGANS.items()}
    labels = phantom.labels.data[0, 0]
    air = np.isin(labels, [value for name, value in names.items() if name in ("liver", "spleen", "stomach")])
    across = np.abs(np.arange(labels.shape[0]) - labels.shape[0] / 2)[:, None, None] / labels.shape[0]
    air |= (
        (phantom.scan.data[0, 0] > -150)
        & ndimage.binary_erosion(phantom.scan.data[0, 0] > -300, iterations=12)
        & (across > 0.1)
    )
    values = np.where(air, -820 + 0.15 * phantom.scan.data[0, 0], phantom.scan.data[0, 0])
    values = ndimage.gaussian_filter(values, 0.8).astype(np.float32)
    return replace(phantom, scan=Image.from_array(values, phantom.scan.grid))
