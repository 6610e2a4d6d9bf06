"""register(): registration of one pair, and errors for invalid pairs."""

from dataclasses import replace

import numpy as np
import pytest

from learngn.errors import FeatureError, GeometryError, ImageError, LabelError, SettingsError
from learngn.features import Mind
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, DisplacementField
from learngn.optimise import Iteration, LandmarkPairs, StopReason
from learngn.registration import Registration, recognise, register
from learngn.settings import Settings
from learngn.settings.levels import fitted

SHAPE = (32, 28, 24)
QUICK = Settings("mind", affine=False, strides=(4, 2), iterations=(4, 4), lam=(0.3, 0.1))


def body(shift=0.0, shape=SHAPE, *, labels=False, origin=None):
    """Two ellipsoids in a box."""
    axes = np.indices(shape).astype(float)
    middle = [n / 2 for n in shape]

    def ellipsoid(offset, radius):
        r = np.sqrt(sum(((x - m - offset - shift) / radius) ** 2 for x, m in zip(axes, middle, strict=True)))
        return 1 / (1 + np.exp(np.clip(8 * (r - 1), -50, 50)))

    grid = Grid.from_spacing(shape, 2.0, origin=origin)
    big, small = ellipsoid(0, 9), ellipsoid(3, 3)
    if labels:
        array = np.where(small > 0.5, 2, np.where(big > 0.5, 1, 0)).astype(np.uint8)
        return Image.from_array(array, grid, labels=True)
    return Image.from_array((100 * big + 80 * small).astype(np.float32), grid)


def mismatch(first, second):
    return float(np.abs(np.float32(first.data) - np.float32(second.data)).mean())


@pytest.mark.parametrize("shape", [(40, 36), SHAPE], ids=str)
def test_scans(shape):
    fixed, moving, seen = body(0, shape), body(1.5, shape), []
    result = register(fixed, moving, callback=seen.append, device="cpu")  # a GPU rounds otherwise than the CPU
    assert isinstance(result, Registration)
    assert result.settings == fitted(recognise(fixed, moving).preset.settings, fixed.grid)
    assert mismatch(result.warped, fixed) < 0.35 * mismatch(moving, fixed)
    assert tuple(seen) == result.history
    assert all(isinstance(record, Iteration) for record in seen)
    assert isinstance(result.stop, StopReason)
    assert isinstance(result.displacement, DisplacementField)
    assert isinstance(result.affine, Affine)
    assert result.transform.parts == (result.displacement, result.affine)
    assert result.displacement.grid == result.warped.grid == fixed.grid
    assert result.affine_start in {"header", "centre", "mass", "search"}
    assert set(result.seconds) == {"read", "affine", "features", "optimise", "quality", "warp"}
    assert min(result.seconds.values()) >= 0
    again = result.transform.warp(moving, fixed.grid)
    np.testing.assert_array_equal(again.data, result.warped.data)


@pytest.mark.parametrize("features", [None, "distance", "labels"])
def test_label_maps(features):
    fixed, moving = body(labels=True), body(1.5, labels=True)
    result = register(fixed, moving, features=features)
    assert result.settings.features == (features or "organ-distance")
    assert (result.affine_start, result.settings.affine) == ("none", "none")
    np.testing.assert_array_equal(result.affine.matrix, np.eye(4))
    assert result.warped.labels
    assert set(np.unique(result.warped.data)) <= {0, 1, 2}
    assert (result.warped.data != fixed.data).mean() < 0.5 * (moving.data != fixed.data).mean()


def test_a_scan_is_no_label_map():
    values = np.linspace(-1000, 1000, body().grid.size).reshape(1, 1, *body().grid.shape)
    hounsfield = Image(values.astype(np.int16), body().grid, labels=True)
    with pytest.raises(LabelError, match="none below zero"):
        register(hounsfield, hounsfield, features="distance")


def test_settings_are_kept():
    result = register(body(), body(1), features=Mind(), settings=QUICK)
    assert result.settings == QUICK
    assert {record.stride for record in result.history} == {4, 2}
    assert "affine" not in result.seconds


def test_features_of_the_settings_serve_when_none_are_named():
    settings = Settings("intensity", affine=False, strides=(4,), iterations=(1,), lam=(0.3, 0.3))
    assert register(body(), body(1), settings=settings).settings.features == "intensity"


def test_affine_can_be_chosen():
    assert register(body(), body(1), settings=QUICK, affine=True).affine_start != "none"


def test_files(tmp_path):
    paths = [tmp_path / "fixed.nii.gz", tmp_path / "moving.nii.gz"]
    for path, image in zip(paths, (body(), body(1)), strict=True):
        image.save(path)
    from_files = register(str(paths[0]), paths[1], features="mind", settings=QUICK)
    assert from_files.fixed.name == "fixed.nii.gz"
    in_memory = register(body(), body(1), features="mind", settings=QUICK)
    np.testing.assert_allclose(from_files.displacement.data, in_memory.displacement.data, rtol=1e-3, atol=1e-3)


def test_same_bytes_twice():
    first, second = (register(body(), body(1), features="mind", settings=QUICK) for _ in range(2))
    assert first.displacement.data.tobytes() == second.displacement.data.tobytes()


