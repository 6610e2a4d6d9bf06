"""A phantom as a planning system exports it: CT, structures and dose in a DICOM folder."""

import copy

import numpy as np
import pytest

from learngn.io import read_image, read_study
from learngn.phantom import Phantom, abdomen, write_plan

pytest.importorskip("pydicomrt", reason="needs the extra [dicom]")
pytest.importorskip("shapely", reason="needs the extra [dicom]")

SHAPE = (40, 34, 24)
ORGANS = {1: "liver", 2: "right_kidney", 5: "aorta", 99: "never_drawn"}


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    return abdomen(SHAPE, seed=1)


@pytest.fixture(scope="session")
def plan(phantom, tmp_path_factory):
    """Folder of a plan; whoever changes it works on a copy."""
    return write_plan(phantom, tmp_path_factory.mktemp("study") / "planning", organs=ORGANS, target=1)


@pytest.fixture(scope="session")
def study(plan):
    return read_study(plan)


@pytest.fixture(scope="session")
def scan(plan):
    return read_image(plan)


@pytest.fixture
def turned_headers(study):
    """Function: the headers of a scan whose axes are those of a matrix, about the same origin [LPS]."""

    def made(direction: np.ndarray) -> list:
        first = np.array(study.headers[0].ImagePositionPatient, dtype=float)
        spacing = np.linalg.norm(np.array(study.headers[1].ImagePositionPatient, dtype=float) - first)
        headers = []
        for n, header in enumerate(study.headers):
            other = copy.deepcopy(header)
            other.ImageOrientationPatient = [float(f"{x:.9g}") for x in direction[:, :2].T.ravel()]
            other.ImagePositionPatient = [float(f"{x:.9g}") for x in first + n * spacing * direction[:, 2]]
            headers.append(other)
        return headers

    return made
