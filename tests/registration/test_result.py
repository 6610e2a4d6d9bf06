"""What one does with a registration: show it, score it, write it, plot it."""

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from learngn import Affine, Composite, DisplacementField, read_image, read_transform, register
from learngn.cli import main
from learngn.errors import LabelError, LandmarkError, MissingPackageError, OutputError, SettingsError
from learngn.io import write_landmarks
from learngn.io.landmarks import Landmarks
from learngn.optimise import LandmarkPairs
from learngn.phantom import abdomens
from learngn.registration import recognise
from learngn.report.slices import slices_of
from learngn.settings import Settings, write_settings

SETTINGS = Settings("intensity", strides=(8, 4), iterations=(3, 2))
OPTIONS = ["--features", "intensity", "--strides", "8,4", "--iterations", "3,2"]
POINTS = np.array([[0.0, 0, 0], [10, -20, 5], [-30, 10, 10]])


@pytest.fixture(scope="module")
def phantoms():
    return list(abdomens(2, (40, 36, 24), seed=1))


@pytest.fixture(scope="module")
def scored(phantoms):
    """With everything that belongs to a pair, in memory."""
    fixed, moving = phantoms
    return register(
        fixed.scan, moving.scan, settings=SETTINGS, symmetric=True,
        fixed_labels=fixed.labels, moving_labels=moving.labels, fixed_landmarks=POINTS, moving_landmarks=POINTS + 2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def plain(phantoms):
    fixed, moving = phantoms
    return register(fixed.scan, moving.scan, settings=SETTINGS)


@pytest.fixture(scope="module")
def flat():
    fixed, moving = abdomens(2, (40, 36), seed=2)
    return register(fixed.labels, moving.labels, settings=Settings("organ-distance", strides=(8, 4), iterations=(3, 2)))


@pytest.fixture(params=["scored", "plain", "flat"])
def any_registration(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def files(phantoms, tmp_path_factory):
    root = tmp_path_factory.mktemp("files")
    for name, phantom in zip(("fixed", "moving"), phantoms, strict=True):
        phantom.scan.save(root / f"{name}.nii.gz")
        phantom.labels.save(root / f"{name}_labels.nii.gz")
        write_landmarks(Landmarks(POINTS, "ras"), root / f"{name}.csv", grid=phantom.scan.grid, space="ras")
    return root


def test_a_line_says_what_it_is(any_registration):
    line = repr(any_registration)
    assert "\n" not in line
    assert len(line) < 400
    assert re.search(r"^Registration\(.* voxels of .* mm.*, \d steps, verdict \w+, [\d.]+ s\)$", line)
    for part in (any_registration.pair, any_registration.verdict, any_registration.resolved):
        assert "\n" not in repr(part)
        assert len(repr(part)) < 1500
    assert repr(LandmarkPairs(POINTS, POINTS)) == "LandmarkPairs(3 pairs, 3D, weight 1, scale inf mm)"
    assert repr(Landmarks(POINTS)) == "Landmarks(3 points, 3D, from voxel)"


def test_files_are_named(files):
    found = register(files / "fixed.nii.gz", files / "moving.nii.gz", settings=SETTINGS)
    assert repr(found).startswith("Registration(moving.nii.gz onto fixed.nii.gz, ")
    assert found.pair.files == {"fixed": files / "fixed.nii.gz", "moving": files / "moving.nii.gz"}


def test_shown_by_a_notebook(any_registration):
    html = any_registration._repr_html_()
    views = 3 if any_registration.fixed.grid.ndim == 3 else 1
    assert html.count("data:image/jpeg;base64,") == 2 * views
    assert len(html) < 300_000
    assert not re.findall(r"https?:|<script|<link", html)
    assert any_registration.verdict.status in html
    assert ("Dice" in html) == bool(any_registration.scores.dice)
    assert "folds" in html


def test_names_are_escaped(plain):
    from pathlib import Path

    image = replace(plain.fixed, path=Path("a<script>.nii"))
    pair = replace(plain.pair, fixed=replace(plain.pair.fixed, image=image))
    assert "a&lt;script&gt;.nii" in replace(plain, pair=pair)._repr_html_()


def test_an_image_shown_by_a_notebook(phantoms):
    for image in (phantoms[0].scan, phantoms[0].labels):
        html = image._repr_html_()
        assert html.count("<img") == 3
        assert repr(image) in html


def test_slices_are_radiological(phantoms):
    """Rows from superior to inferior, columns from the patient's right to the left, pixels square, in mm."""
    grid = phantoms[0].scan.grid
    x, _, z = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    right_to_left, height = (replace(phantoms[0].scan, data=v[None, None].astype(np.float32)) for v in (x, z))
    axial, coronal, _ = slices_of(grid)
    columns = axial.of(right_to_left)  # the grid's first axis is R, so that it falls to the left of the patient
    assert (np.diff(columns, axis=1) <= 0).all()
    assert (np.diff(coronal.of(height), axis=0) <= 0).all()
    shape, extent = coronal.of(height).shape, grid.extent
    assert shape[0] / shape[1] == pytest.approx(extent[2] / extent[0], rel=0.02)


def test_scores(scored, plain):
    assert 0 < scored.scores.dice_mean_before < scored.scores.dice_mean < 1
    assert scored.scores is scored.scores
    assert scored.scores.tre > 0
    assert plain.scores.dice == {}
    assert plain.warped_labels is None


def test_label_maps_are_scored_by_themselves(flat):
    assert flat.scores.dice_mean > flat.scores.dice_mean_before
    assert flat.warped_labels is None, "it is `warped` itself"


def test_jacobian(any_registration):
    whole, part = any_registration.jacobian(), any_registration.jacobian(affine=False)
    assert whole.grid == part.grid == any_registration.fixed.grid
    assert whole.data.shape == (1, 1, *whole.grid.shape)
    determinant = np.linalg.det(any_registration.affine.matrix[:-1, :-1])
    np.testing.assert_allclose(whole.data, part.data * determinant, rtol=1e-5)
    np.testing.assert_array_equal(part.data[0], any_registration.displacement.jacobian_determinant()[0][None])


def test_jacobian_says_how_much_larger_the_moving_scan_is(plain):
    zero = DisplacementField.zero(plain.fixed.grid)
    grown = replace(plain, transform=Composite((zero, Affine(np.diag([2.0, 2, 2, 1])))))
    np.testing.assert_allclose(grown.jacobian().data, 8)
    np.testing.assert_allclose(grown.jacobian(affine=False).data, 1)


def content(folder):
    """Files of a result by name; of its metrics what does not depend on clock and machine."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    metrics = json.loads(found.pop("metrics.json"))
    for key in ("command", "seconds", "peak_memory_mb"):
        metrics.pop(key)
    found.pop("report.html")
    return found, metrics


def test_saved_as_the_command_does(files, tmp_path, monkeypatch, capsys):
    given = {
        "fixed_labels": files / "fixed_labels.nii.gz", "moving_labels": files / "moving_labels.nii.gz",
        "fixed_landmarks": files / "fixed.csv", "moving_landmarks": files / "moving.csv",
    }  # fmt: skip
    words = [word for name, path in given.items() for word in (f"--{name.replace('_', '-')}", str(path))]
    scans = files / "fixed.nii.gz", files / "moving.nii.gz"
    changes = {"strides": (8, 4), "iterations": (3, 2), "symmetric": True}
    found = register(*scans, features="intensity", **changes, **given)
    assert found.save(tmp_path / "python") == tmp_path / "python"
    options = [*OPTIONS, "--symmetric", *words, "-o", str(tmp_path / "command")]
    monkeypatch.setattr(sys, "argv", ["learngn", "register", *map(str, scans), *options])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code, capsys.readouterr().err
    python, command = content(tmp_path / "python"), content(tmp_path / "command")
    assert command[0].pop("learngn.log")  # the command's alone
    assert python[1] == command[1]
    assert python[0] == command[0]
    assert "warped_labels.nii.gz" in python[0]


def test_saved_from_memory(scored, tmp_path):
    scored.save(tmp_path / "out", label_names={1: "the liver"})
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["inputs"] == {}
    assert metrics["dice_mean"] == pytest.approx(scored.scores.dice_mean)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "moving scan" in page
    assert "the liver" in page
    field = read_transform(tmp_path / "out" / "displacement.nii.gz")
    again, warped = field.warp(scored.moving, scored.fixed), read_image(tmp_path / "out" / "warped.nii.gz")
    assert float(np.abs(again.data - warped.data).mean()) < 1
    plainly = scored.save(tmp_path / "small", report=False)
    assert not (plainly / "report.html").exists()


def test_an_input_is_not_overwritten(phantoms, tmp_path):
    for name, phantom in zip(("warped", "moving"), phantoms, strict=True):
        phantom.scan.save(tmp_path / f"{name}.nii.gz")
    before = (tmp_path / "warped.nii.gz").read_bytes()
    found = register(tmp_path / "warped.nii.gz", tmp_path / "moving.nii.gz", settings=SETTINGS)
    with pytest.raises(OutputError, match="itself in it"):
        found.save(tmp_path)
    assert (tmp_path / "warped.nii.gz").read_bytes() == before
    (tmp_path / "moving.nii.gz").unlink()
    saved = json.loads((found.save(tmp_path / "new") / "metrics.json").read_text())
    assert set(saved["inputs"]) == {"fixed"}, "the other one is no longer there"


def test_report(any_registration, tmp_path):
    path = any_registration.report(tmp_path / "a.html")
    page = path.read_text(encoding="utf-8")
    assert "volume-fixed" in page
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputError, match=r"expected \.html"):
        any_registration.report(tmp_path / "a.pdf")


def test_plot(any_registration, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    loaded = set(matplotlib._pylab_helpers.Gcf.figs) if hasattr(matplotlib, "_pylab_helpers") else set()
    figure = any_registration.plot()
    columns = 3 if any_registration.fixed.grid.ndim == 3 else 1
    assert len(figure.axes) == 3 * columns + 1
    figure.savefig(tmp_path / "a.png")
    assert figure._repr_jpeg_().startswith(b"\xff\xd8")
    now = set(matplotlib._pylab_helpers.Gcf.figs) if hasattr(matplotlib, "_pylab_helpers") else set()
    assert now == loaded, "no figure of pyplot stays open"


def test_plot_without_matplotlib(plain, monkeypatch):
    monkeypatch.setattr("learngn.errors.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"Registration\.plot: .*learngn\[plot\]"):
        plain.plot()


def test_tensors_are_shown_and_written(phantoms, tmp_path):
    fixed, moving = (phantom.scan.to("cpu") for phantom in phantoms)
    labels = [phantom.labels for phantom in phantoms]
    found = register(fixed, moving, settings=SETTINGS, fixed_labels=labels[0], moving_labels=labels[1])
    assert isinstance(found.jacobian().data, torch.Tensor)
    assert "<img" in found._repr_html_()
    found.report(tmp_path / "a.html")
    assert (found.save(tmp_path / "out") / "warped_labels.nii.gz").exists()


def test_labels_and_points_are_checked(phantoms):
    fixed, moving = phantoms
    with pytest.raises(LabelError, match="labels of the moving scan: got a scan"):
        register(fixed.scan, moving.scan, settings=SETTINGS, moving_labels=moving.scan)
    with pytest.raises(LandmarkError, match=r"fixed landmarks: got shape \(3, 2\), expected \(M, 3\)"):
        register(fixed.scan, moving.scan, settings=SETTINGS, fixed_landmarks=POINTS[:, :2])
    with pytest.raises(LandmarkError, match="3 and 2 points"):
        register(fixed.scan, moving.scan, settings=SETTINGS, fixed_landmarks=POINTS, moving_landmarks=POINTS[:2])


def test_key_points_as_files_and_arrays(phantoms, files):
    scans = [phantom.scan for phantom in phantoms]
    paths = files / "fixed.csv", files / "moving.csv"
    by_files = register(*scans, settings=SETTINGS, keypoints=paths)
    by_arrays = register(*scans, settings=SETTINGS, keypoints=(POINTS, POINTS))
    np.testing.assert_allclose(by_files.displacement.data, by_arrays.displacement.data, atol=1e-3)
    assert by_files.pair.files == {"fixed_keypoints": paths[0], "moving_keypoints": paths[1]}
    without = register(*scans, settings=SETTINGS)
    assert np.abs(by_files.displacement.data - without.displacement.data).max() > 0.1


def test_interpolation_and_background(phantoms):
    scans = [phantom.scan for phantom in phantoms]
    found = register(*scans, settings=SETTINGS, interpolation="nearest", background=-7.0)
    expected = found.transform.warp(scans[1], scans[0], interpolation="nearest", background=-7.0)
    np.testing.assert_array_equal(found.warped.data, expected.data)
    assert (found.warped.data == -7).any()


def test_settings_from_a_file(phantoms, tmp_path):
    write_settings(SETTINGS, tmp_path / "settings.json")
    found = register(*(phantom.scan for phantom in phantoms), settings=tmp_path / "settings.json")
    assert found.settings == SETTINGS
    with pytest.raises(SettingsError, match=r"settings b\.json"):
        register(*(phantom.scan for phantom in phantoms), settings="b.json")


def test_paths_of_label_maps_and_grids(phantoms, files):
    scans = files / "fixed.nii.gz", files / "moving.nii.gz"
    assert recognise(*scans).preset == recognise(*(phantom.scan for phantom in phantoms)).preset
    found = register(*scans, settings=SETTINGS, uncertainty=True).uncertainty
    path, labels = files / "fixed_labels.nii.gz", phantoms[0].labels
    assert found.of_labels(path) == pytest.approx(found.of_labels(labels), rel=1e-4)
    assert found.deviation_on(path).grid.same_space(labels.grid)


def test_slices_lie_within_the_grid(phantoms):
    """To their borders: no value from outside of the image."""
    scan = phantoms[0].scan
    for cut in slices_of(scan.grid):
        np.testing.assert_array_equal(cut.of(scan, outside=1e6), cut.of(scan))
