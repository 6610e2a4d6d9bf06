"""Uncertainty of a registration: units, directions, masks, labels; and that asking for it changes nothing."""

from dataclasses import replace

import numpy as np
import pytest

from learngn.errors import SettingsError
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.kernels.stencils import full_blocks
from learngn.registration import register
from learngn.settings import Settings
from learngn.uncertainty import Uncertainty
from learngn.uncertainty.information import coarse_grid
from learngn.uncertainty.labels import on_labels

SHAPE = (36, 30, 26)
QUICK = Settings("intensity", affine=False, strides=(4, 2, 1), iterations=(3, 3, 2), lam=(0.1, 0.003), uncertainty=True)


def scan(shape, scale, shift=0.0, empty=None, seed=3, turn=None):
    """Blobs and noise on a grid whose voxels have the size `scale`; no structure where `empty` is set."""
    grid = Grid.from_spacing(shape, scale)
    if turn is not None:
        matrix = grid.affine.copy()
        matrix[:3, :3] = turn @ matrix[:3, :3]
        grid = Grid(shape, matrix)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1).astype(float)
    draw, value = np.random.default_rng(1), np.zeros(shape)
    for _ in range(150):
        centre, width = draw.uniform(0, shape), draw.uniform(1.2, 2.5)
        value += draw.uniform(0.3, 1) * np.exp(-((index + shift - centre) ** 2).sum(-1) / (2 * width**2))
    if empty is not None:
        value[empty] = 0.5
    value += 0.03 * np.random.default_rng(seed).standard_normal(shape)
    return Image.from_array(value.astype(np.float32), grid)


def found(scale=(2.0, 2.0, 2.0), settings=QUICK, turn=None, **given):
    pair = scan(SHAPE, scale, turn=turn), scan(SHAPE, scale, shift=0.7, seed=4, turn=turn)
    return register(*pair, settings=settings, device="cpu", **given)


def inner(values):
    """Voxels away from the border, where there are fewer neighbours."""
    return values[3:-3, 3:-3, 3:-3]


@pytest.fixture(scope="module")
def result():
    return found()


def test_images(result):
    spread = result.uncertainty
    assert spread.deviation.data.shape == (1, 1, *SHAPE)
    assert spread.deviation.grid == result.fixed.grid
    assert spread.deviation.data.dtype == np.float32
    assert spread.axis.data.shape == (1, 3, *spread.axis.grid.shape)
    assert np.isfinite(spread.deviation.data).all()
    assert float(spread.deviation.data.min()) > 0
    assert "uncertainty" in result.seconds


@pytest.mark.parametrize("changes", [{}, {"symmetric": True}, {"diffeomorphic": True}, {"robust": "huber:0.5"}])
def test_the_displacement_does_not_change(changes):
    settings = replace(QUICK, **changes)
    asked, plain = found(settings=settings), found(settings=replace(settings, uncertainty=False))
    assert plain.uncertainty is None
    np.testing.assert_array_equal(asked.displacement.data, plain.displacement.data)
    assert asked.uncertainty is not None


def test_it_is_in_millimetres(result):
    """Voxels of twice the size: the same displacement in voxels, twice the one in millimetres."""
    doubled = found((4.0, 4.0, 4.0))
    np.testing.assert_allclose(doubled.uncertainty.deviation.data, 2 * result.uncertainty.deviation.data, rtol=0.01)


def test_directions_follow_the_world(result):
    """Scans in another orientation: ellipsoids turn with them."""
    turn = np.array([[0.0, -1.0, 0.0], [0.6, 0.0, -0.8], [0.8, 0.0, 0.6]])
    turned = found(turn=turn)
    straight = full_blocks(result.uncertainty.covariance.data, 3)
    oblique = full_blocks(turned.uncertainty.covariance.data, 3)
    np.testing.assert_allclose(oblique, turn @ straight @ turn.T, rtol=0.02, atol=0.02 * np.abs(straight).max())


def test_anisotropic_voxels():
    spread = found((1.0, 2.0, 4.0)).uncertainty
    assert spread.deviation.data.shape == (1, 1, *SHAPE)
    assert np.linalg.eigvalsh(full_blocks(spread.covariance.data, 3)).min() > 0


def test_the_axis_is_the_longest_of_the_ellipsoid(result):
    spread = result.uncertainty
    full = full_blocks(spread.covariance.data, 3)
    axis = np.moveaxis(spread.axis.data, 1, -1)
    largest = np.linalg.eigvalsh(full)[..., -1]
    np.testing.assert_allclose((axis**2).sum(-1), largest, rtol=1e-3)
    np.testing.assert_allclose((full @ axis[..., None])[..., 0], largest[..., None] * axis, atol=1e-3 * largest.max())
    # Its field for files holds the same vectors.
    field = spread.axis_field()
    back = np.moveaxis(field.data, 1, -1) @ field.grid.affine[:3, :3].T
    np.testing.assert_allclose(back, axis, atol=1e-4 * np.abs(axis).max())


def test_where_there_is_no_structure_it_is_large():
    empty = (slice(0, 14), slice(None), slice(None))
    pair = scan(SHAPE, (2.0,) * 3, empty=empty), scan(SHAPE, (2.0,) * 3, empty=empty, seed=4)
    deviation = register(*pair, settings=QUICK, device="cpu").uncertainty.deviation.data[0, 0]
    assert inner(deviation)[:6].mean() > 1.5 * inner(deviation)[16:].mean()


