"""What an initial transform is worth: mean Dice of pairs whose moving scan is moved far away, and from earlier results.

    python benchmarks/initial.py DATASET.json [PAIRS]

The moving scans are turned by 120 degrees and moved by 300 mm; their labels score the result and do not guide it. The
initial transform is off by 8 degrees and 5 mm.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from time import perf_counter

import numpy as np

from learngn import Image, register
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.transform import Affine
from learngn.io import choose_pairs, read_dataset
from learngn.registration import RegistrationPair, read_pair

_TURN, _OFF = 120.0, 8.0  # [degree]
_SHIFT, _MISSED = np.array([240.0, -150, 100]), np.array([3.0, 4, 0])  # [mm]


def turned(degrees: float, shift: FloatArray, centre: FloatArray) -> FloatArray:
    """Return a rotation about an oblique axis through a centre, followed by a translation."""
    from scipy.spatial.transform import Rotation

    axis = np.array([1.0, 2, 2]) / 3
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(degrees) * axis).as_matrix()
    matrix[:3, 3] = centre + shift - matrix[:3, :3] @ centre
    return matrix


def moved(image: Image, matrix: FloatArray) -> Image:
    """Return an image in a world moved by a matrix."""
    return replace(image, grid=Grid(image.grid.shape, matrix @ image.grid.affine))


def runs(pair: RegistrationPair) -> dict[str, tuple[float, float]]:
    """Return mean Dice and seconds of every run of a pair."""
    fixed, moving = pair.fixed.scan, pair.moving.scan
    if pair.labels is None:
        raise SystemExit("the pairs have no labels")
    labels = pair.labels
    centre = moving.grid.centre
    far, rough = turned(_TURN, _SHIFT, centre), turned(_TURN - _OFF, _SHIFT + _MISSED, centre)
    away = moved(moving, far), moved(labels[1], far)
    found = {}

    def run(name: str, scan: Image, label_map: Image, **options: object) -> object:
        start = perf_counter()
        result = register(fixed, scan, fixed_labels=labels[0], moving_labels=label_map, **options)
        seconds = perf_counter() - start
        found[name] = (float(result.scores.dice_mean), seconds)
        return result.transform

    whole = run("as it was", moving, labels[1])
    run("moved away", *away)
    run("moved away, initial transform", *away, initial_transform=Affine(rough))
    run("moved away, exact initial transform kept", *away, initial_transform=Affine(far), affine="none")
    run("from its own result", moving, labels[1], initial_transform=whole)
    run("from its own result, finest level alone", moving, labels[1], initial_transform=whole, strides=(1,))
    return found


def main() -> None:
    """Print a line for each run."""
    files = choose_pairs(read_dataset(sys.argv[1]), "val")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else len(files)
    every = [runs(read_pair(pair)) for pair in files[:count]]
    print(f"{len(every)} pairs: mean Dice, seconds a pair")
    for name in every[0]:
        dice, seconds = np.mean([one[name] for one in every], axis=0)
        print(f"{name:45} {dice:.3f} {seconds:6.1f}")


if __name__ == "__main__":
    main()
