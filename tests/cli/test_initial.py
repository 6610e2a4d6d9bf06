"""--initial-transform and BIDS: a start from files, and results with the names of BIDS."""

import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine
from learngn.io import read_image, read_transform, write_transform

SHIFT = np.eye(4)
SHIFT[:3, 3] = 2.0, 1.5, 2.0


@pytest.fixture
def apart(scans, tmp_path):
    """The moving scan in a world 400 mm away, and files of the transform that leads there."""
    far = np.eye(4)
    far[:3, 3] = 400, -250, 100
    for role in ("moving", "moving_labels"):
        image = read_image(scans[role], labels="labels" in role)
        Image(image.data, Grid(image.grid.shape, far @ image.grid.affine), image.labels, stored=image.stored).save(
            scans[role]
        )
    write_transform(Affine(far), tmp_path / "far.tfm")
    np.savetxt(tmp_path / "far.mat", far)
    return far


def metrics_in(folder):
    return json.loads((folder / "metrics.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("given", ["far.tfm", "greedy:far.mat"])
def test_register_from_a_linear_map(given, learngn, scans, apart, tmp_path, fast, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = "--fixed-labels", scans["fixed_labels"], "--moving-labels", scans["moving_labels"]
    result = learngn(
        "register", scans["fixed"], scans["moving"], "-o", "out", "--initial-transform", given, "--affine", "none",
        *labels, *fast,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "started from the initial transform, a linear map, kept as it is" in result.stdout
    metrics = metrics_in(tmp_path / "out")
    assert metrics["initial_transform"]["kind"] == "linear"
    np.testing.assert_allclose(metrics["initial_transform"]["matrix_ras"], apart, atol=1e-6)
    assert metrics["inputs"]["initial_transform"]["path"] == str(tmp_path / given.rpartition(":")[2])
    assert metrics["dice_mean_before"] == 0
    assert metrics["dice_mean"] > 0.7
    np.testing.assert_allclose(read_transform(tmp_path / "out" / "affine.tfm").matrix, apart, atol=1e-6)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Started from the initial transform, a linear map, kept as it is." in page
    assert "initial position" in page
    fixed, moving = (sitk.ReadImage(str(scans[side]), sitk.sitkFloat32) for side in ("fixed", "moving"))
    field = sitk.ReadImage("out/displacement.nii.gz", sitk.sitkVectorFloat64)
    warped = sitk.Resample(moving, fixed, sitk.DisplacementFieldTransform(field), sitk.sitkLinear, 0.0)
    got = read_image(tmp_path / "out" / "warped.nii.gz").data[0, 0]
    assert np.abs(sitk.GetArrayFromImage(warped).T - got)[2:-2, 2:-2, 2:-2].max() < 2


def test_register_from_an_earlier_result(learngn, scans, apart, tmp_path, fast):
    first = ("--initial-transform", tmp_path / "far.tfm", "--affine", "none", "--diffeomorphic", "--no-report")
    assert learngn("register", scans["fixed"], scans["moving"], "-o", tmp_path / "a", *first, *fast).exit_code == 0
    again = ("--initial-transform", tmp_path / "a" / "displacement.nii.gz", "--diffeomorphic", "--no-report")
    none = (*fast[:3], "0,0", *fast[4:])
    result = learngn("register", scans["fixed"], scans["moving"], "-o", tmp_path / "b", *again, *none)
    assert result.exit_code == 0, result.stderr
    metrics = metrics_in(tmp_path / "b")
    assert metrics["initial_transform"]["kind"] == "displacement"
    assert metrics["settings"]["affine"] == "none"
    assert metrics["inverse_error"] < 0.2
    points = np.random.default_rng(0).uniform(-15, 15, (50, 3))
    one, other = (read_transform(tmp_path / name / "displacement.nii.gz") for name in "ab")
    assert np.abs(one.map_points(points) - other.map_points(points)).max() < 0.5
    back = read_transform(tmp_path / "b" / "inverse_displacement.nii.gz")
    assert np.abs(back.map_points(other.map_points(points)) - points).mean() < 0.3


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_text("hello"), "cannot read"),
        (lambda path: None, "no such file"),
        (lambda path: write_transform(Affine(np.eye(3)), path), "a 2D one, expected a 3D one"),
    ],
)
def test_bad_initial_transforms(write, message, learngn, scans, tmp_path, fast):
    path = tmp_path / "bad.tfm"
    write(path)
    out = tmp_path / "out"
    result = learngn("register", scans["fixed"], scans["moving"], "-o", out, "--initial-transform", path, *fast)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not out.exists()


def test_transform_in_the_wrong_direction(learngn, scans, apart, tmp_path, fast):
    inverse = tmp_path / "inverse.tfm"
    assert learngn("convert", tmp_path / "far.tfm", inverse, "--inverse").exit_code == 0
    np.testing.assert_allclose(read_transform(inverse).matrix, np.linalg.inv(apart), atol=1e-9)
    result = learngn(
        "register", scans["fixed"], scans["moving"], "-o", tmp_path / "out", "--initial-transform", inverse, *fast
    )
    assert result.exit_code == 2
    assert "out of each other's view" in result.stderr
    assert "learngn convert --inverse" in result.stderr


def test_a_column_of_initial_transforms(learngn, scans, apart, tmp_path, fast):
    table = tmp_path / "pairs.csv"
    table.write_text("fixed,moving,initial_transform\nfixed.nii.gz,moving.nii.gz,greedy:far.mat\n")
    run = ("cohort", table, "-o", tmp_path / "out", "--affine", "none", "--no-report", *fast)
    assert learngn(*run).exit_code == 0
    record = json.loads((tmp_path / "out" / "results.jsonl").read_text())
    assert record["initial_transform"]["kind"] == "linear"
    assert "far.mat greedy" in record["asked"]["initial_transform"]
    assert record["fit"]["after"]["patterns"] > 0.3
    assert learngn(*run).exit_code == 0  # what is done is kept
    other = apart.copy()
    other[0, 3] += 1
    np.savetxt(tmp_path / "far.mat", other)
    result = learngn(*run)
    assert result.exit_code == 2
    assert "initial_transform" in result.stderr
    table.write_text("fixed,moving,initial_transform\nfixed.nii.gz,moving.nii.gz,gone.tfm\n")
    result = learngn("cohort", table, "-o", tmp_path / "other", *fast)
    assert result.exit_code == 2
    assert "line 2: got no file" in result.stderr


@pytest.fixture
def bids(scans, tmp_path):
    """A data set in BIDS with one subject and two sessions."""
    root = tmp_path / "raw"
    for side, session in (("fixed", "01"), ("moving", "02")):
        folder = root / "sub-01" / f"ses-{session}" / "anat"
        folder.mkdir(parents=True)
        shutil.copy(scans[side], folder / f"sub-01_ses-{session}_T1w.nii.gz")
        shutil.copy(scans[f"{side}_labels"], folder / f"sub-01_ses-{session}_dseg.nii.gz")
    (root / "dataset_description.json").write_text('{"Name": "Toy", "BIDSVersion": "1.10.0"}')
    return root


XFM = "sub-01_from-ses02T1w_to-ses01T1w_mode-image_xfm"
BACK = "sub-01_from-ses01T1w_to-ses02T1w_mode-image_xfm"
WARPED = "sub-01_ses-02_space-ses01T1w_T1w"
LABELS = "sub-01_ses-02_space-ses01T1w_dseg"


def check_derivatives(root, raw, formats=("h5",)):
    description = json.loads((root / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "LearnGN"
    assert description["DatasetLinks"] == {"raw": raw.resolve().as_uri()}
    anat = root / "sub-01" / "anat"
    for kind in formats:
        assert (anat / f"{XFM}.{kind}").is_file()
    car = json.loads((anat / f"{XFM}.json").read_text())
    assert car["Sources"] == [
        "bids:raw:sub-01/ses-02/anat/sub-01_ses-02_T1w.nii.gz",
        "bids:raw:sub-01/ses-01/anat/sub-01_ses-01_T1w.nii.gz",
    ]
    assert car["SpatialReference"] == car["Sources"][1]
    assert (car["FromSpace"], car["ToSpace"]) == ("ses02T1w", "ses01T1w")
    later = root / "sub-01" / "ses-02" / "anat"
    assert json.loads((later / f"{WARPED}.json").read_text())["SpatialReference"] == car["SpatialReference"]
    moving = read_image(raw / "sub-01" / "ses-02" / "anat" / "sub-01_ses-02_T1w.nii.gz")
    warped = read_image(later / f"{WARPED}.nii.gz")
    again = read_transform(anat / f"{XFM}.{formats[0]}").warp(moving, warped.grid)
    assert np.abs(again.data - warped.data).mean() < 0.1
    return anat, later


def test_register_writes_derivatives(learngn, bids, tmp_path, fast):
    scans = [bids / "sub-01" / f"ses-{n}" / "anat" / f"sub-01_ses-{n}_T1w.nii.gz" for n in ("01", "02")]
    root = tmp_path / "derivatives"
    result = learngn(
        "register", *scans, "-o", tmp_path / "out", "--bids", root, "--bids-formats", "h5,x5,nii.gz", "--symmetric",
        "--moving-labels", str(scans[1]).replace("T1w", "dseg"), *fast,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    anat, later = check_derivatives(root, bids, ("h5", "x5", "nii.gz"))
    assert "Verdict" in json.loads((anat / f"{XFM}.json").read_text())
    points = np.random.default_rng(0).uniform(-12, 12, (20, 3))
    maps = [read_transform(anat / f"{XFM}.{kind}").map_points(points) for kind in ("h5", "x5", "nii.gz")]
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-3)
    np.testing.assert_allclose(maps[0], maps[2], atol=2e-2)
    back = read_transform(anat / f"{BACK}.h5").map_points(maps[0])
    assert np.abs(back - points).mean() < 0.5
    assert json.loads((anat / f"{BACK}.json").read_text())["SpatialReference"].endswith("ses-02_T1w.nii.gz")
    assert (later / f"{LABELS}.nii.gz").is_file()


def test_cohort_of_a_data_set_in_bids(learngn, bids, tmp_path, fast):
    run = ("cohort", bids, "-o", tmp_path / "out", "--no-report", *fast)
    assert learngn(*run).exit_code == 0
    record = json.loads((tmp_path / "out" / "results.jsonl").read_text())
    assert record["pair"] == XFM.removesuffix("_mode-image_xfm")
    assert record["dice_mean"] > record["dice_mean_before"]
    root = tmp_path / "derivatives"
    result = learngn(*run, "--bids", root)  # of a pair that has been registered before
    assert result.exit_code == 0, result.stderr
    anat, later = check_derivatives(root, bids)
    assert (later / f"{LABELS}.nii.gz").is_file()
    first = (anat / f"{XFM}.h5").stat().st_mtime_ns
    assert learngn(*run, "--bids", root).exit_code == 0
    assert (anat / f"{XFM}.h5").stat().st_mtime_ns == first
    (tmp_path / "blocked" / "sub-01").mkdir(parents=True)
    (tmp_path / "blocked" / "sub-01" / "ses-02").touch()
    result = learngn(*run, "--bids", tmp_path / "blocked")
    assert result.exit_code == 2
    assert "files of 1 registered pair" in result.stderr
    direct = tmp_path / "direct"
    assert learngn("cohort", bids, "-o", tmp_path / "new", "--no-report", "--bids", direct, *fast).exit_code == 0
    check_derivatives(direct, bids)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--bids-select", "suffix=FLAIR"), "no scan with suffix FLAIR, expected one among: T1w"),
        (("--bids-select", "FLAIR"), "got 'FLAIR', expected KEY=VALUE"),
        (("--bids-moving", "suffix=T2w", "--bids-template", "x.nii.gz"), "it and --bids-template"),
        (("--bids", "DIR", "--bids-formats", "lta"), "formats of BIDS: got '.lta'"),
        (("--bids", "RAW"), "the data set itself"),
    ],
)
def test_options_that_do_not_suit(options, message, learngn, bids, tmp_path, fast):
    options = [
        str(bids) if option == "RAW" else str(tmp_path / "d") if option == "DIR" else option for option in options
    ]
    result = learngn("cohort", bids, "-o", tmp_path / "out", *options, *fast)
    assert result.exit_code == 2
    assert message in result.stderr


def test_names_that_are_not_of_bids(learngn, scans, tmp_path, fast):
    result = learngn(
        "register", scans["fixed"], scans["moving"], "-o", tmp_path / "out", "--bids", tmp_path / "d", *fast
    )
    assert result.exit_code == 2
    assert "a name that is not of BIDS" in result.stderr
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "d").exists()
