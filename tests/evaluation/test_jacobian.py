"""Jacobian determinants: analytic maps in four orientations, affine parts, volumes of labels and their intervals."""

import math

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from learngn.errors import LabelError, ShapeError
from learngn.evaluation import jacobian_of, volume_changes, volume_rows
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Composite, DisplacementField

SHAPE = (30, 26, 22)
TURN = np.array([[0.0, -1.0, 0.0], [0.6, 0.0, -0.8], [0.8, 0.0, 0.6]])
ORIENTATIONS = {
    "RAS": np.eye(3),
    "LPS": np.diag([-1.0, -1.0, 1.0]),
    "permuted": np.eye(3)[:, [2, 0, 1]],
    "oblique": TURN,
}


def grid_of(direction, spacing=(1.0, 1.5, 2.0)):
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(spacing)
    affine[:3, 3] = 12.0, -7.0, 30.0
    return Grid(SHAPE, affine)


def matrix_of(linear, shift=(1.0, -2.0, 0.5)):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, shift
    return Affine(matrix)


LINEAR = np.array([[1.1, 0.1, 0.0], [-0.05, 0.9, 0.05], [0.1, 0.0, 1.2]])


def quadratic(grid, strength=0.1):
    """A displacement along the first axis of the array whose derivative is known: det = 1 + strength (2 t - 1)."""
    data = np.zeros((1, 3, *grid.shape))
    i = np.arange(grid.shape[0]) - (grid.shape[0] - 1) / 2
    data[0, 0] = (strength * i**2 / grid.shape[0])[:, None, None]
    expected = 1 + 2 * strength * i / grid.shape[0]
    return DisplacementField(data, grid), np.broadcast_to(expected[:, None, None], grid.shape)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_known_map_and_affine_in_any_order(name):
    grid = grid_of(ORIENTATIONS[name])
    field, expected = quadratic(grid)
    affine, volume = matrix_of(LINEAR), np.linalg.det(LINEAR)
    inner = (0, 0, slice(1, -1))
    for chain in (Composite((field, affine)), Composite((Composite((field,)), affine))):
        whole, part = (jacobian_of(chain, grid, affine=kept) for kept in (True, False))
        np.testing.assert_allclose(whole.determinant.data[inner], volume * expected[1:-1], rtol=1e-6)
        np.testing.assert_allclose(part.determinant.data[inner], expected[1:-1], rtol=1e-6)
        np.testing.assert_allclose(part.logarithm.data[inner], np.log(expected[1:-1]), atol=1e-6)
        assert (whole.removed, part.removed) == ("nothing", "chain")
        np.testing.assert_allclose(part.affine, affine.matrix)


def test_an_affine_before_the_displacement():
    """The chain of an inverse: its determinant is read where the affine leads to."""
    grid = grid_of(np.eye(3))
    field, _ = quadratic(Grid(SHAPE, grid.affine))
    shift = matrix_of(1.25 * np.eye(3), shift=-0.25 * grid.centre)
    found = jacobian_of(Composite((shift.inverse(), field)), grid, affine=False)
    place = grid.index_to_world(np.array([[18.0, 11.0, 12.0]]))
    step = 0.05
    chain = Composite((shift.inverse(), field))
    columns = [chain.map_points(place + step * e) - chain.map_points(place - step * e) for e in np.eye(3)]
    numeric = np.linalg.det(np.concatenate(columns).T / (2 * step)) / 0.8**3
    index = tuple(np.rint(grid.world_to_index(place)[0]).astype(int))
    assert found.determinant.data[(0, 0, *index)] == pytest.approx(numeric, rel=0.02)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_affine_inside_a_displacement_is_fitted(name):
    grid = grid_of(ORIENTATIONS[name])
    inside = DisplacementField(matrix_of(LINEAR).on(grid).displacement(), grid)
    found = jacobian_of(inside, grid, affine=False)
    assert found.removed == "fit"
    np.testing.assert_allclose(found.affine[:3, :3], LINEAR, atol=1e-4)
    np.testing.assert_allclose(found.determinant.data, 1, atol=1e-4)
    np.testing.assert_allclose(jacobian_of(inside, grid).determinant.data, np.linalg.det(LINEAR), rtol=1e-4)


def test_fit_uses_the_mask_alone():
    grid = grid_of(np.eye(3))
    data = matrix_of(LINEAR).on(grid).displacement().copy()
    mask = np.zeros(SHAPE, bool)
    mask[:, :, :10] = True
    data[..., 10:] = 7.0
    found = jacobian_of(DisplacementField(data, grid), grid, affine=False, mask=mask)
    np.testing.assert_allclose(found.affine[:3, :3], LINEAR, atol=1e-4)
    values = found.determinant.data[0, 0]
    np.testing.assert_allclose(values[1:-1, 1:-1, 1:9], 1, atol=1e-4)
    assert (values[:, :, 10:] == 1).all()


