"""Good and spoiled pairs: measures of fit without labels, the thresholds of the verdict, and how well they tell.

Usage::

    python benchmarks/quality.py measure CACHE DATA --split training --seconds 600
    python benchmarks/quality.py learn CACHE
    python benchmarks/quality.py report CACHE

`measure` registers pairs of the data sets in the folder DATA, good ones and ones spoiled on purpose, and appends one
line of JSON per registration to the file CACHE; pairs that it has are left out, so that it can be stopped at any time.
`learn` prints the coefficients for ``learngn/quality/thresholds.py`` from the training subjects alone, `report` how
well the verdict tells good from spoiled ones on the validation pairs.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from learngn.errors import LearnGNError
from learngn.evaluation.quick import quick_scores
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine
from learngn.io import Pair, read_dataset, read_image
from learngn.quality.thresholds import MODELS, Term
from learngn.quality.verdict import contributions
from learngn.registration import RegistrationPair, Request, Side, prepare, resolve

SETS = ("ThoraxCT", "AbdomenMR", "HippocampusMR", "AbdomenSeg")
MOST = {"training": {"HippocampusMR": 60, "AbdomenSeg": 16}, "validation": {"HippocampusMR": 85, "AbdomenSeg": 20}}
SPOILED = ("mirrored", "upside down", "turned", "cropped", "noise", "thousandth", "other part", "preset")
WRONG = {"ThoraxCT": "brain-mr", "AbdomenMR": "thorax-ct", "HippocampusMR": "thorax-ct"}


@dataclass(frozen=True)
class Case:
    """One registration: a pair, and what is done to it."""

    data: str
    split: str
    pair: Pair
    spoiled: str
    other: Pair | None = None

    @property
    def key(self) -> str:
        """Name in the cache."""
        return f"{self.data}|{self.split}|{self.pair.id}|{self.spoiled}"


def pairs_of(root: Path, data: str, split: str) -> list[Pair]:
    """Return the pairs of a data set; of training subjects, every one with every other."""
    dataset = read_dataset(root / data)
    if split == "validation":
        pairs = list(dataset.validation)
    else:
        pairs = [Pair(a, b) for a, b in product(dataset.training, dataset.training) if a is not b]
    most = MOST[split].get(data, 30)
    if len(pairs) > most:
        pairs = [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))[:most]]
    return pairs


def cases(root: Path, split: str) -> list[Case]:
    """Return good and spoiled cases, in an order in which every beginning is a fair sample."""
    pairs = {data: pairs_of(root, data, split) for data in SETS}
    found = []
    for data, of_set in pairs.items():
        others = [pair for name in SETS if name != data and name != "AbdomenSeg" for pair in pairs[name]]
        for n, pair in enumerate(of_set):
            found.append(Case(data, split, pair, "good"))
            ways = [SPOILED[(n + step) % len(SPOILED)] for step in ((0, 2, 3, 5) if len(of_set) < 40 else (0,))]
            for way in ways:
                if data == "AbdomenSeg" and way in ("noise", "other part", "preset"):
                    continue  # label maps
                other = others[zlib.crc32(pair.id.encode()) % len(others)] if way == "other part" else None
                found.append(Case(data, split, pair, way, other))
    found = [found[i] for i in np.random.default_rng(1).permutation(len(found))]
    return sorted(found, key=lambda case: case.spoiled not in ("good", "thousandth"))


def _flipped(image: Image, axes: str) -> Image:
    """Exchange the directions of the array along anatomical axes; the header stays."""
    codes = {"x": "RL", "y": "AP", "z": "SI"}
    found = [n + 2 for n, code in enumerate(image.grid.axis_codes) if any(code in codes[axis] for axis in axes)]
    return replace(image, data=np.ascontiguousarray(np.flip(image.data, tuple(found))))


def _cropped(image: Image, rng: np.random.Generator) -> Image:
    """Keep a tenth of the volume, from anywhere."""
    shape = [max(2, round(n * 0.1 ** (1 / image.grid.ndim))) for n in image.grid.shape]
    first = [int(rng.integers(0, n - m + 1)) for n, m in zip(image.grid.shape, shape, strict=True)]
    part = tuple(slice(a, a + m) for a, m in zip(first, shape, strict=True))
    return replace(
        image,
        data=np.ascontiguousarray(image.data[(slice(None), slice(None), *part)]),
        grid=image.grid.part(first, shape),
    )


def _noisy(image: Image, rng: np.random.Generator) -> Image:
    deviation = 10 * float(image.data.std())
    return replace(image, data=(image.data + rng.normal(0, deviation, image.data.shape)).astype(np.float32))


_AXES = {"mirrored": "x", "upside down": "z", "turned": "yz"}


def spoil(case: Case) -> tuple[RegistrationPair, Request]:
    """Read a pair and spoil it."""
    rng, is_labels = np.random.default_rng(zlib.crc32(case.key.encode())), case.data == "AbdomenSeg"
    moving_files = case.pair.moving if case.other is None else case.other.moving
    fixed, moving = (read_image(files.image, labels=is_labels) for files in (case.pair.fixed, moving_files))
    labels = [
        None if files.labels is None else read_image(files.labels, labels=True)
        for files in (case.pair.fixed, moving_files)
    ]
    if case.spoiled in _AXES:
        axes = _AXES[case.spoiled]
        moving, labels[1] = _flipped(moving, axes), labels[1] and _flipped(labels[1], axes)
    elif case.spoiled == "cropped":
        state = rng.bit_generator.state
        moving = _cropped(moving, rng)
        rng.bit_generator.state = state
        labels[1] = labels[1] and _cropped(labels[1], rng)
    elif case.spoiled == "noise":
        moving = _noisy(moving, rng)
    first, second = (
        replace(Side.of(image, what), labels=own)
        for image, what, own in zip((fixed, moving), ("fixed", "moving"), labels, strict=True)
    )
    request = Request(preset=WRONG.get(case.data)) if case.spoiled == "preset" else Request()
    return RegistrationPair(first, second), request


def run(case: Case) -> dict[str, Any]:
    """Register a case at a reduced resolution, and measure it."""
    pair, request = spoil(case)
    resolved = resolve(request, pair)
    settings = resolved.settings
    if len(settings.strides) > 3:  # the finest level takes most of the time, and hardly changes coarse measures
        settings = settings.with_levels(range(len(settings.strides) - 1))
    if case.spoiled == "thousandth":
        settings = replace(settings, lam=(settings.lam[0] / 1000, settings.lam[1] / 1000))
    resolved = resolve(Request(settings=settings), pair)
    result = prepare(pair, resolved).register()
    seconds = {name: round(value, 3) for name, value in result.seconds.items()}
    verdict = result.verdict
    if verdict is None:
        raise ValueError("settings without quality")
    record: dict[str, Any] = {"fit": verdict.fit, "left_out": verdict.left_out, "seconds": seconds}
    if pair.labels is not None and case.spoiled != "other part":
        grid = pair.fixed.grid
        before, after = (
            quick_scores(t, grid, pair.labels).dice for t in (Affine.identity(grid.ndim), result.transform)
        )
        record |= {"dice_before": round(before, 4), "dice": round(after, 4)}
    return record


def measured(cache: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a cache."""
    if cache.exists():
        for line in cache.read_text().splitlines():
            yield json.loads(line)


