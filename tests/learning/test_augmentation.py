"""Random deformations: everything about a scan moves together, and the seed says how."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from learngn.features import FeatureImage, parse_features
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.learning import AugmentationConfig
from learngn.learning.augmentation import augmented
from learngn.learning.data import Example, read_example

NOTHING = AugmentationConfig(rotation=0, scale=0, shear=0, shift=0, smooth=0)
STRONG = AugmentationConfig(rotation=12, scale=0.1, shear=0.05, shift=0.05, smooth=0.02)
ORGANS = tuple(range(1, 14))


@pytest.fixture(scope="module")
def example(dataset):
    """A subject at full resolution, with the distances of its organs."""
    spacing = float(dataset.training[0].image.exists())  # finer than the scan: its own voxels
    return read_example(dataset.training[0], parse_features("distance"), spacing, ORGANS)


def coordinates(grid):
    """An example whose features are the world coordinates of its voxels [mm]: they tell where anything has gone."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    world = torch.from_numpy(grid.index_to_world(index).astype(np.float32))
    features = FeatureImage(torch.movedim(world, -1, 0)[None].contiguous(), grid)
    inner = grid.index_to_world(np.random.default_rng(1).uniform(0.35, 0.65, (20, grid.ndim)) * grid.shape)
    labels = Image.from_array(torch.zeros(grid.shape, dtype=torch.uint8), grid, labels=True)
    return Example("coordinates", grid, features, labels, None, inner)


def draw(example, config, seed=0, spacing=0.1):
    return augmented(example, ORGANS, spacing, config, np.random.default_rng(seed))


@pytest.mark.parametrize("config", [None, NOTHING], ids=["no configuration", "all at zero"])
def test_without_any_it_is_the_example(example, config):
    side = draw(example, config)
    torch.testing.assert_close(side.features.data, example.features.data, rtol=0, atol=1e-5)
    torch.testing.assert_close(side.distances, example.distances.data, rtol=0, atol=1e-5, equal_nan=True)
    assert side.features.grid == example.features.grid
    assert side.label_grid == example.image
    truth = torch.cat([(example.labels.data == value).float() for value in (0, *ORGANS)], dim=1)
    assert torch.equal(side.labels, truth)


@pytest.mark.parametrize("seed", range(4))
def test_features_distances_and_labels_move_together(example, seed):
    side = draw(example, STRONG, seed)
    inside = side.labels[:, 1:].sum(1, keepdim=True) > 0.5

    def agreement(features):
        return float(((features > 0) == inside).float().mean())

    assert agreement(example.features.data) < 0.95 < 0.98 < agreement(side.features.data)
    known = [
        channel for channel in range(len(ORGANS)) if not bool(torch.isnan(example.distances.data[0, channel]).any())
    ]
    assert len(known) > 5
    signs = (side.distances[:, known] > 0) == (side.labels[:, 1:][:, known] > 0.5)
    assert float(signs.float().mean()) > 0.99


def test_missing_organs_stay_unknown(example):
    distances = example.distances.data.clone()
    distances[:, 3] = torch.nan
    lacking = replace(example, distances=FeatureImage(distances, example.distances.grid))
    side = draw(lacking, STRONG)
    assert bool(torch.isnan(side.distances[:, 3]).all())
    assert not bool(torch.isnan(side.distances[:, 0]).any())


def test_labels_are_one_hot_on_their_own_grid(example):
    side = draw(example, STRONG, spacing=2 * float(example.image.spacing.max()))
    assert side.label_grid == example.image.coarsened(2 * float(example.image.spacing.max()))
    assert side.labels.shape == (1, 14, *side.label_grid.shape)
    assert torch.equal(side.labels.sum(1), torch.ones(1, *side.label_grid.shape))
    assert set(side.labels.unique().tolist()) == {0.0, 1.0}


