"""Simulated atrophy: change of volume that `learngn longitudinal` finds, against the known one.

A label of a scan is shrunk by a smooth diffeomorphic map of exactly known change of volume, the follow-up is moved
rigidly, both scans get a gain, the bias field of a coil, and independent noise.

Usage:
    python benchmarks/atrophy.py DATASET.json [--subjects N] [--amounts 0,5,10] [--lambda FIRST,LAST] [--uncertainty]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, DisplacementField
from learngn.io import read_dataset, read_image
from learngn.longitudinal import SETTINGS, compare_time_points
from learngn.longitudinal.study import sampled_field
from learngn.settings import Settings

NOISE, GAIN, BIAS = 0.03, 1.1, 0.03  # standard deviation over the brightest voxels; of the follow-up; at the border
TURN, SHIFT = 2.0, 1.5  # of the follow-up [degree, mm]
_SHARP, _PADDING = 2.0, 24  # smoothness of the boundary, border of zeros for the potential [voxel]
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
    # Cubic splines: linear interpolation between voxels would smooth the map, and so lessen the change.
    back = DisplacementField(exponential(-strength * velocity), grid)
    index = np.indices(grid.shape, dtype=np.float64).reshape(grid.ndim, -1)
    place = grid.world_to_index(motion(grid, draw).inverse().map_points(grid.index_to_world(index.T))).T
    pulled = (place + sampled_field(back, place) - index).reshape(1, grid.ndim, *grid.shape).astype(np.float32)
    follow = DisplacementField(pulled, grid).warp(scan, grid, interpolation="bspline", background=0.0)
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


def case(scan: Image, labels: Image, amount: float, seed: int, settings: Settings) -> dict[str, Any]:
    """Return the true change, the errors of all labels and of single ones [% points], and which intervals hold."""
    made = simulate(scan, labels, amount, seed)
    found = compare_time_points(made.scans, settings=settings).volume_changes(labels)
    before, after = (sum(getattr(one, side) for one in found) for side in ("before", "after"))
    known = [one for one in found if one.low_percent is not None]
    return {
        "true": made.change[0],
        "whole": 100 * (after / before - 1) - made.change[0],
        "single": [one.change_percent - made.change[one.label] for one in found],
        "held": [one.low_percent <= made.change[one.label] <= one.high_percent for one in known],
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--subjects", type=int, default=5, help="of the training subjects")
    parser.add_argument("--amounts", default="0,1,2,5,10", help="parts of the volume that are lost [%%]")
    parser.add_argument("--lambda", dest="lam", help="regularisation weight of the first and the last level")
    parser.add_argument("--uncertainty", action="store_true", help="count intervals that hold the true change")
    given = parser.parse_args()
    settings = replace(SETTINGS, uncertainty=given.uncertainty)
    if given.lam:
        first, last = (float(value) for value in given.lam.split(","))
        settings = replace(settings, lam=(first, last))
    subjects = read_dataset(given.dataset).training[: given.subjects]
    amounts = [float(value) / 100 for value in given.amounts.split(",")]
    table: dict[float, list[dict[str, Any]]] = {amount: [] for amount in amounts}
    for number, subject in enumerate(subjects):
        scan, labels = read_image(subject.image), read_image(subject.labels, labels=True)  # type: ignore[arg-type]
        for amount in amounts:
            table[amount].append(case(scan, labels, amount, 100 * number + int(1000 * amount), settings))
            print(subject.image.name, table[amount][-1], file=sys.stderr, flush=True)
    print(f"λ {settings.lam[0]:g} to {settings.lam[1]:g}, {len(subjects)} subjects")
    print("| true change | found | error, mean | largest | single labels: mean | largest | intervals that hold |")
    print("|---|---|---|---|---|---|---|")
    for cases in table.values():
        true, whole = (np.array([one[key] for one in cases]) for key in ("true", "whole"))
        single = np.array([error for one in cases for error in one["single"]])
        held = [value for one in cases for value in one["held"]]
        numbers = (f"{true.mean():.2f} %", f"{(true + whole).mean():.2f} %", f"{whole.mean():+.2f}",
                   f"{np.abs(whole).max():.2f}", f"{single.mean():+.2f}", f"{np.abs(single).max():.2f}",
                   f"{sum(held)} of {len(held)}")  # fmt: skip
        print("|", " | ".join(numbers), "|")
    scan = read_image(subjects[0].image)
    same = compare_time_points([scan, scan]).jacobian(1).determinant.data
    print(f"a scan against itself: largest change of a voxel {100 * float(np.abs(same - 1).max()):.4f} %")


if __name__ == "__main__":
    main()
