"""Without PyTorch: hand-made registration runs, and what needs PyTorch says in one line how to install it.

The program runs in processes that cannot import the packages of the extras, whether they are installed or not;
`.ci/run` also runs this file in an environment that has none of them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from learngn.io import read_image, read_transform

pytestmark = pytest.mark.slow

# Python imports a module of this name when it starts, child processes included.
SITECUSTOMIZE = '''
import sys

HIDDEN = {
    "bokeh", "dask", "dask_jobqueue", "distributed", "lightning_fabric", "matplotlib", "monai", "nitransforms",
    "safetensors", "tensorboard", "torch", "torchio", "triton", "trx", "vtk", "vtkmodules",
}


class Finder:
    """Finds what another finder finds, but for the hidden packages: as if they were not installed."""

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            return None
        return self.finder.find_spec(name, path, target)

    def find_distributions(self, *arguments, **options):
        for found in getattr(self.finder, "find_distributions", lambda *_, **__: ())(*arguments, **options):
            if found.name.replace("-", "_") not in HIDDEN:
                yield found

    def __getattr__(self, name):
        return getattr(self.finder, name)


sys.meta_path[:] = [Finder(finder) for finder in sys.meta_path]
'''
# Modules that import PyTorch, and are imported by what is learned or given tensors alone.
OF_PYTORCH = re.compile(
    r"learngn\.(kernels\.(fused|tensors|gpu|_gpu.*|self_check)|features\.network|linearise\.learned|(model|learning)(\..*)?"
    r"|optimise\.adam|solve\.derivative|paper(\..*)?|workflow\.monai_transform)"
)
IMPORT_ALL = """
import importlib, pkgutil, learngn
from learngn.errors import MissingPackageError

for found in pkgutil.walk_packages(learngn.__path__, "learngn.", onerror=lambda name: None):
    if found.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(found.name)
    except (ImportError, MissingPackageError) as error:
        print(found.name, getattr(error, "name", error), sep="\\t")