def test_labels_that_are_not_asked_for_are_background(example):
    side = augmented(example, (2,), 0.1, None, np.random.default_rng(0))
    assert torch.equal(side.labels[:, 1:] > 0, example.labels.data == 2)
    assert torch.equal(side.labels[:, :1] > 0, example.labels.data != 2)


@pytest.mark.parametrize("shape", [(40, 32), (24, 20, 16)], ids=str)
def test_landmarks_go_where_their_tissue_goes(shape):
    turn = np.diag([-1.0, 1.0, 1.0])[: len(shape), : len(shape)]
    grid = Grid.from_spacing(shape, [2.0, 3.0, 2.5][: len(shape)], direction=turn)
    example = coordinates(grid)
    side = draw(example, STRONG, spacing=2.0)
    points = side.landmarks[0].double().numpy()
    assert np.linalg.norm(points - example.landmarks, axis=1).mean() > 2
    index = torch.from_numpy(grid.world_to_index(points)).float()
    there = sampling.sample_points(side.features.data.contiguous(), index).numpy()
    np.testing.assert_allclose(there, example.landmarks, atol=0.2)  # [mm]


@pytest.mark.parametrize("shape", [(40, 32), (24, 20, 16)], ids=str)
def test_rotation_keeps_distances_and_the_centre(shape):
    grid = Grid.from_spacing(shape, [2.0, 3.0, 2.5][: len(shape)], origin=[10.0, -20.0, 5.0][: len(shape)])
    side = draw(coordinates(grid), NOTHING.model_copy(update={"rotation": 10.0}))
    inner = [slice(n // 3, 2 * n // 3) for n in shape]
    went = torch.movedim(side.features.data[0][(slice(None), *inner)], 0, -1).reshape(-1, len(shape))
    was = torch.movedim(coordinates(grid).features.data[0][(slice(None), *inner)], 0, -1).reshape(-1, len(shape))
    assert float((went - was).norm(dim=1).max()) > 0.5
    torch.testing.assert_close(torch.cdist(went, went), torch.cdist(was, was), rtol=1e-3, atol=0.05)
    torch.testing.assert_close(went.mean(0), was.mean(0), rtol=0, atol=0.05 * float(grid.extent.max()))


def test_contrast_is_a_gamma_between_the_extremes(example):
    side = draw(example, NOTHING.model_copy(update={"contrast": 0.5}))
    before, after = example.features.data.flatten(), side.features.data.flatten()
    assert float(after.min()) == pytest.approx(float(before.min()), abs=1e-4)
    assert float(after.max()) == pytest.approx(float(before.max()), abs=1e-4)
    order = before.argsort()
    assert bool((after[order].diff() >= -1e-5).all())
    assert float((after - before).abs().max()) > 0.1


@pytest.mark.parametrize("change", [{"noise": 0.1}, {"bias": 0.3, "blur": 1.0}, {"thick": 2.0}])
def test_a_constant_border_of_a_scan_stays(change):
    grid = Grid.from_spacing((20, 16, 12), 1.0)
    data = torch.full((1, 1, *grid.shape), -0.5)
    data[..., 4:15, 3:14, 2:9] = torch.rand(1, 1, 11, 11, 7, generator=torch.Generator().manual_seed(1))
    labels = Image.from_array(torch.zeros(grid.shape, dtype=torch.uint8), grid, labels=True)
    scan = Example("scan", grid, FeatureImage(data, grid), labels, None, None)
    inside = torch.zeros(grid.shape, dtype=torch.bool)
    inside[4:15, 3:14, 2:9] = True
    for seed in range(8):
        side = draw(scan, STRONG.model_copy(update=change), seed, 1.0)
        assert bool((side.features.data[0, 0][~inside] == -0.5).all())
        assert float(side.features.data[0, 0][inside].std()) > 0.05


def test_the_seed_says_how(example):
    one, same, other = (draw(example, STRONG, seed) for seed in (1, 1, 2))
    assert torch.equal(one.features.data, same.features.data)
    assert torch.equal(one.labels, same.labels)
    assert not torch.equal(one.features.data, other.features.data)
