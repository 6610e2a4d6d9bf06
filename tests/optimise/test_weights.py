"""What counts and what does not: masks, the overlap, weights of features at every level."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.linearise import Analytic, GemanMcClure
from learngn.optimise import AdamDisplacement, Compositional, Energy, Exponential, GaussNewton, LandmarkPairs, Symmetric
from learngn.optimise.landmarks import LandmarkTerm
from learngn.optimise.levels import PairLevel, SymmetricPairLevel, levels_of_pair
from learngn.regularise import Diffusion
from learngn.settings import Level, schedule

LEVELS = schedule((4, 2, 1), (6, 6, 6), (0.05, 0.005))
IDENTITY = np.eye(3)


def sinusoid(points):
    return torch.stack([1.8 * torch.sin(2 * torch.pi * points.flip(0)[a] / 40 + a) for a in range(len(points))])


def box(shape, *slices):
    """A weight, (1, 1, *S): one, but zero in a box."""
    weight = torch.ones(1, 1, *shape)
    weight[(0, 0, *slices)] = 0
    return weight


class TestFeatureImage:
    def test_a_coarser_grid_averages_the_weight_too(self):
        grid = Grid.from_spacing((8, 6))
        image = FeatureImage(torch.rand(1, 2, 8, 6), grid, box((8, 6), slice(0, 3)))
        coarse = image.on(grid.coarsened(2))
        torch.testing.assert_close(coarse.weight, sampling.pool(image.weight, (4, 3)))
        assert coarse.weight[0, 0, :, 0].tolist() == [0, 0.5, 1, 1]
        assert replace(image, weight=None).on(grid.coarsened(2)).weight is None


class TestFilled:
    def test_what_is_known_stays_and_the_rest_follows_smoothly(self, rng):
        """Across a hole in a ramp: no jump at its border, no value beyond those about it."""
        axes = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in (24, 20)], indexing="ij")
        ramp = (axes[0] + 2 * axes[1])[None, None]
        known = box((24, 20), slice(8, 15), slice(6, 13)) > 0
        image = torch.where(known, ramp, torch.full_like(ramp, torch.nan))
        carried = sampling.filled(image, known)
        assert torch.equal(carried[known], ramp[known])
        assert float((carried - ramp).abs().max()) < 8
        assert float(carried.diff(dim=2).abs().max()) < 6

    @pytest.mark.parametrize("shape", [(7, 5), (6, 1, 9), (1, 1)], ids=str)
    def test_any_shape(self, shape, rng):
        image = torch.as_tensor(rng.normal(size=(2, 3, *shape)))
        known = torch.as_tensor(rng.random(size=(2, 1, *shape)) < 0.3)
        known[0] = False
        carried = sampling.filled(image, known)
        assert torch.isfinite(carried).all()
        assert not carried[0].any()
        assert torch.equal(sampling.filled(image, torch.ones_like(known)), image)

    def test_a_constant_is_carried_on(self):
        image, known = torch.full((1, 1, 9, 8, 7), 3.0), torch.zeros((1, 1, 9, 8, 7), dtype=torch.bool)
        known[..., 2, 5, 1] = True
        torch.testing.assert_close(sampling.filled(image, known), image)


class TestLevels:
    def test_weights_are_multiplied(self, rng):
        """Those of the fixed image where it is, those of the moving image where it is sampled."""
        grid = Grid.from_spacing((20, 16))
        features = torch.as_tensor(rng.normal(size=(1, 2, 20, 16))).float()
        ours, theirs = box((20, 16), slice(0, 4)), box((20, 16), slice(10, 20))
        pair = levels_of_pair([Level(1, 1, 1.0)], FeatureImage(features, grid, ours),
                              FeatureImage(features, grid, theirs), IDENTITY)[0]  # fmt: skip
        u = torch.zeros(1, 2, 20, 16)
        u[:, 0] = 2
        seen = pair.compared(u)
        expected = torch.zeros(20, 16)
        expected[5:7] = 1  # the fixed weight from 4 + 1 on, the moving one to 10 - 1, sampled two voxels further
        assert torch.equal(seen.weight[0, 0], expected)
        assert seen.covered == pytest.approx(0.1)
        assert torch.equal(seen.warped[:, :, 5:7], features[:, :, 7:9])

    def test_nothing_to_weigh_is_no_weight(self, known_pair):
        fixed, moving, u = known_pair((20, 16), sinusoid)
        pair = levels_of_pair([Level(1, 1, 1.0)], fixed, moving, IDENTITY)[0]
        assert pair.compared(u).weight is None
        assert pair.compared(u).covered == 1
        assert pair.voxels == 20 * 16

    @pytest.mark.parametrize("symmetric", [False, True])
    def test_overlap_is_where_the_images_are(self, symmetric):
        grid, shifted = Grid.from_spacing((20, 16), origin=(0, 0)), Grid.from_spacing((20, 16), origin=(5, 0))
        fixed, moving = (FeatureImage(torch.rand(1, 1, 20, 16), g) for g in (grid, shifted))
        pair = levels_of_pair([Level(1, 1, 1.0)], fixed, moving, IDENTITY, symmetric=symmetric, overlap=True)[0]
        assert type(pair) is (SymmetricPairLevel if symmetric else PairLevel)
        u = torch.zeros(2 if symmetric else 1, 2, 20, 16)
        u[0, 0] = 2  # into the moving image
        if symmetric:
            u[1, 0] = -3  # into the fixed one
        expected = torch.zeros(20, 16)
        expected[3:] = 1
        assert torch.equal(pair.compared(u).weight[0, 0], expected)

    def test_both_halves_displace(self, rng):
        grid = Grid.from_spacing((20, 16))
        fixed, moving = (FeatureImage(torch.as_tensor(rng.normal(size=(1, 2, 20, 16))), grid) for _ in range(2))
        pair = levels_of_pair([Level(1, 1, 1.0)], fixed, moving, IDENTITY, symmetric=True)[0]
        u = torch.zeros(2, 2, 20, 16, dtype=torch.float64)
        u[0, 0], u[1, 1] = 2, -1
        seen = pair.compared(u)
        torch.testing.assert_close(seen.warped[:, :, :-2], moving.data[:, :, 2:])
        torch.testing.assert_close(seen.fixed[..., 1:], fixed.data[..., :-1])

    @pytest.mark.parametrize("shape", [(20, 16), (10, 9, 8)], ids=str)
    def test_a_mask_of_a_single_voxel_still_counts(self, shape, rng):
        """What borders on nothing is left out; but not when that would leave nothing."""
        grid, weight = Grid.from_spacing(shape), torch.zeros(1, 1, *shape)
        weight[(..., *[4] * len(shape))] = 1
        image = FeatureImage(torch.rand(1, 1, *shape), grid, weight)
        pair = levels_of_pair([Level(1, 1, 1.0)], image, replace(image, weight=None), np.eye(len(shape) + 1))[0]
        assert torch.equal(pair.fixed.weight, weight)


@pytest.mark.parametrize("loss", [None, GemanMcClure(1.0)], ids=repr)
@pytest.mark.parametrize("value", [5.0, -1e4, float("nan")])
@pytest.mark.parametrize("side", ["fixed", "moving"])
def test_what_is_masked_has_no_part_in_the_result(known_pair, side, value, loss):
    """Whatever stands in the masked region, the result is the same, bit by bit, and near the truth."""
    shape = (48, 40)
    weight = box(shape, slice(10, 20), slice(16, 26))
    pair = dict(zip(("fixed", "moving", "u"), known_pair(shape, sinusoid), strict=True))
    clean = replace(pair[side], weight=weight)
    spoilt = replace(clean, data=torch.where(weight > 0, clean.data, torch.full_like(clean.data, value)))
    method = GaussNewton(LEVELS, loss=loss)
    fields = []
    for image in (clean, spoilt):
        both = pair | {side: image}
        fields.append(method(both["fixed"], both["moving"], IDENTITY).field)
    assert torch.equal(fields[0], fields[1])
    error = (fields[1] - pair["u"]).norm(dim=1)[0, 6:-6, 6:-6]
    assert float(error.mean()) < 0.5
    if value == 5:
        both = pair | {side: replace(spoilt, weight=None)}
        without = GaussNewton(LEVELS)(both["fixed"], both["moving"], IDENTITY).field
        assert float((without - pair["u"]).norm(dim=1)[0, 6:-6, 6:-6].mean()) > 2 * float(error.mean())


def test_symmetric_with_a_mask(known_pair):
    shape = (48, 40)
    fixed, moving, _ = known_pair(shape, sinusoid)
    weight = box(shape, slice(10, 20), slice(16, 26))
    method = GaussNewton(LEVELS, update=Symmetric(Exponential()), overlap=True)
    clean = replace(fixed, weight=weight)
    spoilt = replace(clean, data=torch.where(weight > 0, clean.data, torch.full_like(clean.data, 50)))
    first, second = (method(image, moving, IDENTITY) for image in (clean, spoilt))
    assert torch.equal(first.field, second.field)
    assert torch.equal(first.into_fixed, second.into_fixed)


def test_a_weight_of_one_changes_nothing_and_of_zero_leaves_rest(known_pair):
    fixed, moving, _ = known_pair((32, 28), sinusoid)
    ones, zeros = torch.ones(1, 1, 32, 28), torch.zeros(1, 1, 32, 28)
    method = GaussNewton(schedule((4, 2), (4, 4), (0.05, 0.01)))
    plain = method(fixed, moving, IDENTITY).field
    torch.testing.assert_close(method(replace(fixed, weight=ones), moving, IDENTITY).field, plain, rtol=0, atol=1e-5)
    assert not method(replace(fixed, weight=zeros), moving, IDENTITY).field.any()


def test_adam_heeds_the_mask(known_pair):
    shape = (32, 28)
    fixed, moving, _ = known_pair(shape, sinusoid)
    weight = box(shape, slice(0, 16))
    method = AdamDisplacement([Level(2, 5, 0.05)])
    spoilt = replace(fixed, data=torch.where(weight > 0, fixed.data, torch.full_like(fixed.data, 9)), weight=weight)
    first, second = (method(image, moving, IDENTITY).field for image in (replace(fixed, weight=weight), spoilt))
    assert torch.equal(first, second)


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_cropped_moving_image_does_not_drag(texture, lattice, symmetric):
    """Its border is no edge: with `overlap` what lies beyond it is carried along, without it is pulled there."""
    shape, cut = (48, 40), 12
    value, points = texture(shape), lattice(shape)
    shift = torch.tensor([2.0, -1.0], dtype=torch.float64).reshape(-1, 1, 1)
    fixed = FeatureImage(value(points + shift), Grid.from_spacing(shape, origin=(0, 0)))
    moving = FeatureImage(value(points)[:, :, cut:], Grid.from_spacing((48 - cut, 40), origin=(cut, 0)))
    errors = []
    for overlap in (False, True):
        update = Symmetric(Exponential()) if symmetric else Compositional()
        result = GaussNewton(LEVELS, update=update, overlap=overlap)(fixed, moving, IDENTITY)
        field = result.field if result.into_fixed is None else result.field - result.into_fixed
        near = field[0, :, cut - 6 : cut + 4, 8:-8]
        errors.append(float((near - shift).norm(dim=0).mean()))
    assert errors[1] < 0.35
    assert errors[1] < 0.4 * errors[0]


def test_the_energy_judged_is_the_one_minimised(known_pair):
    """With a small mask too: sums of both parts over the voxels of the level, neither inflated."""
    fixed, moving, _ = known_pair((32, 28), sinusoid)
    weight = torch.zeros(1, 1, 32, 28)
    weight[..., 10:20, 10:20] = 1
    level = Level(1, 3, 0.01)
    result = GaussNewton([level])(replace(fixed, weight=weight), moving, IDENTITY)
    pair = levels_of_pair([level], replace(fixed, weight=weight), moving, IDENTITY)[0]
    seen = pair.compared(result.field)
    data = (seen.weight * (seen.warped - seen.fixed).square()).sum() / 2 / (32 * 28)
    assert result.history[-1].data_energy == pytest.approx(float(data), rel=1e-4)


def test_what_leaves_the_field_of_view_is_no_gain():
    """Two hand-made states: half as much overlap with the same mean residual has the same energy."""
    grid = Grid.from_spacing((16, 12))
    fixed, moving = FeatureImage(torch.zeros(1, 1, 16, 12), grid), FeatureImage(torch.ones(1, 1, 16, 12), grid)
    pair = levels_of_pair([Level(1, 1, 0.0)], fixed, moving, IDENTITY, overlap=True)[0]
    stiffness = Diffusion().stiffness(pair.grid, fixed.data)
    energy = Energy(pair, Analytic(), stiffness, torch.zeros((), dtype=torch.float64), Compositional())
    away = torch.zeros(1, 2, 16, 12)
    away[:, 0] = 8
    first = energy(torch.zeros_like(away))
    assert first.data == pytest.approx(0.5)
    assert energy(away, first.covered).data == pytest.approx(0.5)
    assert energy(away).data == pytest.approx(0.25)
    points = LandmarkPairs(np.array([[3.0, 3.0]]), np.array([[3.0, 5.0]]))
    guided = replace(energy, landmarks=LandmarkTerm(points, grid, IDENTITY, fixed.data))
    pulled = guided(away, first.covered).data - 0.5
    assert pulled == pytest.approx((8**2 + 2**2) / 2, rel=1e-5)  # landmarks do not leave
