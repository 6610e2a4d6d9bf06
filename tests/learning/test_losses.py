"""Losses: known values, and what must not count."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from learngn.features import FeatureImage
from learngn.geometry.grid import Grid
from learngn.learning import LossConfig
from learngn.learning.data import Batch, Side
from learngn.learning.losses import LabelLoss, RegistrationLoss, distance_loss, weighted_squares

NONE = {"labels": 0, "mse": 0, "auxiliary": 0, "distances": 0}
SHAPES = [(16, 12), (12, 12, 10)]


def one_hot(array, labels):
    array = torch.as_tensor(array)[None, None]
    return torch.cat([(array == value).float() for value in range(labels)], dim=1)


def block(shape, start, value=1):
    """A label map with a block of half the grid's size."""
    array = np.zeros(shape, dtype=np.int64)
    array[tuple(slice(s, s + n // 2) for s, n in zip(start, shape, strict=True))] = value
    return array


def side(grid, labels=None, landmarks=None, features=None):
    features = torch.zeros(1, 1, *grid.shape) if features is None else features
    return Side(FeatureImage(features, grid), labels, grid, None, landmarks)


def shifted(shape, shift):
    """A pair of label maps, the moving one `shift` voxels aside, and the field that undoes it."""
    start = [n // 4 for n in shape]
    fixed, moving = block(shape, start), block(shape, [s + d for s, d in zip(start, shift, strict=True)])
    field = torch.tensor(shift, dtype=torch.float32).reshape(1, -1, *[1] * len(shape)).expand(1, -1, *shape)
    return one_hot(fixed, 2), one_hot(moving, 2), field


@pytest.mark.parametrize("shape", SHAPES, ids=str)
class TestLabels:
    def test_perfect_labels_cost_nothing(self, shape, rng):
        truth = one_hot(rng.integers(0, 4, shape), 4)
        assert float(LabelLoss()(truth, truth)) == pytest.approx(0, abs=1e-4)

    def test_dice_and_entropy(self, shape):
        """Everywhere ½ for both labels, half of which is the truth: Dice 1 - 2·½n/(½·2n + n), entropy log 2."""
        truth = one_hot(block(shape, [0] * len(shape)), 2)
        volume, size = float(truth[:, 1].sum()), float(truth[:, 1].numel())
        dice = 1 - 2 * 0.5 * volume / (0.5 * size + volume)
        assert float(LabelLoss()(torch.full_like(truth, 0.5), truth)) == pytest.approx(dice + np.log(2), rel=1e-3)

    def test_weight_of_the_entropy(self, shape):
        """Labels compared after a registration: the weight is that of the configuration."""
        truth = one_hot(block(shape, [0] * len(shape)), 2)
        grid = Grid.from_spacing(shape, 2.0)
        batch = Batch(side(grid, truth), side(grid, torch.full_like(truth, 0.5)))
        still, world = torch.zeros(1, len(shape), *shape), np.eye(len(shape) + 1)
        losses = [RegistrationLoss(LossConfig(**NONE | {"labels": 1.0, "entropy": e})) for e in (0.0, 2.0)]
        dice, twice = (float(loss(batch, still, grid, world)["labels"]) for loss in losses)
        volume, size = float(truth[:, 1].sum()), float(truth[:, 1].numel())
        assert dice == pytest.approx(1 - 2 * 0.5 * volume / (0.5 * size + volume), rel=1e-3)
        assert twice - dice == pytest.approx(2 * np.log(2), rel=1e-3)

    def test_organs_outside_the_field_of_view_do_not_count(self, shape):
        truth = one_hot(block(shape, [1] * len(shape)), 2)
        guess = 0.7 * truth + 0.15
        absent = torch.zeros_like(truth[:, :1])
        more = LabelLoss()(torch.cat([guess, absent], 1), torch.cat([truth, absent], 1))
        torch.testing.assert_close(more, LabelLoss()(guess, truth))

    def test_through_a_displacement(self, shape):
        shift = [2, -1, 1][: len(shape)]
        fixed, moving, field = shifted(shape, shift)
        grid = Grid.from_spacing(shape, 2.0)
        batch = Batch(side(grid, fixed), side(grid, moving))
        loss = RegistrationLoss(LossConfig(**NONE | {"labels": 2.0, "mse": 1.0}))
        after = loss(batch, field, grid, np.eye(len(shape) + 1))
        before = loss(batch, torch.zeros_like(field), grid, np.eye(len(shape) + 1))
        for name in ("labels", "mse"):
            assert float(after[name]) == pytest.approx(0, abs=1e-4)
            assert float(before[name]) > 0.1
        torch.testing.assert_close(before["labels"], 2 * LabelLoss()(moving, fixed))

    def test_fields_of_a_coarser_level(self, shape):
        """A displacement of a level with voxels of twice the size, in its own voxels, says the same."""
        shift = [2, -2, 2][: len(shape)]
        fixed, moving, field = shifted(shape, shift)
        grid = Grid.from_spacing(shape, 2.0)
        coarse = grid.resized([n // 2 for n in shape])
        batch = Batch(side(grid, fixed), side(grid, moving))
        half = field[(..., *[slice(n // 2) for n in shape])] / 2
        found = RegistrationLoss(LossConfig(**NONE | {"labels": 1}))(batch, half, coarse, np.eye(len(shape) + 1))
        assert float(found["labels"]) == pytest.approx(0, abs=1e-4)


def test_weighted_squares():
    """Two labels of volumes 12 and 4: weights 12^-½ and 4^-½ over their mean."""
    truth = one_hot(np.array([[0] * 4, [0] * 4, [0] * 4, [1] * 4]), 2)
    guess = truth.clone()
    guess[:, 0, 3, 0], guess[:, 1, 3, 0] = 0.5, 0.5  # one voxel of 16, wrong by ½ in both channels
    weight = np.array([12**-0.5, 4**-0.5])
    weight = weight / weight.mean()
    assert float(weighted_squares(guess, truth)) == pytest.approx(0.25 * weight.sum() / 32, rel=1e-5)
    assert float(weighted_squares(truth, truth)) == 0
    absent = torch.zeros_like(truth[:, :1])  # a label without volume has no weight, and no infinite one
    assert np.isfinite(float(weighted_squares(torch.cat([guess, absent + 0.5], 1), torch.cat([truth, absent], 1))))


class TestDistances:
    def test_value(self):
        """The mean over the organ's surroundings plus the mean over the rest, where the distance is at its limit."""
        distances = torch.tensor([[[[-1.0, -1.0, 0.5, -0.5]]]])
        learned = torch.tensor([[[[-1.0, 1.0, 0.5, 0.5]], [[9.0, 9.0, 9.0, 9.0]]]])  # a second channel is free
        assert float(distance_loss(learned, distances)) == pytest.approx(1.0 / 2 + 4.0 / 2)
        assert float(distance_loss(distances, distances)) == 0

    def test_interpolated_limits_are_still_limits(self):
        """Interpolated with weights whose sum is rounded, a distance at its limit is above it or below."""
        distances = torch.tensor([[[[-1.0, -1.0, -1.0, 0.5, -0.5]]]])
        rounded = distances + torch.tensor([6e-8, -6e-8, 1.2e-7, 0, 0])
        learned = torch.tensor([[[[-1.0, 1.0, 1.0, 0.5, 0.5]]]])
        assert float(distance_loss(learned, rounded)) == pytest.approx(float(distance_loss(learned, distances)))

    def test_unknown_organs_do_not_count(self):
        distances = torch.rand(1, 2, 4, 3) - 0.5
        learned = torch.randn(1, 2, 4, 3, requires_grad=True)
        unknown = torch.cat([distances[:, :1], torch.full_like(distances[:, 1:], torch.nan)], dim=1)
        loss = distance_loss(learned, unknown)
        loss.backward()
        alone = distance_loss(learned[:, :1].detach(), distances[:, :1])
        assert float(loss.detach()) == pytest.approx(float(alone) / 2)
        assert bool(torch.isfinite(learned.grad).all())
        assert not bool(learned.grad[:, 1].any())
        assert bool(learned.grad[:, 0].any())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_landmarks(shape, rng):
    """Nothing for the true translation, its length in mm for none, on a grid of turned, unequal axes."""
    ndim = len(shape)
    turn = np.eye(ndim)[:, ::-1] * [-1.0, 1.0, 1.0][:ndim]
    grid = Grid.from_spacing(shape, [1.0, 2.0, 1.5][:ndim], origin=[30.0, -5.0, 2.0][:ndim], direction=turn)
    points = torch.from_numpy(grid.index_to_world(rng.uniform(2, 6, (7, ndim)))).float()[None]
    shift = torch.tensor([3.0, -1.0, 2.0])[:ndim]  # [mm]
    batch = Batch(side(grid, landmarks=points), side(grid, landmarks=points + shift))
    voxels = torch.from_numpy(np.linalg.inv(grid.affine[:-1, :-1])).float() @ shift
    field = voxels.reshape(1, -1, *[1] * ndim).expand(1, -1, *shape).contiguous()
    loss = RegistrationLoss(LossConfig(**NONE | {"landmarks": 1}))

    def cost(u, world):
        return float(loss(batch, u, grid, world)["landmarks"])

    identity = np.eye(ndim + 1)
    assert cost(field, identity) == pytest.approx(0, abs=0.01)
    assert cost(torch.zeros_like(field), identity) == pytest.approx(float(shift.norm()), rel=1e-4)
    identity[:-1, -1] = shift  # an affine that follows does as well
    assert cost(torch.zeros_like(field), identity) == pytest.approx(0, abs=0.01)


def test_landmarks_are_a_mean_over_the_batch(rng):
    grid = Grid.from_spacing((12, 10))
    points = torch.from_numpy(grid.index_to_world(rng.uniform(2, 6, (2, 5, 2)))).float()
    moved = points + torch.tensor([[[0.0, 0.0]], [[4.0, 0.0]]])
    batch = Batch(side(grid, landmarks=points), side(grid, landmarks=moved))
    loss = RegistrationLoss(LossConfig(**NONE | {"landmarks": 0.5}))
    found = loss(batch, torch.zeros(2, 2, 12, 10), grid, np.eye(3))["landmarks"]
    assert float(found) == pytest.approx(0.5 * 2, abs=0.01)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_features_and_smoothness(shape):
    grid = Grid.from_spacing(shape, 2.0)
    ramp = torch.arange(shape[0], dtype=torch.float32).reshape(1, 1, -1, *[1] * (len(shape) - 1)).expand(1, 1, *shape)
    batch = Batch(side(grid, features=ramp + 2), side(grid, features=ramp.contiguous()))
    loss = RegistrationLoss(LossConfig(**NONE | {"features": 1, "smoothness": 1}))
    still = torch.zeros(1, len(shape), *shape)
    before = loss(batch, still, grid, np.eye(len(shape) + 1))
    assert float(before["features"]) == pytest.approx(4)
    assert float(before["smoothness"]) == 0
    moved = still.clone()
    moved[:, 0] = 2
    after = loss(batch, moved, grid, np.eye(len(shape) + 1))
    assert float(after["features"]) == pytest.approx(5 / shape[0])  # all but the last two rows, beyond which it is flat
    assert float(after["smoothness"]) == 0
    tilted = still.clone()
    tilted[:, 0] = 0.5 * ramp[:, 0]
    slope = loss(batch, tilted, grid, np.eye(len(shape) + 1))["smoothness"]
    steps = (shape[0] - 1) / shape[0]  # between the voxels of a row
    assert float(slope) == pytest.approx(0.25 * steps / len(shape) ** 2)  # one of D² derivatives is ½


def test_smoothness_of_a_field_one_voxel_thick():
    grid = Grid.from_spacing((8, 6, 1))
    loss = RegistrationLoss(LossConfig(**NONE | {"smoothness": 1}))
    assert float(loss(Batch(side(grid), side(grid)), torch.ones(1, 3, 8, 6, 1), grid, np.eye(4))["smoothness"]) == 0


def test_only_what_has_a_weight_and_what_is_known():
    fixed, moving, field = shifted((8, 8), [1, 1])
    grid = Grid.from_spacing((8, 8))
    batch = Batch(side(grid, fixed), side(grid, moving))
    everything = RegistrationLoss(LossConfig(labels=1, mse=1, smoothness=1, features=1, landmarks=1))
    assert set(everything(batch, field, grid, np.eye(3))) == {"labels", "mse", "smoothness", "features"}
    unlabelled = Batch(replace(batch.fixed, labels=None), batch.moving)
    assert set(everything(unlabelled, field, grid, np.eye(3))) == {"smoothness", "features"}
    assert set(RegistrationLoss(LossConfig(**NONE | {"mse": 1}))(batch, field, grid, np.eye(3))) == {"mse"}
