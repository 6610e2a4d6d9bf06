"""The mean shape: exact for known transforms, found again from shifted copies of a phantom."""

import json

import numpy as np
import pytest

from learngn.atlas import average_in_mean_shape, build_template
from learngn.errors import DatasetError, FeatureError, SettingsError
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, DisplacementField
from learngn.io import Subject, read_image
from learngn.phantom import abdomen
from learngn.registration import Request
from learngn.settings import Settings

SHIFTS = np.array([[0.0, 0.0], [12.0, 4.0], [6.0, -10.0]])  # [mm]
SETTINGS = Settings("intensity", affine=True, strides=(8, 4, 2), iterations=(8, 8, 8), lam=(0.3, 0.03))


def moved(image, shift):
    """The image with its content moved by a shift [mm]."""
    matrix = np.eye(3)
    matrix[:-1, -1] = -np.asarray(shift)
    return Affine(matrix).warp(image, image.grid, background="border")


def rms(image):
    return float(np.sqrt((image.data**2).mean()))


@pytest.fixture(scope="module")
def phantom():
    return abdomen((96, 80), seed=0).scan


@pytest.fixture
def subjects(phantom, tmp_path):
    """Copies that lie at SHIFTS."""
    found = []
    for number, shift in enumerate(SHIFTS, start=1):
        path = tmp_path / f"Toy_{number:04d}_0000.nii.gz"
        moved(phantom, shift).save(path)
        found.append(Subject(path))
    return found


def test_mean_of_known_shifts(phantom):
    """Whatever the space from which the transforms lead: the mean of the shifts."""
    scans = [moved(phantom, shift) for shift in SHIFTS]
    for start in ([0.0, 0.0], [-7.0, 5.0]):
        matrices = [np.eye(3) for _ in SHIFTS]
        for matrix, shift in zip(matrices, SHIFTS, strict=True):
            matrix[:-1, -1] = shift - start
        found, distance, spread = average_in_mean_shape(scans, [Affine(m) for m in matrices], phantom.grid)
        assert distance == pytest.approx(np.linalg.norm(SHIFTS.mean(0) - start), rel=1e-3)
        assert spread == pytest.approx(np.sqrt(((SHIFTS - SHIFTS.mean(0)) ** 2).sum(1).mean()), rel=1e-3)
        expected = moved(phantom, SHIFTS.mean(0))
        inner = (..., slice(10, -10), slice(10, -10))
        assert np.abs(found.data - expected.data)[inner].mean() < 0.15 * float(phantom.data.std())


def test_mean_of_curved_displacements(rng):
    """The mean displacement of the result is zero: T_i ∘ M⁻¹ averages to the identity."""
    grid = Grid.from_spacing((40, 36), 1.5)
    axes = np.meshgrid(*[(np.arange(n) + 0.5) / n for n in grid.shape], indexing="ij")
    bump = (np.sin(np.pi * axes[0]) * np.sin(np.pi * axes[1])) ** 2
    fields = [np.float32([a * bump, b * bump])[None] for a, b in ((3, 1), (-1, 2), (2, -2))]
    ramp = Image(np.float32(axes[0][None, None] * 40), grid)  # its values tell where they come from
    found, distance, _ = average_in_mean_shape([ramp] * 3, [DisplacementField(f, grid) for f in fields], grid)
    assert distance > 0.5
    assert np.abs(found.data - ramp.data)[..., 2:-2, :].max() < 0.02


def test_template_of_shifted_copies(phantom, subjects, tmp_path):
    seen = []
    found = build_template(subjects, tmp_path / "out", Request(settings=SETTINGS), after=seen.append)
    assert seen == found
    assert [entry.subjects for entry in found] == [3, 3, 3]
    # From the first copy to the mean; then it stays.
    assert found[0].moved == pytest.approx(np.linalg.norm(SHIFTS.mean(0)), rel=0.2)
    assert found[2].moved < 0.2 * found[0].moved
    assert found[2].changed < 0.2 * found[0].changed
    template = read_image(tmp_path / "out" / "template.nii.gz")
    distances = [rms(Image(template.data - moved(phantom, s).data, phantom.grid)) for s in (SHIFTS.mean(0), *SHIFTS)]
    assert distances[0] < 0.4 * min(distances[1:])
    report = json.loads((tmp_path / "out" / "template.json").read_text())
    assert report["rounds"][0]["moved"] == found[0].moved
    assert report["subjects"] == [subject.image.name for subject in subjects]


def test_template_goes_on(subjects, tmp_path):
    fast = Settings("intensity", affine=False, strides=(8,), iterations=(3,), lam=(0.3, 0.3))
    first = build_template(subjects, tmp_path / "out", Request(settings=fast), rounds=1)
    fields = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "rounds" / "1").glob("disp_*")}
    assert len(fields) == 3
    assert build_template(subjects, tmp_path / "out", Request(settings=fast), rounds=2)[0] == first[0]
    assert {path: path.stat().st_mtime_ns for path in fields} == fields
    with pytest.raises(SettingsError, match="3 other subjects"):
        build_template(subjects[:2], tmp_path / "out", Request(settings=fast))


def test_what_cannot_be_averaged(subjects, tmp_path):
    with pytest.raises(DatasetError, match="1 subjects"):
        build_template(subjects[:1], tmp_path / "out", Request(settings=SETTINGS))
    with pytest.raises(FeatureError, match="features of scans"):
        build_template(subjects, tmp_path / "out", Request(settings=Settings("distance", affine=False)))
    assert not (tmp_path / "out").exists()
