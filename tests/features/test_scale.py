"""One scale for both images of a pair: grids of one spacing, one blur, the same features whatever the voxels are."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from learngn import register
from learngn.features import CommonScale, common_grids, kept, parse_features
from learngn.features.combined import FEATURES
from learngn.geometry import sampling
from learngn.geometry.grid import Grid, apply_affine
from learngn.geometry.image import Image
from learngn.registration.prealign import Prealigned
from learngn.settings import Settings

SCANS = sorted(name for name, make in FEATURES.items() if not make().traits.reads_labels)
TILTED = Rotation.from_euler("x", 30, degrees=True).as_matrix()


def grid(spacing, extent=48.0, direction=None):
    extents = np.broadcast_to(extent, (len(spacing),))
    return Grid.from_spacing([round(e / s) for e, s in zip(extents, spacing, strict=True)], spacing, None, direction)


def blobs(on, shift=0.0, parts=1, seed=0, size=1.0):
    """Ellipsoids of several intensities, averaged over every voxel by `parts` points along each axis."""
    rng, ndim = np.random.default_rng(seed), on.ndim
    objects = [(size * rng.uniform(-14, 14, 3), size * rng.uniform(4, 9, 3), rng.uniform(100, 1000)) for _ in range(9)]
    index = np.stack(np.meshgrid(*[np.arange(n) for n in on.shape], indexing="ij"), axis=-1)
    total = np.zeros(on.shape)
    for offset in np.stack(np.meshgrid(*[(np.arange(parts) + 0.5) / parts - 0.5] * ndim), axis=-1).reshape(-1, ndim):
        points, seen = apply_affine(on.affine, index + offset) - shift, np.zeros(on.shape)
        for centre, radii, value in objects:
            within = (((points - centre[:ndim]) / radii[:ndim]) ** 2).sum(-1) < 1
            seen = np.where(within, value, seen)
        total += seen
    return Image.from_array(total / parts**ndim, on)


class TestGrids:
    """Of pairs of grids."""

    @pytest.mark.parametrize("wanted", [0.0, 1.0, 2.5, 4.0, 9.0])
    @pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.5, 1.5, 7.0), (3.0, 3.0, 3.0)], ids=str)
    def test_equal_spacings_are_coarsened_each_as_it_is(self, spacing, wanted):
        fixed, moving = grid(spacing), grid(spacing, 80.0)
        assert common_grids(fixed, moving, wanted) == (fixed.coarsened(wanted), moving.coarsened(wanted))

    @pytest.mark.parametrize(
        ("wanted", "expected"), [(1.0, (1, 1, 6)), (2.0, (2, 2, 6)), (6.0, (6, 6, 6)), (12.0, (12, 12, 12))]
    )
    def test_neither_is_finer_than_the_coarser_one(self, wanted, expected):
        thin, thick = grid((1, 1, 1)), grid((1, 1, 6))
        for pair in ((thin, thick), (thick, thin)):
            for found in common_grids(*pair, wanted):
                np.testing.assert_allclose(found.spacing, expected)
                np.testing.assert_allclose(found.extent, 48)

    def test_thick_in_different_directions(self):
        for found in common_grids(grid((1, 1, 6)), grid((4, 1, 1)), 2.0):
            np.testing.assert_allclose(found.spacing, (4, 2, 6))

    def test_finer_along_every_axis(self):
        for found in common_grids(grid((0.125, 0.125), 8.0), grid((1, 1), 8.0)):
            np.testing.assert_allclose(found.spacing, 1)

    def test_axes_in_another_order(self):
        order = np.eye(3)[:, [2, 0, 1]] * [1, -1, 1]  # array axes along S, L, A
        fixed, moving = grid((1, 1, 6)), grid((1, 1, 1), direction=order)
        ours, theirs = common_grids(fixed, moving)
        np.testing.assert_allclose(ours.spacing, (1, 1, 6))
        np.testing.assert_allclose(theirs.spacing, (6, 1, 1))

    def test_nearly_equal_spacings_are_not_made_equal(self):
        fixed, moving = grid((1.0, 1.0)), grid((1.05, 1.05), 42.0)
        assert common_grids(fixed, moving) == (fixed, moving)

    def test_rounding_does_not_tell_sides_apart(self):
        """1.45 and 1.53 times the spacing are one factor, that of the coarser grid."""
        fixed, moving = grid((1.05, 1.05), 42.0), grid((1.0, 1.0))
        ours, theirs = common_grids(fixed, moving, 1.53)
        assert (ours.shape, theirs.shape) == (fixed.shape, moving.shape)

    def test_grids_that_stand_askew(self):
        thin, thick = grid((1, 1, 1)), grid((2, 2, 6), direction=TILTED)
        scale = CommonScale.of(thin, thick)
        assert scale.partners is None
        np.testing.assert_allclose(scale.fixed, 2)  # no axis of the other is finer
        assert not scale.moving_blur
        (vector,) = scale.fixed_blur
        np.testing.assert_allclose(vector, TILTED[:, 2] * np.sqrt(6**2 - 2**2))
        assert not CommonScale.of(thin, grid((1, 1, 1), direction=TILTED)).fixed_blur


@pytest.mark.parametrize(("fine", "coarse"), [(3.0, 5.0), (1.25, 1.5625), (2.0, 5.0)])
def test_averages_over_fractions_of_voxels_have_the_same_blur(fine, coarse):
    """What blurs more than the partner's voxels is matched there: waves keep the same amplitude on both sides."""
    grids = [grid((s, 8.0), (1500.0, 48.0)) for s in (fine, coarse)]
    wavelength = 6 * coarse
    # A voxel is the wave's average over it.
    values = [
        np.sinc(g.spacing[0] / wavelength)
        * np.cos(2 * np.pi * (g.origin[0] + np.arange(g.shape[0]) * g.spacing[0]) / wavelength)
        for g in grids
    ]
    images = [Image.from_array(np.repeat(v[:, None], 6, 1), g) for v, g in zip(values, grids, strict=True)]
    scale = CommonScale.of(*grids)
    working, seen = scale.grids(*grids, 0.0), scale.images(*images, 0.0)
    size = [float(sampling.pool(i.data, g.shape).std()) for i, g in zip(seen, working, strict=True)]
    plain = [float(sampling.pool(i.data, g.shape).std()) for i, g in zip(images, working, strict=True)]
    assert abs(size[0] / size[1] - 1) < 0.4 * abs(plain[0] / plain[1] - 1)


