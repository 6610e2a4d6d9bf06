"""Surfaces of labels carried from the moving to the fixed scan: their distance from those of the fixed scan.

    python benchmarks/carried_surfaces.py DATASET.json [--pairs N]

For each pair: the mean distance [mm] of the points of the moving scan's surface from the fixed scan's one, before and
after it is carried, after it is carried in the wrong direction, and of the surface of the warped label map, which is
resampled.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice

import numpy as np
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

import learngn
from learngn.geometry.carrying import carry
from learngn.io import Mesh, read_dataset


def surface(labels: learngn.Image, value: int) -> Mesh:
    """Return the surface of a label."""
    inside = np.pad((labels.data[0, 0] == value).astype(np.float32), 1)
    corners, faces, _, _ = marching_cubes(inside, 0.5)
    return Mesh(labels.grid.index_to_world(corners - 1), faces)


def main() -> None:
    """Read the arguments and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    print("pair label points before after wrong warped_labels carry_s largest_error_mm")
    for number, pair in enumerate(islice(read_dataset(arguments.dataset).validation, arguments.pairs), 1):
        sides = [pair.fixed, pair.moving]
        labels = [learngn.read_image(side.labels, labels=True) for side in sides]
        found = learngn.register(*(side.image for side in sides), fixed_labels=labels[0], moving_labels=labels[1])
        for value in sorted(set(labels[0].label_values) & set(labels[1].label_values)):
            target, source = surface(labels[0], value), surface(labels[1], value)
            tree = cKDTree(target.points)
            begin = time.perf_counter()
            there = carry(found.transform, source.points, inverse=True)
            seconds = time.perf_counter() - begin
            wrong = carry(found.transform, source.points)
            warped = surface(found.warped_labels, value)
            means = [tree.query(p)[0].mean() for p in (source.points, there.points, wrong.points, warped.points)]
            shown = " ".join(f"{mean:.3f}" for mean in means)
            print(number, value, len(source.points), shown, f"{seconds:.3f} {there.error.max():.1e}")


if __name__ == "__main__":
    main()
