"""learngn register: what it writes, and that the files agree with each other."""

import json

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from learngn.geometry.background import background_of
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import read_image

ALL = [
    "affine.tfm",
    "displacement.nii.gz",
    "learngn.log",
    "metrics.json",
    "report.html",
    "warped.nii.gz",
    "warped_labels.nii.gz",
]


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
    parts = {"read", "features", "affine", "quality", "optimise", "warp", "write"}
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
    got = read_image(out / "warped.nii.gz").data[0, 0]
    assert np.abs(got - expected).mean() < 1e-3 * np.ptp(expected)


def test_integers_stay_integers_and_displacements_are_rounded(learngn, scans, tmp_path, fast):
    for side in ("fixed", "moving"):
        scan = read_image(scans[side])
        Image(np.rint(np.asarray(scan.data)), scan.grid, stored="int16").save(scans[side])
    out, again = tmp_path / "out", tmp_path / "again.nii.gz"
    assert learngn("register", scans["fixed"], scans["moving"], "-o", out, "--no-report", *fast).exit_code == 0
    field = out / "displacement.nii.gz"
    assert learngn("apply", scans["moving"], "-t", field, "-r", scans["fixed"], "-o", again).exit_code == 0
    assert nibabel.load(out / "warped.nii.gz").get_data_dtype() == nibabel.load(again).get_data_dtype() == np.int16
    steps = 128 * np.asarray(nibabel.load(field).dataobj)
    assert steps.any()
    np.testing.assert_array_equal(steps, np.rint(steps))


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
    assert files_in(out) == ["displacement.nii.gz", "learngn.log", "metrics.json", "notes.txt", "warped.nii.gz"]


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


def test_what_lies_outside_the_moving_scan(learngn, scans, tmp_path, fast):
    """By default the scan's own background; another value on request, by whole voxels with nearest neighbours."""
    moving = read_image(scans["moving"])
    shifted = tmp_path / "shifted.nii.gz"
    part = Image(moving.data[:, :, 4:], moving.grid.part((4, 0, 0), (moving.grid.shape[0] - 4, *moving.grid.shape[1:])))
    part.save(shifted)
    values = {}
    for name, options in {"default": (), "given": ("--background", "-77", "--interpolation", "nearest")}.items():
        out = tmp_path / name
        arguments = ("register", scans["fixed"], shifted, "-o", out, "--no-report", "--no-affine", *fast, *options)
        assert learngn(*arguments).exit_code == 0
        values[name] = read_image(out / "warped.nii.gz").data
    outside = values["given"] == -77
    assert bool(outside.any())
    assert float(values["default"][outside].max()) == pytest.approx(background_of(part), abs=1e-3)
    inside = values["given"][~outside]
    assert set(np.unique(inside)) <= set(np.unique(part.data))


def test_label_maps_are_recognised(learngn, scans, tmp_path):
    result = learngn("register", scans["fixed_labels"], scans["moving_labels"], "-o", tmp_path / "out", "--no-report")
    assert "preset label-maps: 2 and 2 labels" in result.stdout
    assert "Dice" in result.stdout
    assert "finest level 4 x 4 x 3" in result.stdout
    assert read_image(tmp_path / "out" / "warped.nii.gz", labels=True).label_values == [1, 2]


def test_header_warnings_are_kept(learngn, scans, tmp_path, fast):
    """Printed once, and with the other warnings in metrics.json."""
    image = nibabel.load(scans["fixed"])
    sform = image.affine.copy()
    sform[0, 3] += 5
    image.set_sform(sform, 2)
    nibabel.save(image, tmp_path / "odd.nii.gz")
    out = tmp_path / "out"
    result = learngn("register", tmp_path / "odd.nii.gz", scans["moving"], "-o", out, "--no-report", *fast)
    said = [line for line in result.stderr.splitlines() if "the sform" in line]
    assert len(said) == 1
    assert said[0].removeprefix("warning: ") in json.loads((out / "metrics.json").read_text())["warnings"]