def with_value(value, *, everywhere=False):
    image = body()
    image.data[(...,) if everywhere else (0, 0, 3, 3, 3)] = value
    return image


@pytest.mark.parametrize(
    ("fixed", "moving", "features", "error", "message"),
    [
        (body(), body(shape=(32, 28)), "mind", ImageError, "3D .* and 2D"),
        (with_value(1, everywhere=True), body(), "mind", ImageError, "fixed image.*constant"),
        (body(), with_value(float("nan")), "mind", ImageError, "moving image.*NaN"),
        (body(), with_value(float("inf")), "mind", ImageError, "moving image.*infinity"),
        (body(), body(), "mindd", FeatureError, "mindd"),
        (body(), body(), "organ-distance", LabelError, "fixed image.*scan"),
        (body(labels=True), body(), "labels", LabelError, "moving image.*scan"),
        (body(labels=True), Image(body(labels=True).data * 0, body().grid, True), None, LabelError, "empty label map"),
        (body(labels=True), Image(body(labels=True).data * 5, body().grid, True), None, LabelError, "in common"),
    ],
)  # fmt: skip
def test_refusals(fixed, moving, features, error, message):
    with pytest.raises(error, match=message):
        register(fixed, moving, features=features)


def test_images_that_do_not_meet():
    far = body(origin=(1000.0, 0.0, 0.0))
    with pytest.raises(GeometryError, match="no overlap"):
        register(body(), far, features="mind", affine=False)
    met = register(body(), far, features="mind", settings=QUICK, affine=True)
    assert mismatch(met.warped, body()) < 1


def test_landmarks_alone_carry_points_between_them(rng):
    """Two hundred pairs of points of a smooth displacement; two hundred others follow."""
    grid = Grid.from_spacing((32, 28, 24), 3.0)
    image = Image.from_array(rng.random(grid.shape).astype(np.float32), grid)

    def moved(points):
        return points + 5 * np.sin((points - grid.centre)[:, [1, 2, 0]] / 25) + 3

    inner = [(3, n - 4) for n in grid.shape]
    given, others = (
        grid.index_to_world(np.stack([rng.uniform(*span, count) for span in inner], axis=1)) for count in (200, 200)
    )
    pairs = LandmarkPairs(given, moved(given))
    result = register(image, image, features="none", keypoints=pairs)
    before = np.linalg.norm(moved(others) - others, axis=1).mean()
    after = np.linalg.norm(result.transform.map_points(others) - moved(others), axis=1).mean()
    assert before > 5
    assert after < 0.1 * before
    assert float(result.displacement.jacobian_determinant().min()) > 0


def test_tissues_slide(rng):
    """Two halves move against each other: with their label map the jump between them is found, without it blurred."""
    shape = (48, 48)
    noise = rng.normal(size=(48, 64))
    texture = np.real(np.fft.ifft2(np.fft.fft2(noise) * np.exp(-2 * np.square(np.fft.fftfreq(48))[:, None] * 60)
                                   * np.exp(-2 * np.square(np.fft.fftfreq(64))[None] * 60)))  # fmt: skip
    grid = Grid.from_spacing(shape, 2.0)
    moving = texture[:, 8:56].astype(np.float32)
    fixed = np.concatenate([texture[:24, 10:58], texture[24:, 6:54]]).astype(np.float32)
    halves = Image.from_array(np.repeat([1, 2], 24)[:, None].repeat(48, 1).astype(np.uint8), grid, labels=True)
    truth = np.repeat([2.0, -2.0], 24)[:, None]
    errors = {}
    for name, given in (("plain", {}), ("tissue", {"tissue": halves})):
        settings = Settings("intensity", affine=False, strides=(4, 2, 1), iterations=(8, 8, 8), lam=(0.5, 0.1))
        result = register(Image.from_array(fixed, grid), Image.from_array(moving, grid), settings=settings, **given)
        found = result.displacement.data[0, 1]
        errors[name] = np.abs(found - truth)[20:28, 8:-8].mean()
    assert errors["tissue"] < 0.7 * errors["plain"]


def test_regularisers_by_name():
    fixed, moving = body(), body(1.5)
    found = {
        name: register(fixed, moving, settings=replace(QUICK, regulariser=name)).displacement.data
        for name in ("diffusion", "curvature", "edges")
    }
    assert not np.array_equal(found["diffusion"], found["curvature"])
    assert not np.array_equal(found["diffusion"], found["edges"])
    with pytest.raises(
        SettingsError, match="regulariser: got 'stiff', expected one of diffusion, curvature, edges or lungs"
    ):
        replace(QUICK, regulariser="stiff")


def test_tissue_that_is_no_label_map():
    with pytest.raises(LabelError, match=r"tissues: .*expected a label map in the world of the fixed image"):
        register(body(), body(1.5), settings=QUICK, tissue=body())


@pytest.mark.data
def test_scan_with_itself(data_root):
    """Nothing moves; and the look at its negative, with which it cannot be aligned, does not end in overflow."""
    scan = data_root / "HippocampusMR" / "imagesTr" / "HippocampusMR_0001_0000.nii.gz"
    found = register(scan, scan)
    assert not found.displacement.data.any()
    np.testing.assert_array_equal(found.affine.matrix, np.eye(4))
