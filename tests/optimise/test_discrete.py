"""The discrete start: what it finds that a linearisation does not, and what must not drag it."""

import numpy as np
import pytest
import torch

from learngn.errors import SettingsError, ShapeError
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.optimise import GaussNewton
from learngn.optimise.discrete import DiscreteStart
from learngn.optimise.matching import CellCosts, on_border, sampled, window
from learngn.regularise import Diffusion, apply_regulariser
from learngn.settings import schedule

PLANE, SOLID = (72, 66), (40, 36, 44)


def waves(ndim, shortest=5.0, longest=10.0, channels=3):
    """A texture that goes on for ever, as a function of points (D, *S) [mm], of wavelengths far below a large step."""
    rng, count = np.random.default_rng(0), 40
    directions = rng.normal(size=(channels, count, ndim))
    lengths = rng.uniform(shortest, longest, (channels, count))
    directions *= (2 * np.pi / lengths / np.linalg.norm(directions, axis=-1))[..., None]
    phases = rng.uniform(0, 2 * np.pi, (channels, count, 1))

    def value(points):
        at = torch.as_tensor(directions) @ points.double().flatten(1) + torch.as_tensor(phases)
        return (torch.sin(at).sum(1) / count**0.5).reshape(1, -1, *points.shape[1:]).float()

    return value


def points_of(grid):
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    return torch.as_tensor(grid.index_to_world(index)).movedim(-1, 0)


def bump(points, length, width):
    """Displacement [mm] of a given length in the middle that fades out."""
    direction = torch.tensor([1.0, -0.7, 0.5][: len(points)], dtype=torch.float64)
    size = length * torch.exp(-points.square().sum(0) / (2 * width**2))
    return (direction / direction.norm()).reshape(-1, *[1] * len(points)) * size


def in_mm(field, grid):
    """A displacement [voxel] of any shape over a grid's extent, on the grid in RAS mm, (D, *S)."""
    full = sampling.resize_field(field, grid.shape)[0].double()
    return torch.einsum("ab,b...->a...", torch.tensor(grid.affine[:-1, :-1]), full)


def displaced(grid, moving_grid, value, world_u, world=None):
    """Fixed and moving features with ``fixed(x) = moving(world (x + u(x)))`` for a displacement in mm."""
    points = points_of(grid) + world_u(points_of(grid))
    theirs = points_of(moving_grid)
    if world is not None:  # the texture lives in the fixed world
        back = torch.as_tensor(np.linalg.inv(world))
        theirs = torch.einsum("ab,b...->a...", back[:-1, :-1], theirs)
        theirs = theirs + back[:-1, -1].reshape(-1, *[1] * grid.ndim)
    return FeatureImage(value(points), grid), FeatureImage(value(theirs), moving_grid)


def errors(field, grid, world_u, inner=0.5):
    """Lengths of the difference from the truth [mm], where the distance from the middle is below a share."""
    points = points_of(grid)
    length = (in_mm(field, grid) - world_u(points)).norm(dim=0)
    return length[points.norm(dim=0) < inner * float(grid.extent.min())]