# Direction in which a measure is odd, and the most that it may add to the doubt: 1 is "check", 2 is "failed".
WITHIN = {
    "patterns_linear": (-1, 2.0),
    "patterns_after": (-1, 2.0),
    "local_after": (-1, 2.0),
    "information_after": (-1, 2.0),
    "agreement": (-1, 2.0),
    "bodies_linear": (-1, 0.7),
    "covered_linear": (-1, 1.5),
    "turned": (1, 2.0),
    "both_ways": (1, 2.0),
    "spread": (1, 1.5),
    "bending": (1, 2.0),
    "displacement": (1, 0.7),
    "stretch": (1, 0.5),
    "scale": (1, 0.5),
}
LABELS = {
    "labels_after": (-1, 2.0),
    "bodies_linear": (-1, 0.5),
    "covered_linear": (-1, 1.5),
    "turned": (1, 2.0),
    "spread": (1, 1.5),
    "bending": (1, 2.0),
    "displacement": (1, 0.7),
}
# CT with another scan: one pair here (AbdomenCTMR, both directions) says what good ones reach, less a margin.
ACROSS = {
    "patterns_linear": 0.33,
    "patterns_after": 0.45,
    "local_after": 0.17,
    "information_after": 0.09,
    "agreement": 0.42,
}
# Limits that data sets of like scans would set too tightly: partial views are common elsewhere.
LENIENT = {"covered_linear": 0.5, "bodies_linear": 0.8}
# 2D scans: synthetic abdomens and one pair of stained slices; volumes say little of how planes deform.
PLANAR = {
    "patterns_linear": 0.2,
    "patterns_after": 0.4,
    "local_after": 0.3,
    "information_after": 0.1,
    "agreement": 0.42,
}
IN_SPACE = ("spread", "displacement", "both_ways")
# A scan that fits better mirrored or turned is spoiled by definition.
TURNED = Term(0.005, 60.0, 2.0)
# Between good pairs at their finest level and those with a thousandth of λ, whatever the data set.
BENDING = Term(0.68, 10.0, 2.0)
# Bodies of which one is more than twice as large: alone not enough to be checked, since small parts are registered too.
BODY = Term(0.7, 1.0, 0.7)
FIXED = {"turned": TURNED, "bending": BENDING}
# Least weight of a standard deviation, as a part of the most that a measure adds: what other spoiled pairs show by
# other measures too must count where it shows alone.
LEAST = 0.1
MARGIN, LARGEST = 1.0, 4.0  # standard deviations of good pairs: beyond their 98 %, and the most that counts
HARMLESS = 0.1  # loss of Dice up to which the wrong preset has done no harm


