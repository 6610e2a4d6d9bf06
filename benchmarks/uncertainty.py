"""Uncertainty of the displacement against what is known: true errors of phantoms, Dice of labels, time.

Usage:
    python benchmarks/uncertainty.py phantoms [PAIRS [KIND ...]]
    python benchmarks/uncertainty.py calibrate [PAIRS [KIND ...]]
    python benchmarks/uncertainty.py labels DATASET.json [val|train [PAIRS]]

A KIND is a preset or features; `calibrate` uses other phantoms than `phantoms`.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from learngn.evaluation import score_pair
from learngn.geometry import sampling
from learngn.geometry.image import Image
from learngn.geometry.transform import DisplacementField, invert
from learngn.io import choose_pairs, read_dataset
from learngn.kernels.stencils import full_blocks
from learngn.phantom import abdomen
from learngn.registration import Registration, Request, read_pair, register, register_pair
from learngn.settings import PRESETS
from learngn.uncertainty import factor_of

Floats = NDArray[np.float64]

SHOWN = ("mind", "abdomen-ct", "distance", "intensity")
CALIBRATED = (
    "abdomen-ct",
    "abdomen-mr",
    "brain-mr",
    "ct-mr",
    "2d",
    "label-maps",
    "mind",
    "intensity",
    "distance",
    "labels",
)
OF_LABELS = ("label-maps", "distance", "labels")
ROUGH, LENGTH = 5.0, 50.0  # true displacement: root mean square of a component, standard deviation of its filter [mm]
NOISE = 12.0  # of both scans [HU]
INSIDE = -300.0  # the body [HU]


def phantom_pair(kind: str, seed: int) -> tuple[Image, Image, DisplacementField, NDArray[np.bool_]]:
    """Make a fixed and a moving image, the true displacement, and the body."""
    draw = np.random.default_rng(seed + 1000)
    shape = (128, 96) if kind == "2d" else (96, 80, 64)
    subject = abdomen(shape, seed=seed, noise=0.0)
    grid = subject.scan.grid
    waves = [
        ndimage.gaussian_filter(draw.standard_normal(shape), LENGTH / grid.spacing, mode="constant") for _ in shape
    ]
    field = np.stack(waves) * ROUGH / np.std(waves) / grid.spacing.reshape(-1, *[1] * grid.ndim)
    backward = DisplacementField(field[None].astype(np.float32), grid)  # moving to fixed

    def scan(image: Image) -> Image:
        grain = ndimage.gaussian_filter(draw.standard_normal(shape), 1.3 / grid.spacing)
        return Image(image.data + (grain * NOISE / grain.std())[None, None].astype(np.float32), grid)

    body = ndimage.binary_opening(subject.scan.data[0, 0] > INSIDE)
    if kind in OF_LABELS:
        images = subject.labels, backward.warp(subject.labels, grid)
    else:
        images = scan(subject.scan), scan(backward.warp(subject.scan, grid))
    if kind == "ct-mr":  # a contrast in which fat is bright, and bone and air are dark
        values = np.interp(images[1].data, (-1000, -300, -100, 0, 60, 150, 1000), (0, 20, 900, 300, 500, 350, 50))
        images = images[0], Image(values.astype(np.float32), grid)
    return *images, invert(backward).field, body


def registered(kind: str, fixed: Image, moving: Image) -> Registration:
    """Register a pair of phantoms, whose whole displacement is the field."""
    chosen = {"preset": kind} if kind in PRESETS else {"features": kind}
    return register(fixed, moving, **chosen, affine="none", device="cpu", uncertainty=True)  # type: ignore[arg-type]


def errors(result: Registration, true: DisplacementField) -> tuple[Floats, Floats]:
    """Return the error of every voxel, (*S, D) [mm], and its covariance (*S, D, D)."""
    grid = true.grid
    difference = np.moveaxis(np.asarray(result.displacement.data - true.data)[0], 0, -1)
    found = result.uncertainty
    image = found.covariance  # type: ignore[union-attr]
    covariance = sampling.warp(image.data, None, grid.index_map(image.grid), grid.shape)
    return difference @ grid.affine[:-1, :-1].T, np.asarray(full_blocks(covariance, grid.ndim))[0]


def squared_radii(error: Floats, covariance: Floats) -> Floats:
    """Return ``eᵀ C⁻¹ e``, whose distribution is that of χ² if C is right."""
    solved = np.linalg.solve(covariance, error[..., None])[..., 0]
    return np.asarray(np.einsum("va,va->v", error, solved))


def runs(kind: str, seeds: range) -> Iterator[tuple[Registration, Floats, Floats, NDArray[np.bool_]]]:
    """Register phantoms, one after another."""
    for seed in seeds:
        fixed, moving, true, body = phantom_pair(kind, seed)
        result = registered(kind, fixed, moving)
        yield result, *errors(result, true), body


def phantoms(count: int, kinds: list[str]) -> None:
    """Print rank correlations and coverage."""
    head = ("features", "pairs", "error [mm]", "rank correlation, body", "whole image", "95 % ellipsoids hold, body",
            "whole image", "of the time")  # fmt: skip
    print("|", " | ".join(head), "|\n|" + "---|" * len(head), flush=True)
    for kind in kinds:
        rows = defaultdict(list)
        for result, error, covariance, body in runs(kind, range(count)):
            limit = stats.chi2.ppf(0.95, body.ndim)
            for name, mask in (("body", body), ("all", np.ones_like(body))):
                e, c = error[mask], covariance[mask]
                deviation = np.sqrt(np.trace(c, axis1=-2, axis2=-1))
                rows[f"rank {name}"].append(stats.spearmanr(np.linalg.norm(e, axis=-1), deviation)[0])
                rows[f"held {name}"].append(float((squared_radii(e, c) <= limit).mean()))
            rows["error"].append(float(np.linalg.norm(error[body], axis=-1).mean()))
            rows["time"].append(result.seconds["uncertainty"] / sum(result.seconds.values()))
        mean = {name: statistics.fmean(values) for name, values in rows.items()}
        print(
            f"| {kind} | {count} | {mean['error']:.2f} | {mean['rank body']:.3f} | {mean['rank all']:.3f} "
            f"| {mean['held body']:.3f} | {mean['held all']:.3f} | {mean['time']:.0%} |",
            flush=True,
        )


def calibrate(count: int, kinds: list[str]) -> None:
    """Print the factor with which ellipsoids of 95 % hold 95 % of the true displacements."""
    for kind in kinds:
        ratios = []
        for result, error, covariance, body in runs(kind, range(100, 100 + count)):
            used = factor_of(result.resolved.preset, result.settings.features)
            limit = stats.chi2.ppf(0.95, body.ndim)
            ratios.append(
                used
                * np.quantile(
                    squared_radii(error.reshape(-1, body.ndim), covariance.reshape(-1, body.ndim, body.ndim)), 0.95
                )
                / limit
            )
        print(f'    "{kind}": {statistics.median(ratios):.3g},  # {min(ratios):.3g} to {max(ratios):.3g}', flush=True)


def labels(path: str, which: str, count: int) -> None:
    """Print the rank correlation of 1 - Dice with what the uncertainty says of a label."""
    dataset = read_dataset(path)
    files = list(choose_pairs(dataset, which))
    random.Random(0).shuffle(files)
    rows, time = [], []
    request = Request(changes={"uncertainty": True}, device="cpu")
    for one in files[:count]:
        pair = read_pair(one, label_maps=False)
        result = register_pair(pair, request)
        time.append(result.seconds["uncertainty"] / sum(result.seconds.values()))
        dice = score_pair(result.transform, pair).dice
        fixed = replace(pair.fixed, image=None).labels
        for label, found in result.uncertainty.by_label(fixed).items():  # type: ignore[union-attr, arg-type]
            if label in dice:
                size = float((np.asarray(fixed.data) == label).sum())  # type: ignore[union-attr]
                rows.append((label, 1 - dice[label], found.deviation, found.across, found.dice_loss, 1 / size))
    table = np.array(rows)
    print(
        f"{dataset.name}, {which}: {min(count, len(files))} pairs, {len(table)} labels, "
        f"{statistics.fmean(time):.0%} of the time"
    )
    for name, column in (("deviation", 2), ("across", 3), ("dice_loss", 4), ("1 / volume", 5)):
        within = [
            stats.spearmanr(table[table[:, 0] == label][:, column], table[table[:, 0] == label][:, 1])[0]
            for label in sorted(set(table[:, 0]))
        ]
        pooled = stats.spearmanr(table[:, column], table[:, 1])[0]
        print(f"  {name}: {pooled:.3f}, mean within labels {statistics.fmean(within):.3f}", flush=True)


def main(arguments: list[str]) -> None:
    """Run what the arguments name."""
    what, *rest = arguments or ["phantoms"]
    if what == "labels":
        labels(rest[0], rest[1] if len(rest) > 1 else "val", int(rest[2]) if len(rest) > 2 else 10**6)
    else:
        count = int(rest[0]) if rest else 20
        (calibrate if what == "calibrate" else phantoms)(
            count, rest[1:] or list(CALIBRATED if what == "calibrate" else SHOWN)
        )


if __name__ == "__main__":
    main(sys.argv[1:])
