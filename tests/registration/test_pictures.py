"""Colour pictures: sections in two stains, turned, large, without scikit-image, and their results in colour."""

import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image as Pillow

from learngn import Grid, Image, register
from learngn.errors import MissingPackageError, SettingsError
from learngn.features import automatic_stains, is_light, stain_channels, stains
from learngn.io import Subject, read_colour, read_picture, write_colour
from learngn.phantom import stained_sections
from learngn.registration import Request, pictures, recognise
from learngn.registration.pictures import read_picture_or_scan
from learngn.workflow import register_files

QUICK = {"strides": (8, 4, 2), "quality": False}


def save(image, path):
    write_colour([replace(image, data=image.data[:, c : c + 1]) for c in range(3)], path)
    return path


def relative_errors(registration, sections):
    """Distances of the landmarks over the diagonal of the picture."""
    grid = sections.fixed.grid
    mapped = registration.transform.map_points(grid.index_to_world(sections.fixed_points))
    found = sections.moving.grid.world_to_index(mapped)
    return np.linalg.norm(found - sections.moving_points, axis=1) / np.hypot(*grid.shape)


@pytest.mark.parametrize(
    "angle", [0, pytest.param(90, marks=pytest.mark.slow), 180, pytest.param(-130, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_two_stains_at_any_angle(angle, seed):
    sections = stained_sections((200, 160), seed=seed, angle=angle)
    found = register(sections.fixed, sections.moving, **QUICK)
    assert found.resolved.recognised.preset.name == "histology"
    assert found.settings.stains == "haematoxylin,grey"
    assert np.median(relative_errors(found, sections)) < 0.003


def test_stains_of_known_densities():
    from skimage.color import hed2rgb

    amounts = np.zeros((6, 5, 3), np.float32)
    amounts[2:4, 1:3] = (0.1, 0.05, 0.02)
    rgb = 255 * hed2rgb(amounts)
    grid = stained_sections((6, 5)).fixed.grid
    picture = Image(np.moveaxis(rgb, -1, 0)[None].astype(np.float32), grid, stored="uint8")
    assert is_light(picture)
    channels = stain_channels(picture, ("haematoxylin", "eosin", "dab", "grey"))
    np.testing.assert_allclose(channels.data[0, :3], np.moveaxis(amounts, -1, 0), atol=2e-3)
    assert channels.data[0, 3, 0, 0] == 0
    assert channels.data[0, 3, 2, 2] == pytest.approx(255 - rgb[2, 2] @ [0.299, 0.587, 0.114], abs=0.5)


def test_a_dark_picture_is_compared_in_grey():
    light = stained_sections((48, 40)).fixed
    dark = replace(light, data=255 - light.data)
    assert automatic_stains(light, light) == ("haematoxylin", "grey")
    assert automatic_stains(light, dark) == automatic_stains(light, None) == ("grey",)
    grey = stain_channels(dark, ["grey"]).data
    np.testing.assert_allclose(grey[0, 0], np.tensordot([0.299, 0.587, 0.114], dark.data[0], 1), rtol=1e-5)
    assert recognise(dark, dark).because == "colour pictures"


def test_without_scikit_image(monkeypatch, tmp_path):
    monkeypatch.setattr(stains, "find_spec", lambda name: None)
    sections = stained_sections((64, 48))
    assert register(sections.fixed, sections.moving, **QUICK).settings.stains == "grey"
    with pytest.raises(SettingsError, match="stains: got 'blue', expected some of grey, haematoxylin"):
        Request(changes={"stains": "blue"})
    spec = importlib.util.find_spec
    monkeypatch.setattr("learngn.errors.find_spec", lambda name: None if name == "skimage" else spec(name))
    with pytest.raises(MissingPackageError, match=r"stain haematoxylin: got no package skimage.*learngn\[stains\]"):
        register(sections.fixed, sections.moving, stains="hematoxylin", **QUICK)
    files = save(sections.fixed, tmp_path / "a.png"), save(sections.moving, tmp_path / "b.png")
    metrics = register_files(*files, tmp_path / "result", Request(changes=QUICK), report=False)
    assert any("stains are separated by scikit-image" in text for text in metrics["warnings"])


def test_stains_of_scans_without_colours():
    sections = stained_sections((64, 48))
    grey = Image(sections.moving.data[:, :1], sections.moving.grid)
    with pytest.raises(SettingsError, match="eosin of image, which has no colours"):
        register(sections.fixed, grey, stains="eosin", **QUICK)
    assert register(sections.fixed, grey, **QUICK).settings.stains == "grey"


def test_result_in_colour(tmp_path):
    sections = stained_sections((96, 80))
    Pillow.fromarray(np.moveaxis(sections.fixed.data[0], 0, -1).astype(np.uint8).swapaxes(0, 1)).save(
        tmp_path / "fixed.jpg", quality=95
    )
    moving = save(sections.moving, tmp_path / "moving.tif")
    for name, points in (("f.csv", sections.fixed_points), ("m.csv", sections.moving_points[:-2])):
        rows = [f"{n},{x:.3f},{y:.3f}" for n, (x, y) in enumerate(points, start=1)]
        (tmp_path / name).write_text("\n".join([",X,Y", *rows]))
    subjects = (
        Subject(tmp_path / "fixed.jpg", landmarks=tmp_path / "f.csv"),
        Subject(moving, landmarks=tmp_path / "m.csv"),
    )
    metrics = register_files(*subjects, tmp_path / "result", Request(changes=QUICK))
    assert metrics["settings"]["stains"] == "haematoxylin,grey"
    assert metrics["warnings"] == []
    assert len(metrics["tre_landmarks"]) == len(sections.moving_points) - 2
    assert metrics["tre"] < metrics["tre_before"]
    with Pillow.open(tmp_path / "result" / "warped.png") as picture:
        shown = np.asarray(picture)
    assert shown.shape == (80, 96, 3)
    volume = sitk.ReadImage(tmp_path / "result" / "warped.nii.gz")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(volume), shown)
    assert shown[0, 0].min() > 235  # an empty slide outside of the tissue
    assert '"colour": true' in (tmp_path / "result" / "report.html").read_text().replace(
        '"colour":true', '"colour": true'
    )


def test_another_resolution_in_the_header():
    sections = stained_sections((160, 128), angle=90)
    fixed, moving = sections.fixed, sections.moving
    grid = Grid(fixed.grid.shape, np.diag([0.25, 0.25, 1]) @ fixed.grid.affine)
    resolved = replace(sections, fixed=replace(fixed, grid=grid))
    found = register(resolved.fixed, moving, diffeomorphic=True, **QUICK)
    assert np.median(relative_errors(found, resolved)) < 0.006  # about a pixel
    assert found.warped.grid == grid
    mapped = found.transform.map_points(grid.index_to_world(sections.fixed_points))
    back = grid.world_to_index(found.inverse.map_points(mapped))
    assert np.median(np.linalg.norm(back - sections.fixed_points, axis=1)) < 0.2


def test_a_large_picture_is_averaged(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_VOXELS", 3000)
    sections = stained_sections((120, 100))
    path = save(sections.fixed, tmp_path / "a.png")
    picture = read_picture_or_scan(path)
    assert picture.image.grid.shape == (60, 50)
    assert picture.file_grid.shape == (120, 100)
    np.testing.assert_allclose(picture.image.grid.extent, picture.file_grid.extent)
    blocks = sections.fixed.data.reshape(1, 3, 60, 2, 50, 2).mean((3, 5))
    np.testing.assert_allclose(picture.colour.data, blocks, rtol=1e-5)
    moving = save(sections.moving, tmp_path / "b.png")
    found = register(path, moving, **QUICK | {"strides": (4, 2, 1)})
    mapped = found.transform.map_points(picture.file_grid.index_to_world(sections.fixed_points))
    errors = np.linalg.norm(picture.file_grid.world_to_index(mapped) - sections.moving_points, axis=1)
    assert np.median(errors) < 1.5  # pixels of the file


def test_grey_stored_as_colours_is_a_scan(tmp_path):
    grey = stained_sections((32, 24)).fixed
    grey = replace(grey, data=np.repeat(grey.data[:, :1], 3, axis=1))
    picture = read_picture_or_scan(save(grey, tmp_path / "a.png"))
    assert picture.colour is None
    np.testing.assert_array_equal(picture.image.data, grey.data[:, :1])


def test_read_picture_agrees_with_its_channels(tmp_path):
    path = save(stained_sections((32, 24)).moving, tmp_path / "a.png")
    picture = read_picture(path)
    assert picture.stored == "uint8"
    np.testing.assert_array_equal(picture.data[0], [channel.data[0, 0] for channel in read_colour(path)])


@pytest.mark.data
@pytest.mark.slow
def test_kidney_in_two_stains(tmp_path):
    folder = Path(os.environ.get("LEARNGN_TEST_DATA", "nowhere")) / "HistologyStains"
    if not folder.is_dir():
        pytest.skip("LEARNGN_TEST_DATA does not name a folder with HistologyStains")
    names = ("Rat-Kidney_HE", "Rat-Kidney_PanCytokeratin")
    subjects = [Subject(folder / f"{name}.jpg", landmarks=folder / f"{name}.csv") for name in names]
    metrics = register_files(*subjects, tmp_path / "result", report=False)
    fixed = read_picture(folder / f"{names[0]}.jpg").grid
    relative = np.asarray(metrics["tre_landmarks"]) / np.linalg.norm(fixed.extent)
    assert len(relative) == 69
    assert np.median(relative) <= 0.0020
    assert json.loads((tmp_path / "result" / "metrics.json").read_text())["preset"]["name"] == "histology"
