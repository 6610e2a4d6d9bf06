"""Malformed inputs against every reader and the command line: all must be read, or refused in one line.

Usage: python benchmarks/fuzz.py [CASES [FIRST [WORD]]]

Every case spoils one good file and gives it to a reader or a command, in a process that is watched: one that dies or
hangs is counted and replaced. CASES are numbered from FIRST on; the same number is the same case. WORD: only readers
and files with it in their names. A refusal that does not name the file counts as nameless.
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from malformed import GRID, Spoiler, spoilers, write_samples

from learngn.errors import HeaderWarning, LearnGNError

SLOW = 20.0  # [s]
MEMORY = 8 << 30  # [bytes] of addresses that a reader may take, libraries included
OUTCOMES = ("read", "refused", "traceback", "crash", "partial file", "slow", "several lines", "nameless")
FAST = (
    "--strides",
    "4",
    "--iterations",
    "1",
    "--lambda",
    "3",
    "--features",
    "intensity",
    "--threads",
    "1",
    "--no-report",
    "-q",
)
DISP = "disp_0001_0002"


def readers() -> dict[str, tuple[tuple[str, ...], Callable[[Path, Path], Any]]]:
    """By name: the files that are spoilt, and what reads them, given the file and the folder of the good ones."""
    from learngn import io
    from learngn.cohort.records import read_records
    from learngn.learning.checkpoint import read_checkpoint
    from learngn.learning.config_file import read_config
    from learngn.model import read_description, read_model
    from learngn.settings import read_settings

    volumes = tuple(f"{kind}{suffix}" for kind in ("scan", "labels") for suffix in (".nii", ".nii.gz", ".mha", ".nrrd"))
    others = ("second.nii", "pair.hdr", "scan.mgh", "scan.mgz", "series.nii.gz")
    images = (*volumes, *volumes, *others, "scan.mhd", "scan.raw", "plane.png", "plane.tif", "slice.dcm")
    fields = tuple(f"field{suffix}" for suffix in (".nii", ".nii.gz", ".mha", ".nrrd"))
    transforms = (*fields, "chain.h5", *(f"affine{suffix}" for suffix in (".tfm", ".txt", ".mat")))

    def dataset(path: Path, good: Path) -> Any:
        for name in ("imagesTr", "labelsTr"):
            shutil.copytree(good / name, path.parent / name)
        return io.read_dataset(path)

    def series(path: Path, good: Path) -> Any:
        shutil.copy(good / "slice.dcm", path.parent / "good.dcm")
        return io.read_image(path.parent)

    def image_of(path: Path) -> Path:
        return path.with_suffix(".mhd") if path.suffix == ".raw" else path

    return {
        "read_image": (images, lambda path, good: io.read_image(image_of(path))),
        "read_image labels": (images, lambda path, good: io.read_image(image_of(path), labels=True)),
        "read_grid": (images, lambda path, good: io.read_grid(image_of(path))),
        "read_frames": (("series.nii.gz", "scan.mgz", "scan.nrrd"), lambda path, good: list(io.read_frames(path))),
        "read_image folder": (("slice.dcm",), series),
        "read_transform": (transforms, lambda path, good: io.read_transform(path, fixed=GRID)),
        "read_learn2reg": ((f"{DISP}.nii.gz", f"{DISP}.npz"), lambda path, good: io.read_learn2reg(path, GRID, GRID)),
        "read_scores": (("probabilities.npz", "labels.nii.gz"), lambda path, good: io.read_scores(path, GRID)),
        "read_channels": (("scan.nii.gz", "field.nii"), lambda path, good: io.read_channels(path, GRID)),
        "read_landmarks": (("points.csv", "voxels.csv"), lambda path, good: io.read_landmarks(path, GRID)),
        "read_dataset": (("Toy_dataset.json",), dataset),
        "choose_pairs": (("pairs.csv",), lambda path, good: io.choose_pairs(io.read_dataset(good), str(path))),
        "read_settings": (("settings.json",), lambda path, good: read_settings(path)),
        "read_config": (("config.toml", "config.json"), lambda path, good: read_config(path)),
        "read_records": (("results.jsonl",), lambda path, good: read_records(path.parent)),
        "read_description": (("model/model.json",), lambda path, good: read_description(path.parent)),
        "read_model": (("model/model.json", "model/weights.safetensors"), lambda path, good: read_model(path.parent)),
        "read_checkpoint": (("checkpoint/checkpoint.pt",), lambda path, good: read_checkpoint(path.parent, "a")),
        "read_module": (("network.pt",), lambda path, good: io.read_module(path)),
        **commands(volumes, transforms),
    }


def commands(
    images: tuple[str, ...], transforms: tuple[str, ...]
) -> dict[str, tuple[tuple[str, ...], Callable[[Path, Path], Any]]]:
    """Commands as readers."""

    def info(path: Path, good: Path) -> Any:
        return run("info", path.parent)

    def convert(path: Path, good: Path) -> Any:
        scan = good / "scan.nii"
        return run("convert", path, path.parent / "out.nii.gz", "-r", scan, "--moving", scan)

    def apply(path: Path, good: Path) -> Any:
        out, field, scan = path.parent / "out.nii.gz", good / "field.nii.gz", good / "scan.nii"
        return run("apply", path, "-t", field, "-r", scan, "-o", out)

    def reference(path: Path, good: Path) -> Any:
        return run("apply", good / "scan.nii", "-t", good / "field.nii", "-r", path, "-o", path.parent / "out.mha")

    def points(path: Path, good: Path) -> Any:
        scan, out = good / "scan.nii", path.parent / "out.csv"
        return run("apply", path, "-t", good / "field.nii", "-r", scan, "--moving", scan, "-o", out)

    def register(path: Path, good: Path) -> Any:
        return run("register", good / "scan.nii", path, "-o", path.parent / "out", *FAST)

    def settings(path: Path, good: Path) -> Any:
        scan = good / "scan.nii"
        return run(
            "register", scan, scan, "-o", path.parent / "out", "--settings", path, *FAST[:6], "-q", "--no-report"
        )

    def evaluate(path: Path, good: Path) -> Any:
        (path.parent / "fields").mkdir()
        shutil.copy(good / f"{DISP}.nii.gz", path.parent / "fields")
        return run("evaluate", path, "--fields", path.parent / "fields")

    return {
        "learngn info": (("model/model.json", "model/weights.safetensors"), info),
        "learngn convert": ((*transforms, f"{DISP}.nii.gz", f"{DISP}.npz"), convert),
        "learngn apply": (images, apply),
        "learngn apply -r": (images, reference),
        "learngn apply points": (("points.csv",), points),
        "learngn register": (images, register),
        "learngn register --settings": (("settings.json",), settings),
        "learngn evaluate": (("Toy_dataset.json",), evaluate),
    }


class Refused(Exception):
    """What a command has said when it ended with status 2."""


def run(*arguments: str | Path) -> None:
    """Run a command as its user does."""
    from typer.testing import CliRunner

    from learngn.cli import app

    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exit_code == 2:
        raise Refused(result.stderr)
    if result.exit_code != 0 and result.exception is not None:
        raise result.exception
    if result.exit_code != 0:
        raise RuntimeError(f"status {result.exit_code}: {result.output}")


def draw(
    number: int, good: Path, word: str
) -> tuple[str, Path, Spoiler, Callable[[Path, Path], Any], np.random.Generator]:
    """Case of a number: its name, the file to spoil, how, what reads it, and the generator for the rest."""
    rng = np.random.default_rng(number)
    table = {
        name: (samples if word in name else tuple(sample for sample in samples if word in sample), read)
        for name, (samples, read) in readers().items()
    }
    names = [name for name, (samples, _) in table.items() if samples]
    name = names[rng.integers(len(names))]
    samples, read = table[name]
    source = good / samples[rng.integers(len(samples))]
    ways = spoilers(source)
    spoil = ways[rng.integers(len(ways))]
    return f"{number} {name} {source.name} {getattr(spoil, '__qualname__', '')}", source, spoil, read, rng


def judge(number: int, good: Path, scratch: Path, word: str) -> tuple[str, str, str]:
    """Spoil a file and read it: the outcome, the case in words, and what was said."""
    case, source, spoil, read, rng = draw(number, good, word)
    folder = Path(tempfile.mkdtemp(dir=scratch))
    path = folder / source.name
    partners = {
        ".hdr": [".img"],
        ".mhd": [".raw"],
        ".raw": [".mhd"],
        ".json": ["weights.safetensors"],
        ".safetensors": ["model.json"],
    }
    for partner in partners.get(source.suffix, []):
        other = source.with_suffix(partner) if partner.startswith(".") else source.with_name(partner)
        if other.is_file():
            shutil.copy(other, folder)
    path.write_bytes(spoil(source.read_bytes(), rng))
    before, start = set(folder.rglob("*")), time.perf_counter()
    try:
        read(path, good)
        outcome, said = "read", ""
    except Refused as refusal:
        said = str(refusal)
        outcome = "refused" if said.startswith("error: ") and said.count("\n") == 1 else "several lines"
    except LearnGNError as error:
        outcome, said = ("refused" if "\n" not in str(error) else "several lines"), str(error)
    except BaseException:
        outcome, said = "traceback", traceback.format_exc()
    seconds = time.perf_counter() - start
    if outcome == "refused" and not any(name in said for name in (path.name, folder.name, "fixed and moving image")):
        outcome = "nameless"
    left = {str(file.relative_to(folder)) for file in set(folder.rglob("*")) - before}
    left = {file for file in left if file.split("/")[0] not in ("imagesTr", "labelsTr", "good.dcm", "fields")}
    if outcome in ("refused", "read") and (any(".learngn" in file for file in left) or (left and outcome == "refused")):
        outcome, said = "partial file", ", ".join(sorted(left))
    if outcome in ("refused", "read") and seconds > SLOW:
        outcome, said = "slow", f"{seconds:.0f} s"
    shutil.rmtree(folder)
    return outcome, case, said


def work(numbers: Connection, good: Path, scratch: Path, word: str) -> None:
    """Judge what comes, in a process of its own."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore", HeaderWarning)
    while (number := numbers.recv()) is not None:
        numbers.send(judge(number, good, scratch, word))


