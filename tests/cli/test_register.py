"""learngn register: what it writes, and that the files agree with each other."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from learngn.io import read_image

ALL = ["affine.tfm", "displacement.nii.gz", "metrics.json", "report.html", "warped.nii.gz", "warped_labels.nii.gz"]


def with_truth(scans):
    return [item for role, path in scans.items() if "_" in role for item in (f"--{role.replace('_', '-')}", path)]


def test_result_folder(learngn, scans, tmp_path, fast, files_in):
    out = tmp_path / "out"
    result = learngn("register", scans["fixed"], scans["moving"], "-o", out, *with_truth(scans), *fast)
    assert result.exit_code == 0
    assert files_in(out) == ALL
    metrics = json.loads((out / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert metrics["dice_mean"] > metrics["dice_mean_before"] + 0.05
    assert metrics["tre"] < metrics["tre_before"]
    assert set(metrics["dice"]) == {"1", "2"}
    assert metrics["folds_percent"] == 0
    parts = {"read", "features", "affine", "optimise", "warp", "write"}
    assert set(metrics["seconds"]) == parts | {"total"}
    assert metrics["seconds"]["total"] == pytest.approx(sum(metrics["seconds"][part] for part in parts))
    assert set(metrics["inputs"]) == set(scans)
    assert metrics["settings"]["strides"] == [4.0, 2.0]
    assert metrics["settings"]["lam"] == [3.0, 0.3]
    assert [step["level"] for step in metrics["history"]] == sorted(step["level"] for step in metrics["history"])
    assert metrics["history"][0]["solver_status"] in ("converged", "max_iterations", "zero")
    assert str(out / "report.html") in result.stdout


def test_itk_reproduces_the_warped_scan(learngn, scans, tmp_path, fast, files_in):
    out = tmp_path / "out"
    assert learngn("register", scans["fixed"], scans["moving"], "-o", out, "--no-report", *fast).exit_code == 0
    assert "report.html" not in files_in(out)
    assert "warped_labels.nii.gz" not in files_in(out)
    fixed, moving = (sitk.ReadImage(str(scans[side]), sitk.sitkFloat32) for side in ("fixed", "moving"))
    field = sitk.ReadImage(str(out / "displacement.nii.gz"), sitk.sitkVectorFloat64)
    warped = sitk.Resample(moving, fixed, sitk.DisplacementFieldTransform(field), sitk.sitkLinear, 0.0)
    expected = sitk.GetArrayFromImage(warped).T
    got = read_image(out / "warped.nii.gz").data[0, 0].numpy()
    assert np.abs(got - expected).mean() < 1e-3 * np.ptp(expected)


def test_label_maps_are_scored_with_themselves(learngn, scans, tmp_path, fast, files_in):
    out = tmp_path / "out"
    arguments = ("-o", out, "--features", "organ-distance", "--json", *fast)
    result = learngn("register", scans["fixed_labels"], scans["moving_labels"], *arguments)
    metrics = json.loads(result.stdout)
    assert metrics == json.loads((out / "metrics.json").read_text())
    assert metrics["dice_mean"] > metrics["dice_mean_before"]
    assert metrics["affine_start"] == "none"
    assert files_in(out) == [name for name in ALL if name not in ("affine.tfm", "warped_labels.nii.gz")]
    assert read_image(out / "warped.nii.gz", labels=True).label_values == [1, 2]


def test_scores_without_labels(learngn, scans, tmp_path, fast):
    result = learngn(
        "register", scans["fixed"], scans["moving"], "-o", tmp_path / "out", "--json", "--no-report", *fast
    )
    metrics = json.loads(result.stdout)
    assert "dice" not in metrics
    assert "tre" not in metrics
    assert metrics["std_log_jacobian"] > 0


def test_names_of_labels(learngn, scans, tmp_path, fast):
    names = {"labels": {"0": "background", "1": "liver", "2": "spleen"}}
    for file, content in (("Toy_dataset.json", names), ("names.json", names["labels"])):
        (tmp_path / file).write_text(json.dumps(content))
        options = ("-o", tmp_path / "out", "--label-names", tmp_path / file, *with_truth(scans), *fast)
        assert learngn("register", scans["fixed"], scans["moving"], *options).exit_code == 0
        metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
        assert metrics["label_names"] == {"1": "liver", "2": "spleen"}
        assert "spleen" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("content", ["{", "[]", '{"liver": "1"}', '{"labels": []}', None])
def test_names_that_are_none(content, learngn, scans, tmp_path, fast):
    path = tmp_path / "names.json"
    if content is not None:
        path.write_text(content)
    arguments = (scans["fixed"], scans["moving"], "-o", tmp_path / "out", "--label-names", path)
    result = learngn("register", *arguments, *fast)
    assert result.exit_code == 2
    assert str(path) in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_quiet(learngn, scans, tmp_path, fast):
    arguments = ("-o", tmp_path / "out", "-q", "--no-affine", "--no-report", *fast)
    result = learngn("register", scans["fixed"], scans["moving"], *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_files_of_an_older_result_do_not_stay(learngn, scans, tmp_path, fast, files_in):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("affine.tfm", "report.html", "notes.txt"):
        (out / name).write_text("old")
    arguments = ("-o", out, "--no-affine", "--no-report", *fast)
    assert learngn("register", scans["fixed"], scans["moving"], *arguments).exit_code == 0
    assert files_in(out) == ["displacement.nii.gz", "metrics.json", "notes.txt", "warped.nii.gz"]


def test_iterations_follow_the_strides(learngn, scans, tmp_path):
    arguments = ("-o", tmp_path / "out", "--no-affine", "--no-report", "--json", "--strides", "4", "--lambda", "2")
    metrics = json.loads(learngn("register", scans["fixed"], scans["moving"], *arguments).stdout)
    assert metrics["settings"]["lam"] == [2.0, 2.0]
    assert len(metrics["settings"]["iterations"]) == 1


def test_the_same_bytes_twice(learngn, scans, tmp_path, fast):
    for name in ("a", "b"):
        learngn("register", scans["fixed"], scans["moving"], "-o", tmp_path / name, "--no-report", *fast)
    for name in ("warped.nii.gz", "displacement.nii.gz", "affine.tfm"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "name"),
    [((), "affine"), (("--affine", "rigid"), "rigid"), (("--affine", "none"), "none"), (("--no-affine",), "none")],
)
def test_linear_maps(learngn, scans, tmp_path, fast, options, name):
    arguments = ("-o", tmp_path / "out", "--no-report", "--json", *fast, *options)
    metrics = json.loads(learngn("register", scans["fixed"], scans["moving"], *arguments).stdout)
    assert metrics["settings"]["affine"] == name
    assert (tmp_path / "out" / "affine.tfm").exists() == (name != "none")


@pytest.mark.parametrize("options", [("--affine", "projective"), ("--affine", "rigid", "--no-affine")])
def test_linear_maps_that_are_none(learngn, scans, tmp_path, options):
    result = learngn("register", scans["fixed"], scans["moving"], "-o", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert "affine" in result.stderr