class TestLargeDisplacement:
    def test_what_gauss_newton_alone_does_not_find(self):
        grid = Grid.from_spacing(PLANE, 3.0)

        def truth(points):
            return bump(points, 24, 0.22 * 200)

        fixed, moving = displaced(grid, grid, waves(2, 15, 30), truth)
        levels = schedule((8, 4, 2, 1), (8, 8, 8, 8), (3, 0.03))
        alone = GaussNewton(levels)(fixed, moving, np.eye(3)).field
        start = DiscreteStart(reach=30)(fixed, moving, np.eye(3))
        after = GaussNewton(levels[1:])(fixed, moving, np.eye(3), start).field
        assert float(errors(alone, grid, truth, 0.3).mean()) > 9
        assert float(errors(start, grid, truth, 0.3).mean()) < 2
        assert float(errors(after, grid, truth, 0.3).mean()) < 0.5

    @pytest.mark.parametrize("symmetric", [False, True])
    def test_in_3d_between_grids_that_differ_through_an_affine(self, symmetric):
        """Thick slices against other voxels, turned; the moving image is larger, and elsewhere in the world."""
        grid = Grid.from_spacing((40, 44, 24), (2.5, 2.5, 5.0))
        theirs = Grid.from_spacing((60, 48, 52), (3.0, 3.2, 3.0), (130, 50, -70), np.diag([-1.0, 1.0, 1.0]))
        world = np.eye(4)
        world[:3, :3] = [[0.98, -0.17, 0], [0.17, 0.98, 0], [0, 0, 1.05]]
        world[:3, 3] = 40, 120, 6

        def truth(points):
            return bump(points, 20, 40)

        fixed, moving = displaced(grid, theirs, waves(3, 25, 50), truth, world)
        field = DiscreteStart(reach=25, symmetric=symmetric)(fixed, moving, world)
        assert float(errors(field, grid, truth).mean()) < 2.5
        assert float(errors(field, grid, lambda p: 0 * p).mean()) > 10

    def test_a_shift_of_all_is_found_to_a_fraction_of_a_step(self):
        grid = Grid.from_spacing(PLANE, 2.0)

        def truth(points):
            return torch.zeros_like(points) + torch.tensor([13.0, -9.0], dtype=points.dtype).reshape(2, 1, 1)

        fixed, moving = displaced(grid, grid, waves(2, 15, 30), truth)
        field = DiscreteStart(reach=20)(fixed, moving, np.eye(3))
        assert float(errors(field, grid, truth, 0.35).max()) < 2

    def test_however_the_voxels_lie(self):
        """Other directions of the axes: the same displacement in the world."""
        grid = Grid.from_spacing((24, 20, 28), (3.0, 3.5, 2.5))
        fixed, moving = displaced(grid, grid, waves(3, 25, 50), lambda p: bump(p, 12, 30))
        search = DiscreteStart(reach=16)
        plain = in_mm(search(fixed, moving, np.eye(4)), grid)

        def turned(image):
            matrix = image.grid.affine[:, [2, 0, 1, 3]].copy()
            matrix[:, 3] += matrix[:, 1] * 23
            matrix[:, 1] *= -1
            return FeatureImage(image.data.permute(0, 1, 4, 2, 3).flip(3), Grid((28, 24, 20), matrix))

        other = in_mm(search(turned(fixed), turned(moving), np.eye(4)), turned(fixed).grid)
        apart = (other.flip(2).permute(0, 2, 3, 1) - plain).norm(dim=0)
        # Rounding may decide between two displacements that are equally good.
        assert float(apart.mean()) < 0.002
        assert float(apart.max()) < 2

    def test_the_unit_of_the_features_does_not_matter(self):
        grid = Grid.from_spacing(PLANE, 3.0)
        pair = displaced(grid, grid, waves(2, 15, 30), lambda p: bump(p, 20, 40))
        loud = [FeatureImage(50 * image.data, grid) for image in pair]
        plain = DiscreteStart(reach=24)(*pair, np.eye(3))
        torch.testing.assert_close(DiscreteStart(reach=24)(*loud, np.eye(3)), plain, atol=1e-3, rtol=0)

    def test_samples_of_a_batch_do_not_meet(self):
        grid = Grid.from_spacing((40, 36), 3.0)
        pairs = [displaced(grid, grid, waves(2, 15, 30), lambda p, a=a: bump(p, a, 25)) for a in (16, -9)]
        both = [FeatureImage(torch.cat([pair[side].data for pair in pairs]), grid) for side in (0, 1)]
        search = DiscreteStart(reach=20, symmetric=True)
        each = torch.cat([search(*pair, np.eye(3)) for pair in pairs])
        torch.testing.assert_close(search(*both, np.eye(3)), each, atol=5e-3, rtol=0)