class Watched:
    """A process that judges; replaced when it dies or hangs."""

    def __init__(self, good: Path, scratch: Path, word: str) -> None:
        self.arguments = good, scratch, word
        self.start()

    def start(self) -> None:
        """Start a process."""
        context = multiprocessing.get_context("spawn")
        self.end, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, *self.arguments), daemon=True)
        self.process.start()
        theirs.close()

    def judge(self, number: int) -> tuple[str, str, str]:
        """Outcome of a case."""
        self.end.send(number)
        try:
            if self.end.poll(4 * SLOW):
                outcome: tuple[str, str, str] = self.end.recv()
                return outcome
            found = "slow", "killed"
        except EOFError:
            self.process.join()
            found = "crash", f"status {self.process.exitcode}"
        self.process.kill()
        self.process.join()
        self.start()
        return found[0], draw(number, self.arguments[0], self.arguments[2])[0], found[1]


def main(cases: int = 1000, first: int = 0, word: str = "") -> int:
    """Print what went wrong, and a table of outcomes; the number of cases that are neither read nor refused."""
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        good, scratch = Path(folder, "good"), Path(folder, "scratch")
        good.mkdir(), scratch.mkdir()
        write_samples(good)
        run(
            "register", good / "scan.nii", good / "scan.nii", "-o", good / "compiled", *FAST
        )  # no case waits for kernels
        shutil.rmtree(good / "compiled")
        watched = Watched(good, scratch, word)
        for number in range(first, first + cases):
            outcome, case, said = watched.judge(number)
            kind = "command line" if " learngn " in case else "readers"
            counts.setdefault(kind, Counter())[outcome] += 1
            if outcome not in ("read", "refused"):
                print(f"{outcome}: {case}\n    " + "\n    ".join(said.strip().splitlines()[-6:]), flush=True)
        watched.end.send(None)
    print(f"| {cases} cases | " + " | ".join(OUTCOMES) + " |\n|---" * 1 + "|---" * len(OUTCOMES) + "|")
    for kind, found in sorted(counts.items()):
        print(f"| {kind} | " + " | ".join(str(found[outcome]) for outcome in OUTCOMES) + " |")
    return sum(found[outcome] for found in counts.values() for outcome in OUTCOMES[2:])


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3]), *sys.argv[3:]) > 0)