def flat(record: dict[str, Any]) -> dict[str, float]:
    """Return the measures of a record by the names of :meth:`learngn.quality.Measures.flat`."""
    fit = record["fit"]
    values = {f"{name}_{stage}": value for stage in ("before", "linear", "after") for name, value in fit[stage].items()}
    return {name: float("nan") if value is None else value for name, value in (values | fit["others"]).items()}


def sorted_out(records: list[dict[str, Any]]) -> list[tuple[dict[str, Any], bool]]:
    """Return the records that count, with whether each is spoiled.

    Good pairs that are registered badly, and wrong presets that do no harm, are neither.
    """
    good = {r["set"] + r["key"].split("|")[2]: r["dice"] for r in records if r["spoiled"] == "good" and "dice" in r}
    usual = {
        name: float(np.median([r["dice"] for r in records if r["set"] == name and r["spoiled"] == "good"]))
        for name in SETS
    }
    found = []
    for record in records:
        if "error" in record:
            continue
        dice, spoiled = record.get("dice", float("nan")), record["spoiled"] != "good"
        if not spoiled and (dice <= record["dice_before"] or dice < usual[record["set"]] - 0.2):
            continue
        of_good = good.get(record["set"] + record["key"].split("|")[2], 0.0)
        if record["spoiled"] == "preset" and dice > of_good - HARMLESS:
            continue
        found.append((record, spoiled))
    return found


def learned(records: list[tuple[dict[str, Any], bool]], terms: dict[str, tuple[int, float]]) -> dict[str, Term]:
    """Fit a logistic regression, without negative weights, to the distances beyond the limits of good pairs."""
    values = np.array([[flat(record).get(name, np.nan) for name in terms] for record, _ in records])
    spoiled = np.array([is_spoiled for _, is_spoiled in records])
    signs = np.array([sign for sign, _ in terms.values()])
    odd = values * signs
    deviation = np.nanstd(odd[~spoiled], axis=0) + 0.01
    limits = np.nanquantile(odd[~spoiled], 0.98, axis=0) + MARGIN * deviation
    for n, name in enumerate(terms):
        if name in LENIENT:
            limits[n] = max(limits[n], LENIENT[name] * signs[n])
        elif name in FIXED:
            limits[n], deviation[n] = FIXED[name].limit, 1 / FIXED[name].weight
    z = np.nan_to_num(((odd - limits) / deviation).clip(0, LARGEST))
    weights, bias, share = (
        np.full(len(terms), 0.5),
        -2.0,
        np.where(spoiled, 0.5 / spoiled.mean(), 0.5 / (~spoiled).mean()),
    )
    for _ in range(20_000):
        p = 1 / (1 + np.exp(-(z @ weights + bias)))
        slope = share * (p - spoiled) / len(z)
        weights = np.maximum(0, weights - 0.2 * (z.T @ slope + 1e-2 * weights))
        bias = min(-1.0, bias - 0.2 * float(slope.sum()))
    model = {}
    for name, sign, weight, limit, scale in zip(terms, signs, weights, limits, deviation, strict=True):
        per_unit = max(weight / -bias, LEAST * terms[name][1]) / scale
        model[name] = Term(round(float(limit * sign), 3), round(float(sign * per_unit), 2), terms[name][1])
    return model | FIXED | {"body": BODY}