class TestNothingDrags:
    def test_outside_the_moving_field_of_view(self):
        """The moving image ends in the middle of the fixed one: what is beyond follows what is known."""
        grid = Grid.from_spacing(PLANE, 3.0)
        fixed, moving = displaced(grid, grid, waves(2, 15, 30), lambda p: 0 * p)
        half = Grid((PLANE[0] // 2, PLANE[1]), grid.affine)
        cut = FeatureImage(moving.data[:, :, : PLANE[0] // 2], half)
        for search in (DiscreteStart(reach=24), DiscreteStart(reach=24, symmetric=True)):
            assert float(in_mm(search(fixed, cut, np.eye(3)), grid).norm(dim=0).max()) < 2

    @pytest.mark.parametrize("side", ["fixed", "moving", "argument"])
    def test_what_weighs_nothing(self, side):
        """Noise where a mask is zero."""
        grid = Grid.from_spacing(PLANE, 3.0)
        images = dict(zip(("fixed", "moving"), displaced(grid, grid, waves(2, 15, 30), lambda p: 0 * p), strict=True))
        mask = torch.ones(1, 1, *PLANE)
        mask[..., 20:50, 20:46] = 0
        name = "moving" if side == "moving" else "fixed"
        noise = 5 * torch.randn(1, 3, *PLANE, generator=torch.Generator().manual_seed(0))
        noisy = torch.where(mask > 0, images[name].data, noise)
        images[name] = FeatureImage(noisy, grid, None if side == "argument" else mask)
        weight = mask if side == "argument" else None
        search = DiscreteStart(reach=24)
        field = search(images["fixed"], images["moving"], np.eye(3), weight=weight)
        assert float(in_mm(field, grid).norm(dim=0).max()) < 2
        unmasked = [FeatureImage(image.data, grid) for image in images.values()]
        assert float(in_mm(search(*unmasked, np.eye(3)), grid).norm(dim=0).max()) > 2

    def test_flat_images(self):
        grid = Grid.from_spacing((20, 22), 2.0)
        flat = FeatureImage(torch.ones(1, 2, 20, 22), grid)
        for symmetric in (False, True):
            assert not DiscreteStart(symmetric=symmetric)(flat, flat, np.eye(3)).any()

    def test_a_match_at_the_border_of_the_window(self):
        """A cell whose best match lies there counts next to nothing, its neighbours decide."""
        costs = toy_costs(torch.float32)
        outermost = int(costs.border.nonzero()[0])
        costs.cost[0, :, 0] = 1
        costs.cost[0, outermost, 0] = -5
        d, weight = costs.best(torch.zeros_like(costs.start), 1e-6)
        torch.testing.assert_close(d[0, :, 0, 0], costs.offsets[outermost])
        assert float(weight.flatten()[0]) < 0.01
        inner = weight.flatten()[~costs.border[costs.cost[0].argmin(0)]]
        torch.testing.assert_close(inner, costs.stake.flatten()[~costs.border[costs.cost[0].argmin(0)]])


class TestSymmetric:
    def test_there_and_back_are_closer_to_inverse(self):
        grid = Grid.from_spacing(PLANE, 3.0)
        pair = displaced(grid, grid, waves(2, 15, 30), lambda p: bump(p, 18, 40))

        def gap(symmetric):
            search = DiscreteStart(reach=24, symmetric=symmetric)
            there, back = search(*pair, np.eye(3)), search(*reversed(pair), np.eye(3))
            return float(sampling.compose(there, back).norm(dim=1).mean())

        assert gap(True) < 0.5 * gap(False)


class TestMemory:
    def test_steps_grow_until_the_search_fits(self):
        grid = Grid.from_spacing((48, 40, 44), 3.0)
        fixed = FeatureImage(torch.zeros(1, 5, *grid.shape), grid)
        steps = []
        for memory in (2**30, 2**22, 2**19):
            search = DiscreteStart(reach=24, memory=memory)
            step, offsets = search._window(fixed, 6.0, 4)
            cells, lattice = search._grids(grid, step)
            assert 4 * (3 * len(offsets) * cells.size + 4 * 5 * lattice.size) <= memory
            steps.append(step)
        assert steps == sorted(steps)
        assert steps[0] == 6.0
        assert steps[2] > steps[1] > steps[0]

    def test_still_the_same_displacement(self):
        grid = Grid.from_spacing(SOLID, 3.0)

        def truth(points):
            return bump(points, 18, 45)

        fixed, moving = displaced(grid, grid, waves(3, 40, 70), truth)
        field = DiscreteStart(reach=24, memory=2**21)(fixed, moving, np.eye(4))
        assert float(errors(field, grid, truth).mean()) < 4

    @pytest.mark.parametrize("thickness", [1e-6, 1e-2, 1.0])
    def test_a_slice_has_no_more_steps_than_asked_for(self, thickness):
        grid = Grid.from_spacing((48, 40, 1), (3.0, 3.0, thickness))
        fixed = FeatureImage(torch.zeros(1, 1, *grid.shape), grid)
        _, offsets = DiscreteStart(reach=24)._window(fixed, 6.0, 4)
        assert np.abs(offsets).max() <= 16
        assert np.abs(offsets[:, :2]).max() == 4


class TestParts:
    def test_window(self):
        """A ball in mm, not a box in voxels."""
        spacing = np.array([1.0, 2.0, 9.0])
        offsets = window(spacing, 4.0)
        assert offsets.min(0).tolist() == [-4, -2, 0]
        assert np.linalg.norm(offsets * spacing, axis=1).max() <= 4.2
        assert len(np.unique(offsets, axis=0)) == len(offsets)
        # On an axis that the window does not extend along nothing is at its border.
        border = {tuple(o) for o in offsets[on_border(offsets)].tolist()}
        assert {(4, 0, 0), (-4, 0, 0), (0, 2, 0)} <= border
        assert (0, 0, 0) not in border

    @pytest.mark.parametrize("shape", [(5, 4), (3, 4, 2)], ids=str)
    def test_best_is_the_minimum(self, shape):
        costs = toy_costs(torch.float64, shape)
        u = torch.randn(costs.start.shape, dtype=torch.float64)
        theta = 0.3
        d, _ = costs.best(u, theta)
        unit = torch.as_tensor(costs.cells.spacing / costs.step)
        gap = (costs.offsets[..., None] - u[0].flatten(1)[None]) * unit[:, None]
        expected = costs.offsets[(costs.cost[0] + theta * gap.square().sum(1)).argmin(0)].T
        torch.testing.assert_close(d[0].flatten(1), expected)

    def test_smoothed_solves_its_equation(self):
        costs = toy_costs(torch.float64, (7, 6))
        d, weight = torch.randn(1, 2, 7, 6, dtype=torch.float64), torch.rand(1, 1, 7, 6, dtype=torch.float64)
        u = costs.smoothed(d, weight, 0.4, 0.2)
        unit = torch.as_tensor(costs.cells.spacing / costs.step).reshape(1, 2, 1, 1)
        pull = 0.4 * weight * unit.square()
        residual = pull * (u - d) + 0.2 * apply_regulariser(Diffusion(), u, costs.cells)
        assert float(residual.norm()) < 0.011 * float((pull * d).norm())

    def test_costs_are_mean_squares_of_what_both_images_show(self):
        grid = Grid.from_spacing((8, 6))
        fixed, moving = (FeatureImage(torch.randn(1, 3, 8, 6, dtype=torch.float64), grid) for _ in range(2))
        cells, offsets = grid.resized((4, 3)), np.array([[0, 0], [2, -1], [0, 0], [-1, 1]])
        start = torch.zeros(1, 2, 4, 3, dtype=torch.float64)
        costs = CellCosts.of(fixed, moving, np.eye(3), cells, 1.0, offsets, start).cost[0]
        expected = (moving.data[..., 4:6, 1:3] - fixed.data[..., 2:4, 2:4]).square().sum(1).mean()
        same = (moving.data[..., 2:4, 2:4] - fixed.data[..., 2:4, 2:4]).square().sum(1).mean()
        cell = 1 * 3 + 1
        assert float(costs[1, cell] / costs[0, cell]) == pytest.approx(float(expected / same))
        assert torch.equal(costs[0], costs[2])

    def test_sampled_beyond_the_lattice(self):
        grid = Grid.from_spacing((5, 4))
        image = FeatureImage(torch.rand(1, 2, 5, 4), grid)
        wide = sampled(image, None, np.eye(3), grid, np.array([2, 1]))
        torch.testing.assert_close(wide.data[..., 2:-2, 1:-1], image.data)
        assert wide.weight[0, 0].sum() == 20
        torch.testing.assert_close(wide.grid.index_to_world([2, 1]), grid.index_to_world([0, 0]))


class TestErrors:
    @pytest.mark.parametrize(
        "wrong",
        [{"reach": 0}, {"reach": float("nan")}, {"radii": ()}, {"radii": (4, 0)}, {"cell": 0}, {"memory": 0},
         {"coupling": ()}, {"coupling": (1.0, 0.1)}, {"coupling": (0.0, 1.0)}, {"lam": 0}],
        ids=str,
    )  # fmt: skip
    def test_settings(self, wrong):
        with pytest.raises(SettingsError, match=r"got .* expected"):
            DiscreteStart(**wrong)

    def test_features_that_do_not_fit(self):
        grid = Grid.from_spacing((8, 6))
        two, three = (FeatureImage(torch.zeros(1, n, 8, 6), grid) for n in (2, 3))
        with pytest.raises(ShapeError, match="channels"):
            DiscreteStart()(two, three, np.eye(3))
        with pytest.raises(ShapeError, match="grid of the fixed features"):
            DiscreteStart()(two, two, np.eye(3), weight=torch.ones(1, 1, 4, 3))


def toy_costs(dtype, shape=(4, 5)):
    torch.manual_seed(0)
    ndim = len(shape)
    spacing = (2.0, 3.0, 5.0)[:ndim]
    offsets = window(np.ones(ndim), 2.0)
    return CellCosts(
        torch.rand(1, len(offsets), int(np.prod(shape)), dtype=dtype),
        torch.rand(1, 1, *shape, dtype=dtype).clamp_min(0.1),
        torch.as_tensor(offsets / 2, dtype=dtype),
        torch.as_tensor(on_border(offsets)),
        torch.zeros(1, ndim, *shape, dtype=dtype),
        Grid.from_spacing(shape, spacing),
        1.5,
    )


@pytest.mark.data
def test_real_scans(data_root):
    """Two hippocampi: the start alone brings the labels closer."""
    from learngn.evaluation import dice, labels_in_both, mean_over_labels
    from learngn.features import parse_features
    from learngn.geometry.grid_map import GridMap
    from learngn.io import read_dataset, read_image

    subjects = read_dataset(data_root / "HippocampusMR" / "HippocampusMR_dataset.json").training
    first, second = subjects[1], subjects[11]
    fixed, moving = (read_image(subject.image) for subject in (first, second))
    labels = [read_image(subject.labels, labels=True) for subject in (first, second)]
    pair = parse_features("mind,intensity:10")(fixed, moving, 1.0)
    found = sampling.resize_field(DiscreteStart()(*pair, np.eye(4)), fixed.grid.shape)

    def overlap(field):
        warped = GridMap(fixed.grid, field, np.eye(4)).warp(labels[1])
        ours, theirs = labels[0].data[0, 0], warped.data[0, 0]
        return mean_over_labels(dice(ours, theirs, labels_in_both(ours, labels[1].data[0, 0])))

    assert overlap(found) > overlap(None) + 0.1