@pytest.mark.parametrize("sides", ["fixed", "moving"])
def test_average_along_a_direction(sides):
    """A plane wave along a slab's normal keeps the sinc of its average; one across it keeps all."""
    thin, thick = grid((1, 1, 1)), grid((1, 1, 8), direction=TILTED)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in thin.shape], indexing="ij"), axis=-1)
    points, inner = thin.index_to_world(index), (slice(12, -12),) * 3
    flat = Image.from_array(np.zeros(thick.shape), thick)
    for direction, length in ((TILTED[:, 2], np.sqrt(63)), (TILTED[:, 1], 0.0), (np.array([1.0, 0, 0]), 0.0)):
        frequency = 1 / 24  # [1/mm]
        wave = Image.from_array(np.cos(2 * np.pi * frequency * (points @ direction)), thin)
        pair = (wave, flat) if sides == "fixed" else (flat, wave)
        seen = CommonScale.of(pair[0].grid, pair[1].grid).images(*pair, 0.0)[sides == "moving"]
        expected = np.sinc(frequency * length) * wave.data[0, 0]
        np.testing.assert_allclose(seen.data[0, 0][inner], expected[inner], atol=0.02)


@pytest.mark.parametrize("name", [*SCANS, "mind,intensity:10"])
class TestSameFeatures:
    """A scan and what a scanner of coarser voxels would have made of it have the same features."""

    @pytest.mark.parametrize(
        ("fine", "coarse"),
        [
            ((1.0, 1.0), (1.0, 4.0)),
            ((1.0, 1.0), (3.0, 3.0)),
            ((1.0, 1.0, 1.0), (1.0, 1.0, 6.0)),
            ((1.0, 1.0, 1.0), (4.0, 1.0, 1.0)),
            ((1.0, 2.0, 2.0), (2.0, 2.0, 6.0)),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("spacing", [1.0, 3.0])
    def test_of_both_sides(self, name, fine, coarse, spacing):
        sharp, thick = blobs(grid(fine)), grid(coarse)
        averaged = Image(sampling.pool(sharp.data, thick.shape), thick)
        for pair in ((sharp, averaged), (averaged, sharp)):
            ours, theirs = parse_features(name)(*pair, spacing)
            assert ours.grid == theirs.grid
            np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-3, atol=2e-3)

    def test_kept(self, name):
        sharp, thick = blobs(grid((1.0, 1.0, 2.0))), grid((2.0, 1.0, 6.0))
        averaged, store = Image(sampling.pool(sharp.data, thick.shape), thick), {}
        feature = parse_features(name)
        looking = kept(feature, lambda key, make: store.setdefault(key, make()))
        for pair in ((sharp, averaged), (averaged, sharp), (sharp, sharp)):
            for found, expected in zip(looking(*pair, 2.0), feature(*pair, 2.0), strict=True):
                assert np.array_equal(found.data, expected.data)
        assert len(store) == 3 * len(feature.parts)  # beside a partner as sharp another scale


def error(result, fixed, shift):
    index = np.argwhere(fixed.data[0, 0] > 50)
    points = fixed.grid.index_to_world(index)
    return float(np.linalg.norm(result.transform.map_points(points) - points - shift, axis=1).mean())


@pytest.mark.parametrize("name", ["mind", "mind-centre", "intensity", "local-intensity", "ngf", "edges"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [((1.0, 1.0), (1.0, 4.0)), ((4.0, 1.0), (1.0, 1.0)), ((1.0, 4.0), (3.0, 1.0)), ((0.25, 0.25), (1.0, 1.0))],
    ids=str,
)
def test_shift_between_spacings_in_2d(name, ours, theirs):
    shift = np.array([2.6, -3.3])
    fixed, moving = blobs(grid(ours, 96.0), 0.0, 4, 0, 2.0), blobs(grid(theirs, 96.0), shift, 4, 0, 2.0)
    result = register(fixed, moving, features=name)
    assert error(result, fixed, shift) < 0.5
    linear = result.transform.parts[-1].matrix[:2, :2]
    assert abs(np.linalg.svd(linear)[1] - 1).max() < 0.04


@pytest.mark.parametrize(
    ("ours", "theirs", "direction"),
    [
        ((1.5, 1.5, 1.5), (1.5, 1.5, 6), np.eye(3)),
        ((1.5, 6, 1.5), (1.5,) * 3, np.eye(3)),
        ((2, 2, 2), (2, 2, 6), TILTED),
    ],
    ids=["thick", "thin", "oblique"],
)
@pytest.mark.parametrize("name", ["mind", "mind,intensity"])
def test_shift_between_spacings_in_3d(name, ours, theirs, direction):
    shift = np.array([2.6, -3.3, 4.1])
    fixed, moving = blobs(grid(ours, 96.0), 0.0, 2, 0, 1.9), blobs(grid(theirs, 108.0, direction), shift, 3, 0, 1.9)
    result = register(fixed, moving, features=name)
    assert error(result, fixed, shift) < 0.6
    assert abs(np.linalg.svd(result.transform.parts[-1].matrix[:3, :3])[1] - 1).max() < 0.04


def test_features_that_look_along_axes_see_a_slab_as_it_would_be_cut_along_them():
    """Of a scan cut askew, and of the same object cut like the fixed scan, at the scale of the thick slices."""
    fixed = blobs(grid((1, 1, 1)), parts=2)
    slab = blobs(grid((1, 1, 5), 60.0, TILTED), parts=5)
    ours, theirs = Prealigned(np.eye(4), "known").features(parse_features("mind"), fixed, slab, 1.0, (None, None))
    to_slab = ours.grid.index_map(theirs.grid)
    seen = sampling.warp(theirs.data, None, to_slab, ours.grid.shape)
    plain = Image(sampling.pool(fixed.data, ours.grid.shape), ours.grid)  # without the blur of the slab
    sharp = parse_features("mind")(plain, plain, 1.0)[0]
    inner = (..., slice(12, -12), *[slice(n // 4, -(n // 4)) for n in ours.grid.shape[1:]])
    as_blurred, as_sharp = (float(((seen - f.data)[inner] ** 2).mean()) for f in (ours, sharp))
    assert as_blurred < 0.8 * as_sharp


def test_strides_count_in_the_common_scale():
    """Levels of a fixed scan of tiny voxels end where the moving one has nothing more to say."""
    shift = np.array([1.3, -0.9])
    fixed, moving = blobs(grid((0.25, 0.25)), parts=2), blobs(grid((1.0, 1.0)), shift, parts=4)
    settings = Settings("intensity", "rigid", strides=(4, 2, 1), iterations=(4, 4, 4), lam=(0.3, 0.03))
    result = register(fixed, moving, settings=settings)
    assert [step.shape for step in result.history][-1] == (48, 48)
    assert error(result, fixed, shift) < 0.2
