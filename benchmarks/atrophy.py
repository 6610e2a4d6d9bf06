"""Simulated atrophy: change of volume that `learngn longitudinal` finds, against the known one.

A label of a scan is shrunk by a smooth diffeomorphic map of exactly known change of volume, the follow-up is moved
rigidly, both scans get a gain, the bias field of a coil, and independent noise.

Usage:
    python benchmarks/atrophy.py DATASET.json [SUBJECTS [LAMBDA,LAMBDA ...]]

The last arguments repeat the table for other regularisation weights.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Composite, DisplacementField
from learngn.io import read_dataset, read_image
from learngn.longitudinal import SETTINGS, compare_time_points

AMOUNTS = (0.0, 0.01, 0.02, 0.05, 0.1)  # parts of the volume that are lost
NOISE, GAIN, BIAS = 0.03, 1.1, 0.03  # standard deviation over the brightest voxels; of the follow-up; at the border
TURN, SHIFT = 2.0, 1.5  # of the follow-up [degree, mm]
_SHARP, _PADDING = 1.0, 24  # smoothness of the boundary, border of zeros for the potential [voxel]
_SQUARINGS = 5
_TRIAL = 0.01  # strength that shows how much a velocity shrinks


@dataclass(frozen=True)
class Simulated:
    """Two scans of one subject, and the true change.

    Attributes
    ----------
    scans : (Image, Image)
    labels : Image
        Of the first scan.
    change : dict
        True change of the volume of every label, and of all together (0) [%].
    """

    scans: tuple[Image, Image]
    labels: Image
    change: dict[int, float]


def simulate(scan: Image, labels: Image, amount: float, seed: int = 0, *, noise: float = NOISE) -> Simulated:
    """Shrink all labels together by a part of their volume."""
    grid, inside = scan.grid, labels.data[0, 0] > 0
    velocity = contraction(inside, grid)
    rate = -volume(exponential(_TRIAL * velocity), grid, inside) / _TRIAL
    strength = -np.log(1 - amount) / rate  # the change is about this amount, and then known
    truth = exponential(strength * velocity)
    change = {value: 100 * volume(truth, grid, labels.data[0, 0] == value) for value in labels.label_values}
    change[0] = 100 * volume(truth, grid, inside)
    draw = np.random.default_rng(seed)
    back = DisplacementField(exponential(-strength * velocity), grid)
    follow = Composite((motion(grid, draw).inverse(), back)).warp(scan, grid, interpolation="bspline", background=0.0)
    deviation = noise * float(np.percentile(scan.data, 99.5))
    made = []
    for image, gain in ((scan, 1.0), (follow, GAIN)):
        grain = draw.normal(0, deviation, image.data.shape)
        made.append(Image((gain * coil(grid, draw) * image.data + grain).astype(np.float32), grid))
    return Simulated((made[0], made[1]), labels, change)


def contraction(inside: NDArray[np.bool_], grid: Grid) -> NDArray[np.float32]:
    """Return the gradient of a potential, (1, D, *S) [voxel]: its divergence is -1 inside, and nearly 0 outside."""
    source = scipy.ndimage.gaussian_filter(np.pad(inside.astype(float), _PADDING), _SHARP)
    waves = np.meshgrid(
        *[2 * np.pi * np.fft.fftfreq(n, s) for n, s in zip(source.shape, grid.spacing, strict=True)], indexing="ij"
    )
    squares = np.sum([wave**2 for wave in waves], axis=0)
    squares.flat[0] = 1
    potential = np.fft.fftn(source) / squares
    potential.flat[0] = 0
    parts = [np.fft.ifftn(1j * wave * potential).real / s for wave, s in zip(waves, grid.spacing, strict=True)]
    return np.stack(parts).astype(np.float32)[(None, slice(None), *[slice(_PADDING, -_PADDING)] * grid.ndim)]


def exponential(velocity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the displacement of the flow of a velocity over a unit of time."""
    flow = np.ascontiguousarray(velocity, dtype=np.float32) / np.float32(2**_SQUARINGS)
    for _ in range(_SQUARINGS):
        flow = sampling.compose(flow, flow)
    return flow