def test_what_a_mask_leaves_out_is_not_known():
    weight = np.ones(SHAPE, dtype=np.float32)
    weight[:14] = 0
    mask = Image.from_array(weight, Grid.from_spacing(SHAPE, (2.0,) * 3))
    inside, masked = found().uncertainty.deviation.data[0, 0], found(fixed_mask=mask).uncertainty.deviation.data[0, 0]
    inside, masked = inner(inside), inner(masked)
    assert masked[:6].mean() > 1.5 * inside[:6].mean()
    assert masked[18:].mean() == pytest.approx(inside[18:].mean(), rel=0.3)


def test_more_noise_is_less_sure():
    quiet = found()
    noisy = [
        Image(
            image.data + 0.1 * np.random.default_rng(k).standard_normal(image.data.shape).astype(np.float32), image.grid
        )
        for k, image in enumerate((quiet.fixed, quiet.moving))
    ]
    other = register(*noisy, settings=QUICK, device="cpu")
    assert other.uncertainty.deviation.data.mean() > 1.3 * quiet.uncertainty.deviation.data.mean()


@pytest.mark.parametrize("regulariser", ["curvature", "edges"])
def test_other_regularisers(regulariser):
    spread = found(settings=replace(QUICK, regulariser=regulariser)).uncertainty
    assert 0 < spread.deviation.data.mean() < 20


def test_a_plane():
    pair = scan((40, 36), (1.5, 2.0)), scan((40, 36), (1.5, 2.0), shift=0.5, seed=4)
    spread = register(*pair, settings=QUICK, device="cpu").uncertainty
    assert spread.deviation.data.shape == (1, 1, 40, 36)
    assert spread.axis.data.shape[:2] == (1, 2)


def test_landmarks_alone_are_sure_places():
    from learngn.optimise import LandmarkPairs

    image = scan(SHAPE, (2.0,) * 3)
    index = np.random.default_rng(0).integers(3, 23, (12, 3))
    points = image.grid.index_to_world(index)
    moved = points + 1 + np.random.default_rng(1).normal(0, 0.2, points.shape)
    settings = Settings("none", affine=False, strides=(2, 1), iterations=(4, 4), lam=(0.1, 0.01), uncertainty=True)
    result = register(image, image, settings=settings, keypoints=LandmarkPairs(points, moved), device="cpu")
    deviation = result.uncertainty.deviation.data[0, 0]
    assert deviation[tuple(index.T)].max() < 0.6 * np.median(deviation)


def test_tensors_give_the_same(result):
    torch = pytest.importorskip("torch")
    other = register(result.fixed.to("cpu"), result.moving.to("cpu"), settings=QUICK, device="cpu")
    assert isinstance(other.uncertainty.deviation.data, torch.Tensor)
    np.testing.assert_allclose(other.uncertainty.deviation.data.numpy(), result.uncertainty.deviation.data, rtol=0.02)


def test_adam_has_no_normal_equations():
    with pytest.raises(SettingsError, match="uncertainty"):
        replace(QUICK, update="adam")


def test_labels(result):
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[4:16, 4:16, 4:16], labels[20:30, 10:20, 5:15] = 1, 3
    means = result.uncertainty.of_labels(Image.from_array(labels, result.fixed.grid, labels=True))
    assert set(means) == {1, 3}
    deviation = result.uncertainty.deviation.data[0, 0]
    for label, mean in means.items():
        assert mean == pytest.approx(float(deviation[labels == label].mean()), rel=0.05)


def test_a_label_whose_surface_moves():
    """A cube of side n voxels with the deviation σ along every axis loses ``6 n² · √(2/π) σ / (2 n³)`` of Dice."""
    labels = np.zeros((12, 14, 16), dtype=np.uint8)
    labels[2:10, 3:11, 4:12] = 5
    variances = np.full((4, *labels.shape), 0.04)
    variances[-1] = 0.12
    spread = on_labels(labels, variances, np.array([2.0, 2.0, 2.0]))[5]
    assert spread.deviation == pytest.approx(np.sqrt(0.12))
    assert spread.across == pytest.approx(0.2)
    assert spread.dice_loss == pytest.approx(6 * 16**2 * np.sqrt(2 / np.pi) * 0.2 / (2 * 16**3))


def test_it_is_estimated_on_few_voxels():
    grid = Grid.from_spacing((200, 180, 160), (1.0, 1.0, 2.0))
    coarse = coarse_grid(grid, 50_000)
    assert coarse.size <= 50_000
    np.testing.assert_allclose(coarse.extent, grid.extent)
    assert coarse_grid(coarse, 50_000) == coarse


def test_the_border_is_not_extrapolated():
    """A covariance that falls towards the border, on a coarse grid: below zero if the slope went on."""
    fine = Grid.from_spacing((24, 24, 24), (1.0, 1.0, 1.0))
    slope = np.arange(6, dtype=np.float32)[:, None, None] + np.zeros((6, 6, 6), np.float32) + 0.01
    entries = np.stack([slope, 0 * slope, 0 * slope, slope, 0 * slope, slope])[None]
    spread = Uncertainty(Image(entries, fine.resized((6, 6, 6))), fine)
    assert spread.deviation.data.min() == pytest.approx(np.sqrt(0.03))
    labels = Image.from_array(np.ones((24, 24, 24), np.uint8), fine, labels=True)
    assert 0 < spread.of_labels(labels)[1] < np.inf


def test_deviation_of_a_known_covariance():
    grid = Grid.from_spacing((4, 5, 6), (1.0, 2.0, 3.0))
    entries = np.array([4.0, 0, 0, 9, 0, 36], dtype=np.float32).reshape(1, 6, 1, 1, 1)
    spread = Uncertainty(Image(np.tile(entries, (1, 1, 4, 5, 6)), grid), grid)
    np.testing.assert_allclose(spread.deviation.data, 7.0, rtol=1e-6)
    np.testing.assert_allclose(np.abs(spread.axis.data).max(axis=(0, 2, 3, 4)), (0, 0, 6), atol=1e-5)