def test_volume_of_one_slice(learngn, tmp_path, files_in):
    """Written in a format that every program reads as a volume, and readable again."""
    grid = Grid.from_spacing((40, 36, 1), (2.0, 2.0, 5.0))
    for name, shift in (("fixed", 0.0), ("moving", 2.0)):
        x = np.indices(grid.shape) - np.reshape([19.5 + shift, 17.5, 0], (3, 1, 1, 1))
        Image.from_array((100 * np.exp(-(x**2).sum(0) / 60)).astype(np.float32), grid).save(tmp_path / f"{name}.nii.gz")
    out = tmp_path / "out"
    arguments = (
        "register",
        tmp_path / "fixed.nii.gz",
        tmp_path / "moving.nii.gz",
        "-o",
        out,
        "--features",
        "intensity",
    )
    assert learngn(*arguments).exit_code == 0
    assert "displacement.mha" in files_in(out)
    assert "displacement.nii.gz" not in files_in(out)
    field = sitk.ReadImage(str(out / "displacement.mha"))
    assert field.GetSize() == grid.shape
    again = ("apply", tmp_path / "moving.nii.gz", "-t", out / "displacement.mha", "-r", tmp_path / "fixed.nii.gz")
    assert learngn(*again, "-o", tmp_path / "again.nii.gz").exit_code == 0
    ours, theirs = (read_image(path).data for path in (out / "warped.nii.gz", tmp_path / "again.nii.gz"))
    assert np.abs(ours - theirs).max() < 0.01


@pytest.mark.parametrize(
    ("features", "warned"), [("vesselness", True), ("corners,edges:2", True), ("mind,edges", False)]
)
def test_features_that_need_others(features, warned, learngn, scans, tmp_path, fast):
    arguments = ("register", scans["fixed"], scans["moving"], "-o", tmp_path / "out", "--no-report", *fast)
    result = learngn(*arguments, "--features", features)
    assert result.exit_code == 0
    assert (f"warning: {features} alone has too little information" in result.stderr) == warned


def test_uncertainty(learngn, scans, tmp_path, fast, files_in):
    """Files, metrics and page; the displacement is that of a registration without it."""
    out, plain = tmp_path / "out", tmp_path / "plain"
    result = learngn("register", scans["fixed"], scans["moving"], "-o", out, *with_truth(scans), *fast, "--uncertainty")
    assert result.exit_code == 0
    assert "uncertain by" in result.stdout
    assert files_in(out) == sorted([*ALL, "uncertainty.nii.gz", "uncertainty_axis.nii.gz", "uncertainty_draws.nii.gz"])
    metrics = json.loads((out / "metrics.json").read_text(), parse_constant=pytest.fail)
    found = metrics["uncertainty"]
    assert 0 < found["median"] < found["p95"]
    assert set(found["labels"]) == {"1", "2"}
    assert set(found["labels"]["1"]) == {"deviation", "across", "dice_loss"}
    deviation, fixed = nibabel.load(out / "uncertainty.nii.gz"), nibabel.load(scans["fixed"])
    np.testing.assert_allclose(deviation.affine, fixed.affine, atol=1e-5)
    assert deviation.shape == fixed.shape
    assert np.median(deviation.get_fdata()) == pytest.approx(found["median"], rel=1e-3)
    # The axis is a vector image for ITK, nowhere longer than the deviation, of which it is the largest part.
    axis = sitk.ReadImage(str(out / "uncertainty_axis.nii.gz"))
    assert axis.GetNumberOfComponentsPerPixel() == 3
    length = np.linalg.norm(sitk.GetArrayFromImage(axis), axis=-1)
    assert 0.5 * found["median"] < np.median(length) < found["median"]
    page = (out / "report.html").read_text()
    assert "Uncertainty by label" in page
    assert '"uncertainty": {' in page or '"uncertainty":{' in page
    assert learngn("register", scans["fixed"], scans["moving"], "-o", plain, *fast, "--no-report").exit_code == 0
    assert (plain / "displacement.nii.gz").read_bytes() == (out / "displacement.nii.gz").read_bytes()
    # A later result without it removes the files.
    assert learngn("register", scans["fixed"], scans["moving"], "-o", out, *fast, "--no-report").exit_code == 0
    assert "uncertainty.nii.gz" not in files_in(out)