def volume(field: NDArray[np.float32], grid: Grid, inside: NDArray[np.bool_]) -> float:
    """Return the change of the volume of a region."""
    return float(DisplacementField(field, grid).jacobian_determinant()[0][inside].mean()) - 1


def motion(grid: Grid, draw: np.random.Generator) -> Affine:
    """Return a rigid map about the grid's centre."""
    turn = scipy.spatial.transform.Rotation.from_rotvec(np.deg2rad(TURN) * draw.normal(size=3) / np.sqrt(3))
    matrix = np.eye(4)
    matrix[:3, :3] = turn.as_matrix()
    matrix[:3, 3] = grid.centre - matrix[:3, :3] @ grid.centre + SHIFT * draw.normal(size=3) / np.sqrt(3)
    return Affine(matrix)


def coil(grid: Grid, draw: np.random.Generator) -> NDArray[np.float64]:
    """Return a bias field, (1, 1, *S)."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in grid.shape], indexing="ij")
    return np.exp(BIAS * np.sum([draw.normal() * (axis + axis**2) for axis in axes], axis=0))[None, None]


def rows(path: str, subjects: int, lam: tuple[float, float]) -> Iterator[tuple[float, list[float], list[bool], float]]:
    """Yield the amount, the errors of the whole and of every label [% points], whether intervals hold, the change."""
    settings = replace(SETTINGS, lam=lam, uncertainty=True)
    for number, subject in enumerate(read_dataset(path).training[:subjects]):
        scan, labels = read_image(subject.image), read_image(subject.labels, labels=True)  # type: ignore[arg-type]
        for amount in AMOUNTS:
            made = simulate(scan, labels, amount, seed=100 * number + int(1000 * amount))
            found = compare_time_points(made.scans, settings=settings).volume_changes(labels)
            before, after = (sum(getattr(one, side) for one in found) for side in ("before", "after"))
            errors = [100 * (after / before - 1) - made.change[0]]
            errors += [one.change_percent - made.change[one.label] for one in found]
            held = [
                one.low_percent is not None
                and one.high_percent is not None
                and one.low_percent <= made.change[one.label] <= one.high_percent
                for one in found
            ]
            yield amount, errors, held, made.change[0]


def main(arguments: list[str]) -> None:
    """Print the table."""
    path, *rest = arguments
    subjects = int(rest[0]) if rest else 5
    weights = [tuple(float(value) for value in text.split(",")) for text in rest[1:]] or [SETTINGS.lam]
    for first, last in weights:
        print(f"λ {first:g} to {last:g}, {subjects} subjects")
        print(
            "| true change | found, all labels | error, all labels | largest | single labels: mean | largest | held |"
        )
        print("|---|---|---|---|---|---|---|", flush=True)
        found = list(rows(path, subjects, (first, last)))
        for amount in AMOUNTS:
            errors = np.array([entry[1] for entry in found if entry[0] == amount])
            held = [value for entry in found if entry[0] == amount for value in entry[2]]
            true = np.array([entry[3] for entry in found if entry[0] == amount])
            whole, single = errors[:, 0], errors[:, 1:]
            print(
                f"| {true.mean():.2f} % | {(true + whole).mean():.2f} % | {whole.mean():+.2f} | "
                f"{np.abs(whole).max():.2f} | {single.mean():+.2f} | {np.abs(single).max():.2f} | "
                f"{sum(held)} of {len(held)} |",
                flush=True,
            )
    scan = read_image(read_dataset(path).training[0].image)
    same = compare_time_points([scan, scan]).jacobian(1).determinant.data
    print(f"a scan against itself: largest change of a voxel {100 * float(np.abs(same - 1).max()):.4f} %")


if __name__ == "__main__":
    main(sys.argv[1:])
