"""Fixtures and skips shared by all tests; LEARNGN_TEST_DATA names the folder of real scans, if there is one."""

import os
from pathlib import Path

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
