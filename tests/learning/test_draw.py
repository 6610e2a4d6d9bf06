"""What a step draws: the same from the same seed, shared by processes; intensities; scans deformed twice."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import learngn.phantom
from learngn.features import FeatureImage, parse_features
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.learning import AugmentationConfig, LossConfig, TrainingConfig
from learngn.learning.augmentation import augmented, centre_of_labels
from learngn.learning.data import Batch, Example, TrainingData, read_example
from learngn.learning.draw import batches
from learngn.learning.intensities import varied
from learngn.learning.losses import RegistrationLoss
from learngn.learning.pairing import AnyTwo, Listed

ORGANS = (1, 2, 3)


@pytest.fixture(scope="module")
def data(dataset):
    example = read_example(dataset.training[0], parse_features("distance"), 1.0, ORGANS)
    pairing = AnyTwo([replace(example, name=str(number)) for number in range(4)])
    return TrainingData(pairing, pairing, (), ORGANS)


@pytest.fixture(scope="module")
def scan():
    (phantom,) = learngn.phantom.abdomens(1, (48, 40), seed=5)
    feature = parse_features("intensity")
    image = phantom.scan.to("cpu")
    return Example("scan", image.grid, feature(image, image, 1.0)[0], phantom.labels.to("cpu"), None, None)


def drawn(data, config, index=3, **where):
    return [
        side.features.data
        for batch, _ in batches(data, config, index, 1.0, **where)
        for side in (batch.fixed, batch.moving)
    ]


def test_two_processes_draw_what_one_draws(data):
    config = TrainingConfig(features="distance", batch=4)
    ((alone, share),) = batches(data, config, 3, 1.0)
    assert share == 1
    parts = [batches(data, config, 3, 1.0, rank=rank, processes=2) for rank in (0, 1)]
    assert [part[0][1] for part in parts] == [1, 1]  # the mean of both is that of one
    together = torch.empty_like(alone.fixed.features.data)
    for rank, part in enumerate(parts):
        together[rank::2] = part[0][0].fixed.features.data
    assert torch.equal(together, alone.fixed.features.data)


def test_more_processes_than_pairs(data):
    """Every process has a pair, as all of them wait for one another's gradients."""
    config = TrainingConfig(features="distance", batch=1)
    for rank in range(3):
        ((_, share),) = batches(data, config, 3, 1.0, rank=rank, processes=3)
        assert share == 1


def test_every_step_draws_anew(data):
    config = TrainingConfig(features="distance")
    assert all(torch.equal(a, b) for a, b in zip(drawn(data, config), drawn(data, config), strict=True))
    assert not torch.equal(drawn(data, config)[0], drawn(data, config, index=4)[0])


def test_scans_deformed_twice(data):
    config = TrainingConfig(features="distance", known=1.0, pretraining=0.5, steps=10, losses={"known_maps": 1.0})
    ((batch, _),) = batches(data, config, 7, 1.0)
    assert batch.fixed.origins.shape == (1, 2, *batch.fixed.features.grid.shape)
    ((early, _),) = batches(data, config, 3, 1.0)  # a step of φ alone
    assert early.fixed.origins is None


def test_the_known_map_has_no_error(scan):
    """Fixed and moving are one scan, moved by 3 and by 5 mm: a displacement of 2 mm is exact, none is off by 2 mm."""
    grid, side = scan.features.grid, augmented(scan, ORGANS, 1.0, None, np.random.default_rng(0), origins=True)
    fixed, moving = (
        replace(side, origins=side.origins + torch.tensor([shift, 0.0]).reshape(1, 2, 1, 1)) for shift in (3.0, 5.0)
    )
    loss = RegistrationLoss(LossConfig(labels=0, known_maps=1.0))
    world = np.eye(3)
    field = torch.zeros(1, 2, *grid.shape)
    along = np.linalg.inv(grid.affine[:2, :2]) @ [-2.0, 0.0]
    right = field + torch.tensor(along, dtype=torch.float32).reshape(1, 2, 1, 1)
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    assert float(loss(Batch(fixed, moving), field, grid, world)["known_maps"]) == pytest.approx(2.0, abs=0.01)
    warped = loss(Batch(fixed, moving), right, grid, world)["known_maps"]
    assert float(warped) < 0.3  # but for the border, beyond which nothing is known
    assert right[inner].shape[2] > 0


def test_the_known_map_of_random_deformations(scan):
    """The error of no displacement is the distance between the two maps."""
    config = AugmentationConfig(rotation=5.0, smooth=0.02)
    sides = [augmented(scan, ORGANS, 1.0, config, np.random.default_rng(seed), origins=True) for seed in (1, 2)]
    grid = scan.features.grid
    error = RegistrationLoss(LossConfig(labels=0, known_maps=1.0))(
        Batch(*sides), torch.zeros(1, 2, *grid.shape), grid, np.eye(3)
    )["known_maps"]
    difference = (sides[0].origins - sides[1].origins).norm(dim=1)
    assert float(error) == pytest.approx(float(difference.mean()), rel=0.25)
    assert float(error) > 0.5


