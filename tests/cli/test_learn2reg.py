"""learngn submission, and several methods side by side in learngn evaluate."""

import csv
import json
import zipfile

import pytest


@pytest.fixture
def methods(learngn, dataset, tmp_path, fast):
    """Folders of two methods' fields."""
    folders = {"quick": tmp_path / "quick", "none": tmp_path / "none"}
    assert learngn("cohort", dataset, "-o", folders["quick"], *fast, "-q").exit_code == 0
    slow = ("--strides", "8", "--iterations", "1", "--lambda", "1000", "--no-affine", "--threads", "1", "-q")
    assert learngn("cohort", dataset, "-o", folders["none"], *slow).exit_code == 0
    return folders


@pytest.mark.slow
def test_submission(learngn, dataset, methods, tmp_path):
    path = tmp_path / "submission.zip"
    result = learngn("submission", methods["quick"], dataset, "-o", path)
    assert result.exit_code == 0
    assert result.stdout.startswith("3 fields, ")
    names = [f"disp_{pair}.nii.gz" for pair in ("0001_0002", "0001_0003", "0002_0003")]
    assert zipfile.ZipFile(path).namelist() == names
    half = learngn(
        "submission", methods["quick"], dataset, "-o", path, "--format", "npz", "--float16", "--folder", "t", "--json"
    )
    assert json.loads(half.stdout)["files"] == [f"t/{name.removesuffix('.nii.gz')}.npz" for name in names]

    (methods["quick"] / names[1]).unlink()
    incomplete = learngn("submission", methods["quick"], dataset, "-o", tmp_path / "b.zip")
    assert incomplete.exit_code == 2
    assert incomplete.stderr.count("\n") == 1
    assert "none for 1 of 3 pairs, the first of them disp_0001_0003.nii.gz" in incomplete.stderr
    assert not (tmp_path / "b.zip").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--float16",), "float16 in .npz alone"),
        (("--pairs", "test"), "no pair of 'test'"),
        (("--folder", "../up"), "folder of the submission"),
    ],
)
def test_submissions_that_are_refused(learngn, dataset, tmp_path, arguments, told):
    result = learngn("submission", tmp_path, dataset, "-o", tmp_path / "a.zip", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("evaluate", "{data}", "--fields", "{folder}", "--plot", "a.png"), ("benchmark", "paper", "{data}", "-o", "p")],
)
def test_pictures_without_matplotlib(learngn, dataset, tmp_path, monkeypatch, arguments):
    """Told before anything is computed, in one line that names the command."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("learngn.errors.find_spec", lambda name: None if name == "matplotlib" else name)
    result = learngn(*(argument.format(data=dataset, folder=tmp_path) for argument in arguments))
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"error: learngn {arguments[0]} ")
    assert "no package matplotlib, expected the extra [plot]; run: pip install 'learngn[plot]'" in result.stderr
    assert not (tmp_path / "p").exists()


@pytest.mark.slow
def test_methods_side_by_side(learngn, dataset, methods, tmp_path):
    out, picture = tmp_path / "scores", tmp_path / "methods.svg"
    fields = ("--fields", f"start={methods['none']}", "--fields", methods["quick"])
    result = learngn("evaluate", dataset, *fields, "-o", out, "--plot", picture)
    assert result.exit_code == 0
    assert "Ranking as in Learn2Reg (rank-sum test)" in result.stdout
    assert "Dice30" in result.stdout
    found = json.loads((out / "scores.json").read_text())
    assert list(found["methods"]) == ["start", "quick"]
    assert found["compared_with"] == "start"
    assert found["differences"]["quick"]["dice_mean"]["mean"] > 0
    assert {entry["name"] for entry in found["ranking"]["methods"]} == {"start", "quick"}
    rows = list(csv.DictReader((out / "scores.csv").read_text().splitlines()))
    assert [row["method"] for row in rows] == ["start"] * 3 + ["quick"] * 3
    assert float(rows[3]["dice_mean"]) > float(rows[0]["dice_mean"])
    assert picture.read_text().startswith("<?xml")
    signed = learngn("evaluate", dataset, *fields, "--test", "signed-rank", "--json", "--pairs", "val")
    assert json.loads(signed.stdout)["ranking"]["test"] == "signed-rank"


@pytest.mark.slow
def test_a_method_that_failed_in_a_pair(learngn, dataset, methods):
    (methods["quick"] / "disp_0001_0003.nii.gz").unlink()
    result = learngn("evaluate", dataset, "--fields", methods["none"], "--fields", methods["quick"])
    assert result.exit_code == 2
    assert "Ranking" in result.stdout
    assert "1 of 3 pairs failed" in result.stderr


@pytest.mark.slow
def test_names_of_methods(learngn, dataset, methods):
    twice = learngn("evaluate", dataset, "--fields", methods["none"], "--fields", methods["none"])
    assert twice.exit_code == 2
    assert "write --fields NAME=DIR" in twice.stderr
    missing = learngn("evaluate", dataset, "--fields", "a=nowhere")
    assert missing.exit_code == 2
    assert "folder nowhere" in missing.stderr
