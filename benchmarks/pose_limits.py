"""Overlap of a label after the best pose of the true labels: what a registration needs beyond a pose.

The moving label is moved onto the fixed one by its true centre, its centre and volume, and its centre and second
moments. Where these are below a wanted Dice, features have to show the shape itself.

Usage:
    python benchmarks/pose_limits.py DATASET.json [--label N]
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from scipy.linalg import inv, sqrtm

from learngn.evaluation.overlap import dice
from learngn.geometry.grid import FloatArray
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine
from learngn.io import read_dataset, read_image

Moments = tuple[FloatArray, FloatArray, float]


def moments(labels: Image, label: int) -> Moments:
    """Return centre [RAS mm], covariance [mm²] and volume [mm³] of a label."""
    points = labels.grid.index_to_world(np.argwhere(np.asarray(labels.data[0, 0]) == label))
    return points.mean(0), np.cov(points.T), len(points) * float(np.prod(labels.grid.spacing))


def linear_maps(fixed: Moments, moving: Moments) -> dict[str, FloatArray]:
    """Return maps from fixed to moving points, (D+1, D+1) [RAS mm], by name."""
    (to, wide, size), (start, other, volume) = fixed, moving
    linear = {
        "centre": np.eye(len(to)),
        "centre and volume": np.eye(len(to)) * (volume / size) ** (1 / len(to)),
        "centre and second moments": sqrtm(other) @ inv(sqrtm(wide)),
    }
    maps = {"before": np.eye(len(to) + 1)}
    for name, matrix in linear.items():
        maps[name] = np.eye(len(to) + 1)
        maps[name][:-1, :-1], maps[name][:-1, -1] = matrix, start - matrix @ to
    return maps


def main(arguments: list[str]) -> None:
    """Print the mean Dice over the validation pairs, and the volumes of the label."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--label", type=int, default=1)
    options = parser.parse_args(arguments)
    scores: dict[str, list[float]] = {}
    for pair in read_dataset(options.dataset).validation:
        fixed, moving = (read_image(side.labels, labels=True) for side in (pair.fixed, pair.moving))
        shapes = [moments(image, options.label) for image in (fixed, moving)]
        for name, world in linear_maps(*shapes).items():
            warped = Affine(world).warp(moving, fixed.grid, interpolation="nearest")
            score = dice(np.asarray(fixed.data[0, 0]), np.asarray(warped.data[0, 0]), [options.label])
            scores.setdefault(name, []).append(score[options.label])
        print(f"{pair.fixed.image.name}: {shapes[0][2] / 1000:.0f} and {shapes[1][2] / 1000:.0f} ml", flush=True)
    for name, values in scores.items():
        print(f"{name}: Dice {np.mean(values):.3f}, {min(values):.3f} to {max(values):.3f}, {len(values)} pairs")


if __name__ == "__main__":
    main(sys.argv[1:])
