"""What a registration loses when a scan's contrast or position changes, and how far there and back miss each other.

Usage: python benchmarks/robustness.py DATASET.json [--pairs N] [--only NAME ...]

The moving scan of every validation pair is changed, its labels along with it, and the pair is registered as
`learngn register` does it by default. Contrasts: inverted, and gamma 0.5 and 2 between its extremes. Position: its
header turned by 25° about a random axis and shifted by 60 mm. `exchanged` registers both ways with `symmetric`, and
prints how far a voxel of the body misses its origin on the way there and back: over the result's own inverse, and over
the registration of the exchanged pair.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

import learngn
from learngn.evaluation.quick import quick_scores
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import Pair, Subject, read_dataset, read_image

_ANGLE = 25.0  # [degrees]
_SHIFT = 60.0  # [mm]
_BODY = 0.1  # of the range of intensities: what is darker is air

Scan = tuple[Image, Image]  # with its labels
Change = Callable[[Scan, np.random.Generator], Scan]


def _contrast(curve: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Intensities between their extremes, 0 to 1, by a curve."""

    def change(scan: Scan, _: np.random.Generator) -> Scan:
        image, labels = scan
        data = image.data.numpy().astype(np.float32)
        low, high = float(data.min()), float(data.max())
        bent = low + (high - low) * curve((data - low) / (high - low))
        return Image.from_array(bent[0, 0].astype(np.float32), image.grid), labels

    return change


def _turned(scan: Scan, rng: np.random.Generator) -> Scan:
    """The same voxels elsewhere in the world."""
    axis, shift = rng.normal(size=3), rng.normal(size=3)
    centre, motion = scan[0].grid.centre, np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(np.deg2rad(_ANGLE) * axis / np.linalg.norm(axis)).as_matrix()
    motion[:3, 3] = centre - motion[:3, :3] @ centre + _SHIFT * shift / np.linalg.norm(shift)
    grid = Grid(scan[0].grid.shape, motion @ scan[0].grid.affine)
    return Image(scan[0].data, grid), Image(scan[1].data, grid, labels=True)


CHANGES: dict[str, Change] = {
    "untouched": lambda scan, _: scan,
    "inverted": _contrast(lambda x: 1 - x),
    "gamma 0.5": _contrast(np.sqrt),
    "gamma 2": _contrast(np.square),
    "turned": _turned,
}


def read(pair: Pair) -> tuple[Scan, Scan]:
    """Both scans with their labels."""
    return _scan(pair.fixed), _scan(pair.moving)


def _scan(subject: Subject) -> Scan:
    if subject.labels is None:
        raise RuntimeError(f"{subject.image} has no labels")
    return read_image(subject.image), read_image(subject.labels, labels=True)


def score(fixed: Scan, moving: Scan) -> tuple[float, float]:
    """Dice and folds [%]."""
    result = learngn.register(fixed[0], moving[0])
    found = quick_scores(result.transform, fixed[0].grid, (fixed[1], moving[1]))
    return found.dice, found.folds


def exchanged(fixed: Image, moving: Image) -> tuple[float, float]:
    """Mean miss over the body [voxel]: of a result's own inverse, and of the registration the other way round."""
    there = learngn.register(fixed, moving, symmetric=True)
    back = learngn.register(moving, fixed, settings=there.settings)
    data = fixed.data[0, 0].numpy().astype(np.float32)
    low, high = np.quantile(data, (0.005, 0.995))
    inside = np.argwhere(data > low + _BODY * (high - low))
    points = fixed.grid.index_to_world(inside[:: max(1, len(inside) // 100_000)])
    voxel = float(fixed.grid.spacing.min())
    mapped, misses = there.transform.map_points(points), []
    # What leaves the moving scan has no way back.
    index = moving.grid.world_to_index(mapped)
    seen = ((index >= 0) & (index <= np.array(moving.grid.shape) - 1)).all(axis=1)
    for way in (there.inverse, back.transform):
        if way is None:
            raise RuntimeError("a symmetric registration has an inverse")
        gone = np.linalg.norm(way.map_points(mapped[seen]) - points[seen], axis=1)
        misses.append(float(gone.mean()) / voxel)
    return misses[0], misses[1]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=[*CHANGES, "exchanged"], default=[*CHANGES, "exchanged"])
    given = parser.parse_args()
    pairs = read_dataset(given.dataset).validation[: given.pairs]
    print("| change | pairs | Dice | lost [points] | worst [points] | folds [%] |\n|---|---|---|---|---|---|")
    reference: list[float] = []
    for name, change in CHANGES.items():
        if name != "untouched" and name not in given.only:
            continue
        rng, rows = np.random.default_rng(0), []
        for pair in pairs:
            fixed, moving = read(pair)
            rows.append(score(fixed, change(moving, rng)))
        dice = [row[0] for row in rows]
        reference = reference or dice
        lost = [100 * (a - b) for a, b in zip(reference, dice, strict=True)]
        print(
            f"| {name} | {len(rows)} | {statistics.fmean(dice):.3f} | {statistics.fmean(lost):.1f} | {max(lost):.1f} "
            f"| {statistics.fmean(row[1] for row in rows):.4f} |",
            flush=True,
        )
    if "exchanged" in given.only:
        print("\n| pair | own inverse [voxel] | exchanged [voxel] |\n|---|---|---|")
        for pair in pairs:
            scans = read(pair)
            ours, theirs = scans[0][0], scans[1][0]
            own, other = exchanged(ours, theirs)
            print(f"| {pair.id} | {own:.3f} | {other:.3f} |", flush=True)


if __name__ == "__main__":
    main()
