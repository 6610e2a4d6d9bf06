"""The affine stage: known maps, starts, and fields of view that differ."""

import numpy as np
import pytest

from learngn.grid import Grid, apply_affine
from learngn.optimise import AffineGaussNewton, centre_of_mass, translation_starts


def known_affine(ndim, degrees=10.0, scale=1.1, shift=20.0):
    turn = np.eye(ndim + 1)
    angle = np.deg2rad(degrees)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:ndim, :ndim] *= scale
    turn[:ndim, -1] = shift / np.sqrt(ndim)
    return turn


def starts(fixed, moving):
    masses = [centre_of_mass(f.data, f.grid) for f in (fixed, moving)]
    return translation_starts(fixed.grid, moving.grid, (masses[0], masses[1]))


def worst_error(found, truth, ndim):
    points = np.stack(np.meshgrid(*[np.linspace(-35, 35, 5)] * ndim, indexing="ij"), -1)
    return np.linalg.norm(apply_affine(found, points) - apply_affine(truth, points), axis=-1).max()


@pytest.mark.parametrize("shape", [(96, 88), (48, 44, 40)], ids=str)
def test_known_affine_is_recovered(blobs, shape):
    ndim = len(shape)
    truth = known_affine(ndim)
    spacing = 200 / shape[0]
    fixed = blobs(Grid.from_spacing(shape, spacing), truth)
    moving = blobs(Grid.from_spacing(shape, spacing))
    result = AffineGaussNewton()(fixed, moving, starts(fixed, moving))
    assert worst_error(result.matrix, truth, ndim) < 1.5


def test_another_field_of_view(blobs):
    """The moving image shows less, with other voxels, elsewhere in the world."""
    truth = known_affine(3, shift=10)
    fixed = blobs(Grid.from_spacing((50, 44, 40), 4.0), truth)
    moving = blobs(Grid.from_spacing((60, 70, 30), (2.5, 2.2, 5.0), direction=np.diag([-1, 1, -1])))
    result = AffineGaussNewton()(fixed, moving, starts(fixed, moving))
    assert worst_error(result.matrix, truth, 3) < 3


@pytest.mark.parametrize(("offset", "kept"), [(0.0, "header"), (400.0, ("centre", "mass"))])
def test_start_that_leads_furthest_is_kept(blobs, offset, kept):
    fixed = blobs(Grid.from_spacing((50, 44), 4.0))
    affine = fixed.grid.affine.copy()
    affine[:-1, -1] += offset
    moving = type(fixed)(fixed.data, Grid(fixed.grid.shape, affine))
    result = AffineGaussNewton()(fixed, moving, starts(fixed, moving))
    assert result.start in kept
    assert result.energy < 1e-4
    np.testing.assert_allclose(result.matrix[:-1, -1], offset, atol=0.5)


def test_starts():
    fixed, moving = Grid.from_spacing((4, 4)), Grid.from_spacing((4, 4), origin=(10, 20))
    made = translation_starts(fixed, moving, (np.array([1.0, 2.0]), np.array([5.0, 5.0])))
    np.testing.assert_allclose(made["header"], np.eye(3))
    np.testing.assert_allclose(made["centre"][:-1, -1], moving.centre - fixed.centre)
    np.testing.assert_allclose(made["mass"][:-1, -1], [4, 3])


def test_centre_of_mass(blobs):
    image = blobs(Grid.from_spacing((30, 20), (1.0, 2.0)))
    weights = image.data * 0
    assert centre_of_mass(weights, image.grid) == pytest.approx(image.grid.centre)
    weights[0, 0, 3, 5] = 1
    weights[0, 0, 7, 5] = 3
    assert centre_of_mass(weights, image.grid) == pytest.approx(image.grid.index_to_world((6, 5)))


def test_what_barely_touches_is_refused(blobs):
    fixed = blobs(Grid.from_spacing((50, 44), 4.0))
    matrix = np.eye(3)
    matrix[0, -1] = 180  # a tenth of the image is left
    assert AffineGaussNewton()(fixed, fixed, {"far": matrix}).energy == float("inf")