def test_affine_of_one_slice_is_fitted_in_the_plane():
    grid = Grid.from_spacing((20, 18, 1), (1.0, 1.0, 4.0))
    data = np.zeros((1, 3, *grid.shape))
    data[0, 0] = 0.1 * np.arange(20)[:, None, None]
    found = jacobian_of(DisplacementField(data, grid), grid, affine=False)
    np.testing.assert_allclose(found.determinant.data, 1, atol=1e-5)


def test_agrees_with_simpleitk():
    """On axes of LPS: its filter takes derivatives along the array's axes without turning them into the world."""
    grid = grid_of(ORIENTATIONS["LPS"])
    rng = np.random.default_rng(0)
    field = DisplacementField(0.2 * rng.normal(size=(1, 3, *SHAPE)), grid)
    vectors = np.moveaxis(field.data[0], 0, -1) * grid.spacing
    image = sitk.GetImageFromArray(vectors.transpose(2, 1, 0, 3), isVector=True)
    image.SetSpacing(grid.spacing.tolist())
    theirs = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(image, True)).T
    ours = jacobian_of(field, grid).determinant.data[0, 0]
    inner = (slice(1, -1),) * 3
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=1e-5)


def test_folds_have_a_finite_logarithm():
    grid = Grid.from_spacing((12, 10, 8))
    data = np.zeros((1, 3, *grid.shape))
    data[0, 0] = -2.0 * np.arange(12)[:, None, None]
    found = jacobian_of(DisplacementField(data, grid), grid)
    assert found.summary()["folds"] == grid.size
    np.testing.assert_allclose(found.logarithm.data, math.log(1e-3))


def test_tensors_stay_tensors():
    grid = Grid.from_spacing((12, 10, 8))
    found = jacobian_of(DisplacementField(torch.zeros((1, 3, *grid.shape)), grid), grid, affine=False)
    assert isinstance(found.image(log=True).data, torch.Tensor)


@pytest.mark.parametrize("mask", [np.ones((3, 3, 3)), np.zeros(SHAPE)])
def test_bad_masks(mask):
    grid = grid_of(np.eye(3))
    with pytest.raises(ShapeError, match="mask"):
        jacobian_of(matrix_of(LINEAR), grid, mask=mask)


def ball(grid, radius=6.0):
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    centre = (np.array(grid.shape) - 1) / 2
    inside = ((index - centre) ** 2).sum(-1) < radius**2
    return Image(inside[None, None].astype(np.uint8) * 3, grid, labels=True), inside


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_volume_of_a_label(name):
    """Shrunk by 10 % along every axis: .729 of its volume, in any orientation."""
    grid = grid_of(ORIENTATIONS[name])
    labels, inside = ball(grid)
    shrunk = DisplacementField(matrix_of(0.9 * np.eye(3)).on(grid).displacement(), grid)
    (found,) = volume_changes(jacobian_of(shrunk, grid), labels, names={3: "ball"})
    assert (found.label, found.name, found.voxels) == (3, "ball", inside.sum())
    assert found.before == pytest.approx(inside.sum() * 3.0)
    assert found.after == pytest.approx(0.729 * found.before, rel=1e-4)
    assert found.change_percent == pytest.approx(-27.1, abs=0.01)
    assert found.low_percent is None
    assert "low_percent" not in found.to_json()
    assert volume_rows([found])[0][-2:] == ["log_mean", "folds"]


def test_intervals_come_from_the_flux_of_drawn_errors():
    """Errors that scale the label about its centre by s: its volume changes by 3 s, to first order."""
    grid = grid_of(TURN, spacing=(1.0, 1.0, 1.0))
    labels, _ = ball(grid)
    scales = np.array([0.01, -0.02, 0.015, -0.005])
    coarse = grid.resized((15, 13, 11))
    away = np.moveaxis(coarse.index_to_world(np.moveaxis(np.indices(coarse.shape), 0, -1)) - grid.centre, -1, 0)
    draws = Image(scales[:, None, None, None, None] * away[None], coarse)
    (found,) = volume_changes(jacobian_of(Affine.identity(3), grid), labels, draws=draws)
    half = 2.776445 * 300 * np.sqrt(np.mean(scales**2))  # Student's quantile for four draws
    assert found.change_percent == pytest.approx(0, abs=1e-5)
    assert found.high_percent == pytest.approx(half, rel=0.01)
    assert found.low_percent == pytest.approx(-half, rel=0.01)


def test_labels_on_another_grid_are_refused():
    grid = grid_of(np.eye(3))
    labels, _ = ball(Grid.from_spacing((10, 10, 10)))
    with pytest.raises(LabelError, match="grid of the determinant"):
        volume_changes(jacobian_of(matrix_of(LINEAR), grid), labels)
    empty = Image(np.zeros((1, 1, *SHAPE), np.uint8), grid, labels=True)
    with pytest.raises(LabelError, match="no label"):
        volume_changes(jacobian_of(matrix_of(LINEAR), grid), empty)
