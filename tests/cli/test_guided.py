"""learngn register with masks, key points and the inverse: what it writes, and what it refuses."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import read_image

WITH_INVERSE = ["displacement.nii.gz", "inverse_displacement.nii.gz", "learngn.log", "metrics.json", "warped.nii.gz"]


@pytest.fixture
def register(learngn, scans, tmp_path, fast):
    """Registers the pair into out/ without affine and report; returns the metrics."""

    def run(*options, moving="moving"):
        out = tmp_path / "out"
        arguments = ("-o", out, "--no-affine", "--no-report", "--json", "--features", "intensity", *fast, *options)
        result = learngn("register", scans["fixed"], scans[moving], *arguments)
        assert result.exit_code == 0, result.stderr
        metrics = json.loads(result.stdout)
        assert metrics == json.loads((out / "metrics.json").read_text(), parse_constant=pytest.fail)
        return metrics

    return run


def mask_file(path, value=1.0, shape=(24, 20, 16)):
    mask = np.zeros(shape, dtype=np.float32)
    mask[4:-4, 4:-4] = value
    Image.from_array(mask, Grid.from_spacing(shape, (2.0, 2.0, 3.0)[: len(shape)])).save(path)
    return path


@pytest.mark.parametrize("option", ["--symmetric", "--diffeomorphic"])
def test_inverse(option, register, scans, tmp_path, files_in):
    """SimpleITK warps the fixed scan onto the moving one with what is written."""
    metrics = register(option, "--iterations", "6,6")
    assert files_in(tmp_path / "out") == WITH_INVERSE
    assert metrics["settings"][option.strip("-")] is True
    assert 0 < metrics["inverse_error"] < 0.2
    assert metrics["folds_percent"] == 0
    fixed, moving = (sitk.ReadImage(str(scans[side]), sitk.sitkFloat32) for side in ("fixed", "moving"))
    field = sitk.ReadImage(str(tmp_path / "out" / "inverse_displacement.nii.gz"), sitk.sitkVectorFloat64)
    assert field.GetSize() == moving.GetSize()
    warped = sitk.Resample(fixed, moving, sitk.DisplacementFieldTransform(field), sitk.sitkLinear, 0.0)
    there, here, before = (sitk.GetArrayFromImage(image) for image in (warped, moving, fixed))
    inner = (slice(2, -2),) * 3
    assert np.abs(there - here)[inner].mean() < 0.6 * np.abs(before - here)[inner].mean()


def test_the_inverse_of_an_affine_and_a_displacement(learngn, scans, tmp_path, fast):
    """There and back through both files, point by point, as ITK reads them."""
    out = tmp_path / "out"
    result = learngn("register", scans["fixed"], scans["moving"], "-o", out, "--symmetric", "--no-report", *fast)
    assert result.exit_code == 0
    assert "inverse off by" in result.stdout
    names = ("displacement.nii.gz", "inverse_displacement.nii.gz")
    there, back = (sitk.DisplacementFieldTransform(sitk.ReadImage(str(out / n), sitk.sitkVectorFloat64)) for n in names)
    image = sitk.ReadImage(str(scans["fixed"]))
    for index in ((8, 8, 6), (12, 10, 8), (15, 11, 9)):
        point = image.TransformIndexToPhysicalPoint(index)
        assert np.linalg.norm(np.subtract(back.TransformPoint(there.TransformPoint(point)), point)) < 0.5


def test_an_inverse_of_an_older_result_does_not_stay(register, tmp_path, files_in):
    register("--symmetric")
    metrics = register()
    assert "inverse_error" not in metrics
    assert files_in(tmp_path / "out") == [name for name in WITH_INVERSE if not name.startswith("inverse")]


def test_options_reach_the_settings(register):
    settings = register("--robust", "huber:0.5", "--overlap", "--update", "exponential")["settings"]
    assert (settings["robust"], settings["overlap"], settings["update"]) == ("huber:0.5", True, "exponential")
    settings = register("--one-sided", "--whole", "--no-diffeomorphic")["settings"]
    assert (settings["overlap"], settings["symmetric"]) == (False, False)
    assert settings["diffeomorphic"] is False


def test_masks(register, scans, tmp_path):
    """An artefact changes the field less with a mask of it; what is left is the scale of the intensities."""
    image = read_image(scans["fixed"])
    image.data[..., 14:18, 9:13, 6:10] += 100
    spoilt = {"clean": scans["fixed"], "spoilt": tmp_path / "spoilt.nii.gz"}
    image.save(spoilt["spoilt"])
    mask = np.ones(image.grid.shape, dtype=np.float32)
    mask[12:20, 7:15, 4:12] = 0
    Image.from_array(mask, image.grid).save(tmp_path / "mask.nii.gz")
    fields = {}
    for name, path in spoilt.items():
        scans["fixed"] = path
        for masked in (False, True):
            metrics = register(*(("--fixed-mask", tmp_path / "mask.nii.gz") if masked else ()))
            assert ("fixed_mask" in metrics["inputs"]) == masked
            field = sitk.ReadImage(str(tmp_path / "out" / "displacement.nii.gz"), sitk.sitkVectorFloat64)
            fields[name, masked] = sitk.GetArrayFromImage(field)
    with_mask, without = (np.abs(fields["clean", m] - fields["spoilt", m]).mean() for m in (True, False))
    assert with_mask < 0.7 * without


def test_moving_mask(register, tmp_path):
    metrics = register("--moving-mask", mask_file(tmp_path / "mask.nii.gz"))
    assert set(metrics["inputs"]) == {"fixed", "moving", "moving_mask"}


def test_keypoints_pull(register, scans, tmp_path):
    """Points that say something else than the scans: the more they weigh, the nearer they come."""
    np.savetxt(tmp_path / "a.csv", [[11.0, 9, 7], [13, 10, 8]], delimiter=",")
    np.savetxt(tmp_path / "b.csv", [[11.0, 6, 7], [13, 7, 8]], delimiter=",")
    points = [item for side, name in (("fixed", "a"), ("moving", "b"))
              for item in (f"--{side}-landmarks", tmp_path / f"{name}.csv")]  # fmt: skip
    pulling = [str(item).replace("landmarks", "keypoints") for item in points]
    errors = [register(*points)["tre"]]
    for weight in ("0.001", "1"):
        metrics = register(*points, *pulling, "--keypoint-weight", weight)
        assert {"fixed_keypoints", "moving_keypoints"} <= set(metrics["inputs"])
        errors.append(metrics["tre"])
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 2 < 5 < errors[0]


def unknown_loss(scans, folder):
    return ("--robust", "tukey:1"), "huber:K or geman-mcclure:K"


def loss_without_a_scale(scans, folder):
    return ("--robust", "huber"), "huber:0.5"


def symmetric_adam(scans, folder):
    return ("--update", "adam", "--symmetric"), "update adam"


def overlap_of_the_published_scheme(scans, folder):
    return ("--update", "published", "--overlap"), "update published"


def mask_that_is_not_there(scans, folder):
    return ("--fixed-mask", folder / "nothing.nii.gz"), "nothing.nii.gz"


def mask_of_another_scale(scans, folder):
    return ("--moving-mask", mask_file(folder / "mask.nii.gz", value=255)), "values from 0 to 255"


def mask_of_nothing(scans, folder):
    return ("--fixed-mask", mask_file(folder / "mask.nii.gz", value=0)), "not all of them 0"


def mask_of_a_plane(scans, folder):
    return ("--fixed-mask", mask_file(folder / "mask.nii.gz", shape=(24, 20))), "a mask of the image"


def keypoints_of_one_scan(scans, folder):
    return ("--fixed-keypoints", scans["fixed_landmarks"]), "--moving-keypoints"


def keypoints_that_do_not_correspond(scans, folder):
    (folder / "one.csv").write_text("1,2,3\n")
    return ("--fixed-keypoints", folder / "one.csv", "--moving-keypoints", scans["moving_landmarks"]), "(1, 3)"


def keypoints_without_weight(scans, folder):
    return (*keypoints(scans), "--keypoint-weight", "0"), "weight 0"


def keypoints_with_a_negative_weight(scans, folder):
    return (*keypoints(scans), "--keypoint-weight", "-2"), "weight -2"


def keypoints_without_scale(scans, folder):
    return (*keypoints(scans), "--keypoint-scale", "0"), "scale 0"


def keypoints_for_adam(scans, folder):
    return (*keypoints(scans), "--update", "adam", "--no-affine"), "Adam"


def keypoints(scans):
    return ("--fixed-keypoints", scans["fixed_landmarks"], "--moving-keypoints", scans["moving_landmarks"])


REFUSED = [
    unknown_loss,
    loss_without_a_scale,
    symmetric_adam,
    overlap_of_the_published_scheme,
    mask_that_is_not_there,
    mask_of_another_scale,
    mask_of_nothing,
    mask_of_a_plane,
    keypoints_of_one_scan,
    keypoints_that_do_not_correspond,
    keypoints_without_weight,
    keypoints_with_a_negative_weight,
    keypoints_without_scale,
    keypoints_for_adam,
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.__name__)
def test_refused(case, learngn, scans, tmp_path, fast):
    options, told = case(scans, tmp_path)
    arguments = ("-o", tmp_path / "out", "--features", "intensity", *fast, *options)
    result = learngn("register", scans["fixed"], scans["moving"], *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert told in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_mask_in_the_output_folder_is_kept(learngn, scans, tmp_path, fast):
    """An input that a result file would take the place of is refused."""
    out = tmp_path / "out"
    out.mkdir()
    mask = mask_file(out / "inverse_displacement.nii.gz")
    before = mask.read_bytes()
    result = learngn("register", scans["fixed"], scans["moving"], "-o", out, "--fixed-mask", mask, *fast)
    assert result.exit_code == 2
    assert "fixed mask" in result.stderr
    assert mask.read_bytes() == before


def test_settings_in_toml(learngn, scans, tmp_path):
    """Other options change single values of the file; a wrong file is one line."""
    file, out = tmp_path / "settings.toml", tmp_path / "out"
    file.write_text(
        'features = "intensity"\naffine = "none"\nstrides = [4, 2]\niterations = [2, 2]\nlam = [3, 0.3]\n', "utf-8"
    )
    arguments = ("register", scans["fixed"], scans["moving"], "-o", out, "--no-report", "--settings", file)
    assert learngn(*arguments, "--lambda", "2").exit_code == 0
    settings = json.loads((out / "metrics.json").read_text())["settings"]
    assert (settings["features"], settings["strides"], settings["lam"]) == ("intensity", [4, 2], [2, 2])
    file.write_text("features = mind")
    result = learngn(*arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "text that is no TOML" in result.stderr