def test_origins_are_where_the_features_come_from(scan):
    config = AugmentationConfig(rotation=10.0, smooth=0.02)
    side = augmented(scan, ORGANS, 1.0, config, np.random.default_rng(4), origins=True)
    grid = scan.features.grid
    index = np.linalg.inv(grid.affine) @ np.append(side.origins[0, :, 20, 24].numpy(), 1)
    i, j = index[:2]
    i0, j0 = int(np.floor(i)), int(np.floor(j))
    values = scan.features.data[0, 0]
    a, b = i - i0, j - j0
    expected = (
        (1 - a) * (1 - b) * values[i0, j0] + a * (1 - b) * values[i0 + 1, j0]
        + (1 - a) * b * values[i0, j0 + 1] + a * b * values[i0 + 1, j0 + 1]
    )  # fmt: skip
    assert float(side.features.data[0, 0, 20, 24]) == pytest.approx(float(expected), abs=1e-4)


def test_features_are_taught_where_the_scans_lie(scan):
    """Whole steps begin where the pose has put the scans, those of φ alone with the scans as they are."""
    grid = scan.image
    matrix = grid.affine.copy()
    matrix[:-1, -1] += (30.0, -20.0)  # the second scan lies elsewhere
    away = Grid(grid.shape, matrix)
    other = replace(
        scan,
        image=away,
        features=FeatureImage(scan.features.data, away),
        labels=Image(scan.labels.data, away),
        landmarks=away.index_to_world([[10.0, 12.0]]),
    )
    scan = replace(scan, landmarks=grid.index_to_world([[10.0, 12.0]]))
    pairing = Listed([(scan, other)])
    data = TrainingData(pairing, pairing, (), ORGANS)
    still = AugmentationConfig(rotation=0, scale=0, shear=0, shift=0, smooth=0)
    config = TrainingConfig(
        features="intensity", pose="translation", steps=10, pretraining=0.5, augmentation=still, losses={"landmarks": 1}
    )
    ((alone, _),) = batches(data, config, 2, 1.0)
    ((whole, _),) = batches(data, config, 7, 1.0)
    torch.testing.assert_close(alone.moving.features.data, scan.features.data)
    assert alone.moving.landmarks is None  # no loss of φ alone reads them
    assert not torch.allclose(whole.moving.features.data, scan.features.data, atol=0.1)
    distance = (whole.moving.landmarks - whole.fixed.landmarks).norm()
    assert float(distance) < 1


def test_centres_are_put_on_one_another(scan):
    still = AugmentationConfig(rotation=8.0, scale=0.1, shear=0.05, shift=0.0, smooth=0.0)
    onto = centre_of_labels(scan, ORGANS) + np.array([7.0, -4.0])
    side = augmented(scan, ORGANS, 1.0, still, np.random.default_rng(0), onto=onto)
    inside = side.labels[0, 1:].sum(0) > 0.5
    centre = side.label_grid.index_to_world(inside.nonzero().double().mean(0).numpy())
    np.testing.assert_allclose(centre, onto, atol=1.5)


def test_mirrored(scan):
    still = AugmentationConfig(rotation=0, scale=0, shear=0, shift=0, smooth=0)
    side = augmented(scan, ORGANS, 1.0, still, np.random.default_rng(0), flips=(0,))
    torch.testing.assert_close(side.features.data, scan.features.data.flip(2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["contrast", "bias", "noise", "blur", "thick"])
def test_each_change_of_intensities(kind):
    grid, random = Grid((24, 20), np.eye(3)), np.random.default_rng(0)
    data = torch.from_numpy(random.random((1, 1, 24, 20), dtype=np.float32))
    strength = {"thick": 4.0, "blur": 2.0}.get(kind, 0.5)
    config = AugmentationConfig(**{kind: strength})
    results = [varied(data, grid, config, np.random.default_rng(seed)) for seed in (*range(12), 0)]
    assert torch.equal(results[0], results[-1])
    changed = sum(not torch.equal(data, result) for result in results[:-1])
    assert changed >= (1 if kind == "thick" else 11)
    if kind in ("blur", "thick"):
        assert all(float(result.std()) <= float(data.std()) + 1e-6 for result in results)
    if kind == "contrast":
        assert all(float(result.amin()) == float(data.amin()) for result in results)
    assert torch.equal(varied(data, grid, AugmentationConfig(), np.random.default_rng(0)), data)
