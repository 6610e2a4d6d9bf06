"""Scans whose extents differ widely: found right, either way round, with bounded work, or refused in one line."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from learngn.errors import GeometryError
from learngn.features import FeatureImage, parse_features
from learngn.features.scale import _covering
from learngn.geometry import sampling
from learngn.geometry.grid import Grid, apply_affine, index_range
from learngn.geometry.image import Image
from learngn.optimise import FAMILIES, PoseSearch
from learngn.optimise.extents import Surroundings, around, check_extents
from learngn.phantom import abdomen
from learngn.registration.prealign import prealign


def whole(shape, side):
    scan = abdomen(shape, seed=1).scan
    affine = scan.grid.affine.copy()
    affine[:-1] *= side / scan.grid.extent.max()
    return Image(scan.data, Grid(scan.grid.shape, affine))


def piece(scan, side, spacing, truth, centre):
    """A cube of a scan about a place, seen through a map."""
    affine = Grid.from_spacing([round(side / spacing)] * scan.grid.ndim, spacing).affine.copy()
    affine[:-1, -1] += apply_affine(np.linalg.inv(truth), centre)
    grid = Grid((round(side / spacing),) * scan.grid.ndim, affine)
    return Image(sampling.warp(scan.data, None, grid.index_map(scan.grid, truth), grid.shape), grid)


def moved(ndim, degrees, shift, centre):
    truth = np.eye(ndim + 1)
    truth[:-1, :-1] = Rotation.from_rotvec([0, 0, degrees], degrees=True).as_matrix()[:ndim, :ndim]
    truth[:-1, -1] = centre - truth[:-1, :-1] @ centre + shift
    return truth


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("shape", "side", "features", "degrees", "shift"),
    [
        ((80, 72, 64), 50.0, "mind", 12.0, (50.0, -30.0, 20.0)),
        ((200, 180), 50.0, "mind", 15.0, (40.0, -20.0)),
        ((200, 180), 50.0, "intensity", 0.0, (40.0, -20.0)),
        ((200, 180), 25.0, "mind", 0.0, (0.0, 0.0)),
        ((128, 116, 102), 15.0, "mind", 0.0, (1.0, 0.0, 0.0)),
    ],
    ids=str,
)
def test_a_piece_is_found(shape, side, features, degrees, shift, reverse):
    scan = whole(shape, 200.0)
    centre = scan.grid.centre + np.array([20.0, 10.0, -15.0])[: len(shape)]
    truth = moved(len(shape), degrees, shift, centre)
    small = piece(scan, side, side / 48, truth, centre)
    pair = (scan, small) if reverse else (small, scan)
    found = prealign(*pair, parse_features(features), FAMILIES["affine"]).matrix
    found = np.linalg.inv(found) if reverse else found
    corners = small.grid.index_to_world(np.stack(np.meshgrid(*[(0, n - 1) for n in small.grid.shape]), -1))
    error = np.linalg.norm(apply_affine(found, corners) - apply_affine(truth, corners), axis=-1)
    assert error.max() < 2.5  # [mm]


@pytest.mark.parametrize("factor", [1000.0, 1e6, 1e-3])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_wrong_unit_is_told(factor, reverse):
    scan = whole((32, 30, 28), 192.0)
    affine = scan.grid.affine.copy()
    affine[:-1] *= factor
    pair = [scan, Image(scan.data, Grid(scan.grid.shape, affine))][:: -1 if reverse else 1]
    with pytest.raises(GeometryError, match=r"192 x .* mm.*factor of 1000"):
        prealign(*pair, parse_features("mind"), FAMILIES["affine"])


def test_what_is_too_small_to_search_for_must_overlap():
    scan = whole((80, 72, 64), 200.0)
    grid = Grid.from_spacing((24, 24, 24), 0.5, origin=(900, 0, 0))
    with pytest.raises(GeometryError, match=r"12 x 12 x 12 mm and 200 x .* mm, apart in the world.*crop"):
        Surroundings(Image.from_array(np.zeros(grid.shape), grid), scan).searched()


def test_similar_extents_are_seen_whole():
    scan = whole((40, 36, 32), 200.0)
    seen = Surroundings(scan, scan)
    for image, spacing in (seen.searched(), seen.refined(np.eye(4))):
        assert image is scan
        assert spacing == pytest.approx(200.0 / 48)
    check_extents(Grid.from_spacing((2, 2)), Grid.from_spacing((1, 1)))


@pytest.mark.parametrize("side", [100.0, 25.0, 2.0, 1e-2])
@pytest.mark.parametrize("ndim", [2, 3])
def test_shifts_are_bounded(side, ndim):
    search = PoseSearch()
    large, small = (
        FeatureImage(torch.rand(1, 2, *grid.shape), grid)
        for grid in (Grid.from_spacing((96,) * ndim, 2.0), Grid.from_spacing((12,) * ndim, side / 12))
    )
    ours, theirs = search.bounded(large, small)
    assert search.shifts(ours.grid, theirs.grid) <= 2**20
    assert ours.data.shape[2:] == ours.grid.shape
    np.testing.assert_allclose(ours.grid.centre, large.grid.centre, atol=1e-9)


def test_a_thin_slice_does_not_make_a_thin_lattice():
    grid = Grid.from_spacing((12, 12, 1), (20.0, 20.0, 1e-4))
    slice_ = FeatureImage(torch.rand(1, 2, *grid.shape), grid)
    ours, theirs = PoseSearch().bounded(slice_, slice_)
    assert PoseSearch().shifts(ours.grid, theirs.grid) <= 2**20


def test_a_lattice_like_a_tiny_grid_is_bounded():
    fixed, turned = Grid.from_spacing((60, 60, 60), 0.02), Grid.from_spacing((96, 96, 96), 2.0)
    grid = _covering(turned, fixed, 8 * turned.size)
    assert math.prod(grid.shape) <= 8 * turned.size
    low, high = index_range(turned.shape, turned.index_map(grid))
    assert (low >= -0.51).all()
    assert (high <= np.asarray(grid.shape) - 0.49).all()


def test_around():
    scan = whole((40, 36, 32), 200.0)
    fixed = Grid.from_spacing((10, 10, 10), 2.0)
    part = around(scan, fixed, np.eye(4), 10.0)
    inside = apply_affine(part.grid.index_map(scan.grid), np.zeros(3)).round().astype(int)
    assert part.data[0, 0, 0, 0, 0] == scan.data[(0, 0, *inside)]
    assert part.grid.extent.max() < 60
    assert fixed.overlap(part.grid) == 1