def lenient(model: dict[str, Term], limits: dict[str, float], without: tuple[str, ...] = ()) -> dict[str, Term]:
    """Return a model with lower limits, and without some measures."""
    return {
        name: term._replace(limit=min(term.limit, limits.get(name, term.limit)))
        for name, term in model.items()
        if name not in without
    }


def learn(cache: Path) -> None:
    """Print the models."""
    records = sorted_out([r for r in measured(cache) if r["split"] == "training"])
    within = learned([(r, s) for r, s in records if r["fit"]["kind"] != "labels"], WITHIN)
    labels = learned([(r, s) for r, s in records if r["fit"]["kind"] == "labels"], LABELS)
    different, planar = lenient(within, ACROSS), lenient(within, PLANAR, IN_SPACE)
    for name, model in (("_WITHIN", within), ("_ACROSS", different), ("_PLANAR", planar), ("_LABELS", labels)):
        print(f"{name}: Model = {{")
        for measure, term in model.items():
            print(f'    "{measure}": Term({term.limit}, {term.weight}, {term.most}),')
        print("}")


def doubt(record: dict[str, Any]) -> float:
    """Return the doubt of a record under the thresholds of the installed version."""
    value = sum(contributions(MODELS[record["fit"]["kind"]], flat(record)).values())
    return max(value, 1.0) if record["left_out"] else value


def report(cache: Path, split: str) -> None:
    """Print how well the verdict tells good from spoiled registrations."""
    records = [(r, s, doubt(r)) for r, s in sorted_out([r for r in measured(cache) if r["split"] == split])]
    print("| set | pairs | ok | check | failed |\n|---|---|---|---|---|")
    for name in (*SETS, "all"):
        for way in ("good", "spoiled", *SPOILED):
            rows = [
                d
                for r, s, d in records
                if name in (r["set"], "all") and (way == r["spoiled"] or (way == "spoiled" and s))
            ]
            if rows and (name == "all" or way in ("good", "spoiled")):
                ok, check = (sum(d < level for d in rows) for level in (1, 2))
                print(f"| {name}, {way} | {len(rows)} | {ok} | {check - ok} | {len(rows) - check} |")
    good, bad = (np.array([d for _, s, d in records if s == which]) for which in (False, True))
    order = (bad[:, None] > good[None]).mean() + 0.5 * (bad[:, None] == good[None]).mean()
    print(f"\narea under the curve {order:.4f}, {len(good)} good and {len(bad)} spoiled")
    print(f"good called failed {np.mean(good >= 2):.1%}, called check {np.mean((good >= 1) & (good < 2)):.1%}")
    print(f"spoiled called ok {np.mean(bad < 1):.1%}")
    for record, spoiled, value in records:
        if spoiled == (value < 1):
            print(f"  {record['key']} {value:.2f} dice {record.get('dice')}")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("cache", type=Path)
    measuring.add_argument("data", type=Path)
    measuring.add_argument("--split", choices=("training", "validation"), default="training")
    measuring.add_argument("--seconds", type=float, default=1e9)
    learning, reporting = commands.add_parser("learn"), commands.add_parser("report")
    learning.add_argument("cache", type=Path)
    reporting.add_argument("cache", type=Path)
    reporting.add_argument("--split", choices=("training", "validation"), default="validation")
    arguments = parser.parse_args()
    if arguments.command == "learn":
        learn(arguments.cache)
    elif arguments.command == "report":
        report(arguments.cache, arguments.split)
    else:
        measure(arguments.cache, arguments.data, arguments.split, arguments.seconds)


def measure(cache: Path, data: Path, split: str, seconds: float) -> None:
    """Register what a cache lacks."""
    start, done = perf_counter(), {record["key"] for record in measured(cache)}
    for case in cases(data, split):
        if case.key in done or perf_counter() - start > seconds:
            continue
        identity = {"key": case.key, "set": case.data, "split": case.split, "spoiled": case.spoiled}
        try:
            record = run(case)
        except LearnGNError as failure:
            record = {"error": str(failure)}
        with cache.open("a") as file:
            file.write(json.dumps(identity | record) + "\n")


if __name__ == "__main__":
    main()