"""
PREPARE = (
    "import learngn.io, numpy as np; from learngn import interop; image = interop.from_array(np.eye(3), np.eye(3))"
)
FAST = ("--features", "intensity", "--strides", "8,4", "--iterations", "3,3", "--lambda", "0.3,0.1")
INSTALL = re.compile(r"pip install 'learngn\[(torch|train)\]'")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run Python in a folder, without the packages of the extras; returns the finished process."""
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(SITECUSTOMIZE)
    paths = [str(site), *(os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}

    def python(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, *map(str, arguments)]
        return subprocess.run(words, env=environment, cwd=cwd, capture_output=True, text=True, check=False)

    assert python("-c", "import torch").returncode == 1, "the packages are hidden"
    return python


@pytest.fixture(scope="module")
def learngn(run, folder):
    """Run the program, which must succeed; returns its output."""

    def program(*arguments: object) -> str:
        done = run("-m", "learngn", *arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return program


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Data set of five coronal planes and two small volumes, scans and label maps."""
    from learngn.phantom import abdomens

    root = tmp_path_factory.mktemp("without-torch")
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir()
    names = [f"Toy_{number:04d}_0000.nii.gz" for number in range(1, 6)]
    for name, phantom in zip(names, abdomens(len(names), (48, 40), seed=3), strict=True):
        phantom.scan.save(root / "imagesTr" / name)
        phantom.labels.save(root / "labelsTr" / name)
    pairs = [(names[3], names[4]), (names[4], names[3])]
    description = {
        "name": "Toy",
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names[:3]],
        "registration_val": [{"fixed": f"./imagesTr/{f}", "moving": f"./imagesTr/{m}"} for f, m in pairs],
    }
    (root / "Toy_dataset.json").write_text(json.dumps(description))
    for side, phantom in zip(("fixed", "moving"), abdomens(2, (32, 28, 24), seed=1), strict=True):
        phantom.scan.save(root / f"{side}.nii.gz")
        phantom.labels.save(root / f"{side}_labels.nii.gz")
    return root


@pytest.fixture(scope="module")
def registered(learngn, folder) -> Path:
    """Result folder of a registration with the recognised preset."""
    labels = ("--fixed-labels", "fixed_labels.nii.gz", "--moving-labels", "moving_labels.nii.gz")
    learngn("register", "fixed.nii.gz", "moving.nii.gz", *labels, "-o", "result", "--symmetric")
    return folder / "result"


@pytest.fixture(scope="module")
def fields(learngn, folder) -> Path:
    """Folder of a cohort of two pairs."""
    assert "2 of 2 pairs scored" in learngn("cohort", "Toy_dataset.json", "-o", "cohort", *FAST)
    return folder / "cohort"


def test_modules_that_need_pytorch_are_the_learned_ones(run):
    done = run("-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    missing = dict(line.split("\t") for line in done.stdout.splitlines())
    assert not {name: package for name, package in missing.items() if not OF_PYTORCH.fullmatch(name)}


def test_demo(learngn, folder):
    learngn("demo", "-o", "demo")
    assert list(folder.glob("demo/**/report.html"))


def test_register(registered):
    metrics = json.loads((registered / "metrics.json").read_text())
    assert metrics["dice_mean"] > metrics["dice_mean_before"]
    assert (registered / "report.html").exists()
    assert (registered / "inverse_displacement.nii.gz").exists()


def test_register_planes(learngn, folder):
    learngn("register", *sorted(folder.glob("imagesTr/*"))[:2], "-o", "plane", "--no-report", *FAST)
    assert read_image(folder / "plane" / "warped.nii.gz").grid.ndim == 2


def test_apply(learngn, folder, registered):
    transform = ("-t", "result/displacement.nii.gz", "-r", "fixed.nii.gz")
    learngn("apply", "moving_labels.nii.gz", *transform, "--labels", "-o", "labels.nii.gz")
    ours, theirs = (
        read_image(path, labels=True).data for path in (registered / "warped_labels.nii.gz", folder / "labels.nii.gz")
    )
    assert (ours == theirs).mean() > 0.999


def test_convert(learngn, folder, registered):
    learngn("convert", "result/displacement.nii.gz", "transform.h5")
    expected = read_transform(registered / "displacement.nii.gz")
    points = expected.grid.index_to_world([[5, 6, 7], [20, 14, 12]])
    assert abs(read_transform(folder / "transform.h5").map_points(points) - expected.map_points(points)).max() < 1e-3


def test_evaluate(learngn, fields):
    summary = json.loads(learngn("evaluate", "Toy_dataset.json", "--fields", fields, "--json"))
    records = [json.loads(line) for line in (fields / "results.jsonl").read_text().splitlines()]
    assert len(summary["pairs"]) == len(records) == 2
    for scored, record in zip(summary["pairs"], records, strict=True):
        assert scored["dice"] == pytest.approx(record["dice"])


def test_propagate(learngn, folder):
    learngn("propagate", "Toy_dataset.json", "-o", "labelled", "--atlases", "2", *FAST)
    assert sorted(path.name for path in folder.glob("labelled/Toy_*")) == [
        "Toy_0004_0000.nii.gz",
        "Toy_0005_0000.nii.gz",
    ]


def test_template(learngn, folder):
    learngn("template", "Toy_dataset.json", "-o", "template", "--rounds", "1", *FAST)
    assert read_image(folder / "template" / "template.nii.gz").grid.ndim == 2


def test_tune(learngn, folder):
    learngn(
        "tune", "Toy_dataset.json", "-o", "settings.json", "--pairs", "1", "--rounds", "1", "--features", "intensity"
    )
    assert json.loads((folder / "settings.json").read_text())["features"] == "intensity"


def test_info(learngn):
    found = json.loads(learngn("info", "--json"))
    assert found["[torch]"]["torch"] == "not installed"
    assert found["devices"] == ["cpu"]
    assert found["kernels"].startswith("CPU: numba")


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "Toy_dataset.json", "-o", "model", "--features", "mind"),
        ("register", "fixed.nii.gz", "moving.nii.gz", "-o", "refused", "--model", "trained"),
        ("register", "fixed.nii.gz", "moving.nii.gz", "-o", "refused", "--features", "network=net.pt"),
        ("register", "fixed.nii.gz", "moving.nii.gz", "-o", "refused", "--device", "cuda"),
        ("cohort", "Toy_dataset.json", "-o", "refused", "--device", "cuda"),
        ("cohort", "Toy_dataset.json", "-o", "refused", "--model", "trained"),
        ("info", "trained"),
    ],
    ids=lambda arguments: " ".join(arguments[:1] + arguments[-2:]),
)
def test_what_needs_pytorch_says_how_to_install_it(run, folder, arguments):
    (folder / "net.pt").write_bytes(b"")
    (folder / "trained").mkdir(exist_ok=True)
    (folder / "trained" / "model.json").write_text("{}")
    done = run("-m", "learngn", *arguments, cwd=folder)
    assert done.returncode == 2, done.stderr
    (told,) = [line for line in done.stderr.splitlines() if not line.startswith("compiling kernels")]
    assert told.startswith("error: ")
    assert INSTALL.search(told)
    assert not (folder / "refused").exists()


@pytest.mark.parametrize(
    "call",
    [
        "interop.to_monai(image)",
        "interop.to_torchio(image)",
        "image.to('cpu')",
        "learngn.io.read_module('net.pt')",
        "import learngn.workflow.monai_transform",
    ],
)
def test_functions_that_need_pytorch_say_how_to_install_it(run, call):
    done = run("-c", f"{PREPARE}; {call}")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("learngn.errors.MissingPackageError: ")
    assert INSTALL.search(last)
