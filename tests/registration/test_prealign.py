"""Pre-alignment of images: which maps, masks, and scans that lie askew on their grid."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from learngn import register
from learngn.errors import SettingsError
from learngn.features import Combined, Given, parse_features
from learngn.geometry.grid import Grid, apply_affine
from learngn.geometry.image import Image
from learngn.optimise import FAMILIES
from learngn.optimise.linear_problem import LinearLimits, LinearProblem
from learngn.registration.prealign import Prealigned, prealign
from learngn.settings import Settings


def scan(grid, matrix=None, seed=0):
    """Blobs at known places in the world, through a matrix."""
    rng = np.random.default_rng(seed)
    points = grid.index_to_world(np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1))
    points = points if matrix is None else apply_affine(matrix, points)
    value = np.zeros(grid.shape)
    for _ in range(14):
        centre, width = rng.uniform(-40, 40, grid.ndim), rng.uniform(6, 16)
        value += rng.uniform(0.3, 1) * np.exp(-((points - centre) ** 2).sum(-1) / (2 * width**2))
    return Image.from_array(1000 * value, grid)


def turn(degrees, shift=(0.0, 0.0, 0.0), axis=2):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(degrees * np.eye(3)[axis], degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


GRID = Grid.from_spacing((48, 44, 36), (3.0, 3.0, 4.0))


def worst(found, truth):
    points = np.stack(np.meshgrid(*[np.linspace(-35, 35, 4)] * 3, indexing="ij"), -1)
    return np.linalg.norm(apply_affine(found, points) - apply_affine(truth, points), axis=-1).max()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("degrees", [-30, 30])
def test_a_scan_askew_on_its_grid_is_seen_upright(axis, degrees):
    """Channels that look along the array's axes, of a scan whose content is turned within its array."""
    truth, feature = turn(degrees, axis=axis), parse_features("mind")
    fixed, moving = scan(GRID, truth), scan(GRID)
    found = prealign(fixed, moving, feature, FAMILIES["affine"])
    assert worst(found.matrix, truth) < 4  # a voxel
    known = Prealigned(truth, "known")
    upright = known.features(feature, fixed, moving, 6.0, (None, None))
    askew = feature(fixed, moving, 6.0)

    agreement = [LinearProblem(*pair, LinearLimits()).agreement(truth)[0] for pair in (askew, upright)]
    assert agreement[1] > agreement[0] + 0.1


@pytest.mark.parametrize("names", ["intensity", "mind"])
@pytest.mark.parametrize("degrees", [0.0, 5.0, 90.0])
def test_what_need_not_be_turned_is_left_as_it_is(names, degrees):
    """Features that do not look along axes; small angles; arrays stored in another order."""
    feature, moving = parse_features(names), scan(GRID)
    grid = Grid(moving.grid.shape, turn(degrees) @ moving.grid.affine)
    seen = Prealigned(np.eye(4), "known").features(feature, moving, Image(moving.data, grid), 6.0, (None, None))[1]
    assert seen.grid == grid.coarsened(6.0)


def test_features_of_files_are_not_asked_for_a_rotated_scan():
    """Channels that lie on the grid of the scan, beside others that look along its axes."""
    feature, image = parse_features("mind"), scan(GRID)
    grid = Grid(image.grid.shape, turn(45.0) @ image.grid.affine)
    moving = Image(image.data, grid)
    given = Given(image, moving)
    aligned = Prealigned(np.eye(4), "known")
    assert aligned.features(feature, image, moving, 6.0, (None, None))[1].grid != grid.coarsened(6.0)
    both = Combined(((feature, 1.0), (given, 1.0)))
    assert aligned.features(both, image, moving, 6.0, (None, None))[1].grid == grid.coarsened(6.0)


@pytest.mark.parametrize("side", ["fixed_mask", "moving_mask"])
def test_masks_weigh_the_linear_maps(side):
    """A third of one scan shows something else; masked."""
    truth = turn(6, (8, -6, 4))
    pair = {"fixed_mask": scan(GRID, truth), "moving_mask": scan(GRID)}
    spoilt = pair[side].data.copy()
    spoilt[..., :16, :, :] = np.roll(spoilt, 12, 3)[..., :16, :, :]
    mask = np.ones(GRID.shape, np.float32)
    mask[:16] = 0
    pair[side] = Image(spoilt, GRID)
    settings = Settings("intensity", affine="rigid", strides=(8,), iterations=(0,), lam=(1.0, 1.0))
    plain = register(*pair.values(), settings=settings)
    masked = register(*pair.values(), settings=settings, **{side: Image.from_array(mask, GRID)})
    assert worst(masked.affine.matrix, truth) < 1.5 < worst(plain.affine.matrix, truth)


@pytest.mark.parametrize("name", ["rigid", "similarity", "affine"])
def test_registration_by_family(name):
    truth = turn(5, (8, -6, 4))
    truth[0, :3] *= 1.1
    fixed, moving = scan(GRID, truth), scan(GRID)
    settings = Settings("intensity", affine=name, strides=(8,), iterations=(1,), lam=(1.0, 1.0))
    found = register(fixed, moving, settings=settings)
    stretch = np.linalg.svd(found.affine.matrix[:3, :3])[1]
    assert found.settings.affine == name
    assert (np.ptp(stretch) > 0.02) == (name == "affine")
    assert (np.ptp(stretch) < 1e-9) == (name != "affine")
    assert (abs(stretch - 1).max() < 1e-9) == (name == "rigid")


def test_the_argument_overrules_the_settings():
    settings = Settings("intensity", affine="rigid", strides=(8,), iterations=(0,), lam=(1.0, 1.0))
    for given, name in ((None, "rigid"), (True, "affine"), (False, "none"), ("similarity", "similarity")):
        assert register(scan(GRID), scan(GRID, turn(3)), settings=settings, affine=given).settings.affine == name
    with pytest.raises(SettingsError, match="projective"):
        register(scan(GRID), scan(GRID), settings=settings, affine="projective")
