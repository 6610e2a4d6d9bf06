"""Arrays of NumPy and tensors of PyTorch: the same results, each in its own library and type."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from learngn.arrays import as_numpy
from learngn.geometry.grid import Grid
from learngn.linearise import Huber
from learngn.optimise import (
    AdamDisplacement,
    AffineGaussNewton,
    DiscreteStart,
    Exponential,
    GaussNewton,
    LandmarkPairs,
    PoseSearch,
    Symmetric,
    at_full_resolution,
    centre_of_mass,
    inverse_error,
    published_gauss_newton,
    unfolded,
)
from learngn.optimise.levels import on_grids
from learngn.settings import schedule

LEVELS = schedule((4, 2, 1), (3, 3, 2), (0.05, 0.005))
LANDMARKS = LandmarkPairs(np.array([[4.0, 2.0, 1.0]]), np.array([[5.0, 2.0, 3.0]]), 0.1)


def swirl(points):
    return torch.stack([1.8 * torch.sin(2 * torch.pi * points.flip(0)[a] / 40 + a) for a in range(len(points))])


def in_numpy(image):
    return replace(image, data=image.data.numpy(), weight=None if image.weight is None else image.weight.numpy())


@pytest.fixture(params=[False, True], ids=["all counts", "weights"])
def pair(request, known_pair):
    """Tensors and arrays of a pair whose displacement is known, in 3D."""
    fixed, moving, _ = known_pair((26, 24, 20), swirl, (1.0, 1.5, 2.0))
    if request.param:
        weight = torch.ones_like(fixed.data[:, :1])
        weight[..., :6] = 0
        fixed = replace(fixed, weight=weight)
    return (fixed, moving), (in_numpy(fixed), in_numpy(moving))


def assert_same(tensor, array, atol=1e-3):
    assert isinstance(tensor, torch.Tensor)
    assert isinstance(array, np.ndarray)
    assert str(tensor.dtype).endswith(str(array.dtype))
    np.testing.assert_allclose(array, as_numpy(tensor), rtol=0, atol=atol)


@pytest.mark.parametrize(
    "method",
    [
        GaussNewton(LEVELS),
        GaussNewton(LEVELS, update=Symmetric(Exponential()), overlap=True, loss=Huber(1.0)),
        published_gauss_newton(LEVELS),
        AdamDisplacement(LEVELS),
    ],
    ids=["plain", "symmetric", "published", "adam"],
)
def test_methods(pair, method):
    tensors, arrays = pair
    expected, got = method(*tensors, np.eye(4)), method(*arrays, np.eye(4))
    assert_same(expected.field, got.field)
    assert got.field.dtype == np.float32
    assert float(np.linalg.norm(got.field, axis=1).mean()) > 0.3
    assert [step.energy for step in got.history] == pytest.approx([step.energy for step in expected.history], rel=1e-4)
    fields = [vars(at_full_resolution(result, tensors[0].grid)).values() for result in (expected, got)]
    for tensor, array in zip(*fields, strict=True):
        if isinstance(array, np.ndarray):
            assert_same(tensor, array, 5e-3)


def test_a_start_and_landmarks(pair):
    tensors, arrays = pair
    start = 0.5 * torch.ones(1, 3, 9, 8, 7)
    results = [
        GaussNewton(LEVELS)(*images, np.eye(4), u, landmarks=LANDMARKS)
        for images, u in ((tensors, start), (arrays, start.numpy()))
    ]
    assert_same(*(result.field for result in results))


@pytest.mark.parametrize("symmetric", [False, True])
def test_discrete_start(pair, symmetric):
    search = DiscreteStart(reach=6, symmetric=symmetric)
    expected, got = (search(*images, np.eye(4)) for images in pair)
    assert isinstance(expected, torch.Tensor)
    assert got.dtype == np.float32
    # Two displacements of a window may be equally good to rounding: few cells may differ.
    assert np.quantile(np.abs(got - expected.numpy()), 0.99) < 1e-3
    assert float(np.abs(got).mean()) > 0.1


def test_affine(pair):
    stage = AffineGaussNewton(search=PoseSearch())
    expected, got = (stage(*images, {"header": np.eye(4)}) for images in pair)
    assert got.start == expected.start
    np.testing.assert_allclose(got.matrix, expected.matrix, atol=1e-3)
    assert got.energy == pytest.approx(expected.energy, rel=1e-3)


def test_features_on_grids(pair):
    grids = [Grid.from_spacing((26, 24, 20), (1.0, 1.5, 2.0)).resized(shape) for shape in ((26, 24, 20), (7, 6, 5))]
    for tensor, array in zip(*(on_grids(images[0], grids) for images in pair), strict=True):
        assert_same(tensor.data, array.data, 1e-5)
        if tensor.weight is not None:
            assert_same(tensor.weight, array.weight, 1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(14, 12), (10, 9, 8)], ids=str)
def test_folds_and_inverses(shape, dtype, rng):
    u = rng.normal(scale=0.6, size=(1, len(shape), *shape)).astype(dtype)
    assert_same(unfolded(torch.from_numpy(u)), unfolded(u), 1e-4)
    assert inverse_error(u, -u) == pytest.approx(inverse_error(torch.from_numpy(u), torch.from_numpy(-u)), rel=1e-5)


def test_centre_of_mass(rng):
    grid, weights = Grid.from_spacing((5, 6, 7), (1.0, 2.0, 3.0)), rng.random((1, 1, 5, 6, 7), dtype=np.float32)
    np.testing.assert_allclose(centre_of_mass(weights, grid), centre_of_mass(torch.from_numpy(weights), grid))
