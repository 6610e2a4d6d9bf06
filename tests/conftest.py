"""Fixtures and skips shared by all tests; LEARNGN_TEST_DATA names the folder of real scans, if there is one."""

import json
import os
import shutil
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores: each computes with one thread
    for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

import numpy as np
import pytest

DATA_VARIABLE = "LEARNGN_TEST_DATA"


def pytest_runtest_setup(item):
    if item.get_closest_marker("data") and not os.environ.get(DATA_VARIABLE):
        pytest.skip(f"{DATA_VARIABLE} is unset: set it to the folder of real scans")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of the real scans; for tests marked `data`. A folder that is named but missing is an error."""
    if not os.environ.get(DATA_VARIABLE):
        pytest.skip(f"{DATA_VARIABLE} is unset: set it to the folder of real scans")
    root = Path(os.environ[DATA_VARIABLE])
    if not root.is_dir():
        raise FileNotFoundError(f"{DATA_VARIABLE}={root} is not a folder")
    return root


@pytest.fixture
def rng() -> np.random.Generator:
    """The same random numbers in every run; torch's are seeded along."""
    import torch

    torch.manual_seed(0)
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def abdomen_files(tmp_path_factory) -> Path:
    """Description of a data set on the disk: coronal planes of seven synthetic abdomens, Learn2Reg's layout.

    Its scans are label maps, as features of distances want them. Five subjects are for training, two a validation pair.
    Whoever changes a file works on a copy.
    """
    from learngn.phantom import ORGANS, abdomens

    root = tmp_path_factory.mktemp("abdomens")
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir()
    names = [f"Toy_{subject:04d}_0000.nii.gz" for subject in range(1, 8)]
    for name, phantom in zip(names, abdomens(len(names), (48, 40), seed=3), strict=True):
        phantom.labels.save(root / "imagesTr" / name)
        phantom.labels.save(root / "labelsTr" / name)
    description = {
        "name": "Toy",
        "labels": {"0": "background"} | {str(value): name for value, name in ORGANS.items()},
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "registration_val": [{"fixed": f"./imagesTr/{names[5]}", "moving": f"./imagesTr/{names[6]}"}],
    }
    path = root / "Toy_dataset.json"
    path.write_text(json.dumps(description))
    return path


class Surfer:
    """Opens pages of this disk, without a network, and notes what a page should not do."""

    def __init__(self, browser):
        self._browser, self.complaints, self.requests = browser, [], []

    def open(self, path, size=(1400, 1000), **options):
        viewport = {"width": size[0], "height": size[1]}
        context = self._browser.new_context(viewport=viewport, offline=True, **options)
        page = context.new_page()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.as_uri())
        return page


@pytest.fixture(scope="session")
def _browser():
    playwright = pytest.importorskip("playwright.sync_api")
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    if not found:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found[0], args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def surfer(_browser):
    """A :class:`Surfer`; whatever a page complained of or asked the network for fails the test."""
    surfer = Surfer(_browser)
    yield surfer
    for context in _browser.contexts:
        context.close()
    assert surfer.complaints == []
    assert [url for url in surfer.requests if not url.startswith(("file:", "data:", "blob:"))] == []
