"""learngn radiotherapy, and apply and convert of DICOM: from the folders of a plan and a new scan to DICOM objects."""

import csv
import json
import shutil

import numpy as np
import pytest

from learngn import Affine
from learngn.io import read_dose, read_grid, read_image, read_structures, read_study, read_transform, write_transform
from learngn.phantom import abdomen, write_plan

pytest.importorskip("pydicomrt", reason="needs the extra [dicom]")
pytest.importorskip("shapely", reason="needs the extra [dicom]")

SHAPE = (36, 30, 20)
ORGANS = {2: "right_kidney", 5: "aorta"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A plan, and a new scan of the same patient without one."""
    root = tmp_path_factory.mktemp("patient")
    write_plan(abdomen(SHAPE, seed=1, variation=0.3), root / "planning", organs=ORGANS, target=2)
    write_plan(abdomen(SHAPE, seed=2, variation=0.3), root / "today", organs=ORGANS, target=2)
    for name in ("RS.dcm", "RD.dcm"):
        (root / "today" / name).unlink()
    return root / "today", root / "planning"


@pytest.mark.slow
def test_a_plan_is_carried(folders, learngn, fast, tmp_path):
    today, planning = folders
    out = tmp_path / "out"
    result = learngn("radiotherapy", today, planning, "-o", out, "--dose-level", 10, "--dose-level", 30, *fast)
    assert result.exit_code == 0, result.stderr
    assert "right_kidney: " in result.stdout
    assert "cm³" in result.stdout
    fixed, moving = read_study(today), read_study(planning)
    structures = read_structures(out / "structures.dcm", fixed.frame)
    assert [(s.number, s.name) for s in structures.structures] == [(2, "right_kidney"), (5, "aorta")]
    assert structures.label == "PLAN"
    dose = read_dose(out / "dose.dcm", fixed.frame)
    assert 40 < float(dose.image.data.max()) <= 50
    # All that is written is one map: the displacement, the registration in DICOM, contours and dose.
    grid = read_grid(today)
    registration, displacement = read_transform(out / "registration.dcm"), read_transform(out / "displacement.nii.gz")
    points = grid.index_to_world(np.random.default_rng(0).uniform(1, np.array(grid.shape) - 2, (50, 3)))
    np.testing.assert_allclose(registration.map_points(points), displacement.map_points(points), atol=0.1)
    metrics = json.loads((out / "metrics.json").read_text())
    plan = metrics["radiotherapy"]
    assert plan["dose"]["mapping"] == "direct"
    assert plan["dose"]["energy_joule"]["planned"] == pytest.approx(plan["dose"]["energy_joule"]["carried"], rel=0.2)
    for entry in plan["structures"]:
        before, after = entry["planned"], entry["carried"]
        assert {"volume_cm3", "mean", "max", "d95", "d2", "v10", "v30"} <= set(before) == set(after)
        assert after["mean"] == pytest.approx(before["mean"], rel=0.15)
    with (out / "dose_volume.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["structure"], row["which"]) for row in rows] == [
        ("right_kidney", "planned"), ("right_kidney", "carried"), ("aorta", "planned"), ("aorta", "carried"),
    ]  # fmt: skip
    assert float(rows[0]["mean"]) == plan["structures"][0]["planned"]["mean"]
    page = (out / "report.html").read_text()
    assert "Dose and volume" in page
    assert "right_kidney" in page
    assert moving.frame != fixed.frame
    result = learngn(
        "radiotherapy", today, planning, "-o", out, "--dose-mapping", "energy", "--dose-grid", "scan", *fast
    )
    assert result.exit_code == 0, result.stderr
    assert read_dose(out / "dose.dcm").image.grid.same_space(grid)
    energy = json.loads((out / "metrics.json").read_text())["radiotherapy"]["dose"]["energy_joule"]
    assert energy["carried"] == pytest.approx(energy["planned"], rel=0.05)


def test_transforms_are_applied_to_a_plan(folders, learngn, tmp_path):
    today, planning = folders
    shift = np.eye(4)
    shift[:3, 3] = [4.0, -6.0, 5.0]
    write_transform(Affine(shift), tmp_path / "shift.tfm")
    fixed, moving = read_study(today), read_study(planning)
    result = learngn("apply", planning / "RD.dcm", "-t", tmp_path / "shift.tfm", "-r", today, "-o", tmp_path / "rd.dcm")
    assert result.exit_code == 0, result.stderr
    before, after = read_dose(planning / "RD.dcm").image, read_dose(tmp_path / "rd.dcm", fixed.frame).image
    peaks = [
        image.grid.index_to_world(np.unravel_index(image.data.argmax(), image.grid.shape)) for image in (before, after)
    ]
    np.testing.assert_allclose(peaks[0] - peaks[1], shift[:3, 3], atol=3)
    result = learngn(
        "apply",
        planning / "RS.dcm",
        "-t",
        tmp_path / "shift.tfm",
        "-r",
        today,
        "-m",
        planning,
        "-o",
        tmp_path / "rs.dcm",
    )
    assert result.exit_code == 0, result.stderr
    kidneys = [
        np.concatenate(read_structures(path, study.frame).structures[0].regions)
        for path, study in ((planning / "RS.dcm", moving), (tmp_path / "rs.dcm", fixed))
    ]
    low, high = (np.array([kidney.min(0)[:2], kidney.max(0)[:2]]) for kidney in kidneys)
    np.testing.assert_allclose(low - high, [shift[:2, 3], shift[:2, 3]], atol=1.0)
    result = learngn("apply", planning / "RD.dcm", "--identity", "-r", planning, "-o", tmp_path / "dose.nii.gz")
    assert result.exit_code == 0, result.stderr
    image = read_image(tmp_path / "dose.nii.gz")
    assert image.grid.same_space(read_grid(planning))
    assert float(image.data.max()) == pytest.approx(50, abs=2)


def test_registrations_are_converted(folders, learngn, tmp_path):
    today, planning = folders
    turn = np.array([[0.8, -0.6, 0, 4], [0.6, 0.8, 0, 5], [0, 0, 1, 6], [0, 0, 0, 1]])
    write_transform(Affine(turn), tmp_path / "turn.tfm")
    result = learngn("convert", tmp_path / "turn.tfm", tmp_path / "reg.dcm", "-r", today, "--moving", planning)
    assert result.exit_code == 0, result.stderr
    assert learngn("convert", tmp_path / "reg.dcm", tmp_path / "back.tfm").exit_code == 0
    np.testing.assert_allclose(read_transform(tmp_path / "back.tfm").matrix, turn, atol=1e-6)
    result = learngn("convert", tmp_path / "turn.tfm", tmp_path / "reg.dcm")
    assert result.exit_code == 2
    assert "name them: --reference FIXED_DIR --moving MOVING_DIR" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{planning}", "{today}", "-o", "{out}"), "neither structures (RTSTRUCT) nor dose (RTDOSE)"),
        (("{today}", "{planning}", "-o", "{planning}/out"), "expected one beside the scans"),
        (("{today}", "{planning}/RS.dcm", "-o", "{out}"), "expected the folder of a scan"),
        (("{today}", "{planning}", "-o", "{out}", "--dose", "{planning}/RS.dcm"), "expected a DICOM dose"),
        (("{today}", "{planning}", "-o", "{out}", "--structures", "none.dcm"), "no such file"),
        (("{today}", "{planning}", "-o", "{out}", "--dose-level", "20", "--dose-level", "20"), "a dose twice"),
        (("{today}", "{two}", "-o", "{out}"), "2 structure sets: RS.dcm, copy.dcm"),
    ],
)
def test_bad_input(arguments, message, folders, learngn, tmp_path):
    today, planning = folders
    names = {"today": today, "planning": planning, "out": tmp_path / "out", "two": tmp_path / "two"}
    if "{two}" in arguments:
        shutil.copytree(planning, names["two"])
        shutil.copy(planning / "RS.dcm", names["two"] / "copy.dcm")
    result = learngn("radiotherapy", *(text.format(**names) for text in arguments))
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not names["out"].exists()
