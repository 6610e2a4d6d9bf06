"""Every back end against the torch reference: 2D and 3D, odd shapes, one voxel thick, several samples."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from learngn import kernels
from learngn.errors import SettingsError
from learngn.kernels.compiled import COMPILED
from learngn.kernels.reference import ReferenceKernels, stencil_diagonal
from learngn.kernels.taps import Taps, area_taps, box_taps, linear_taps

REFERENCE = ReferenceKernels()
# The last ones have rows of one, two and three vectors, whole and not.
SHAPES = [(7, 9), (1, 6), (6, 7, 5), (5, 1, 4), (1, 1, 3), (8, 6, 10), (3, 16), (2, 3, 8), (3, 2, 17), (2, 2, 24)]


def close(a, b, tolerance=2e-5):
    torch.testing.assert_close(a.contiguous(), b.contiguous(), rtol=tolerance, atol=tolerance)


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    torch.manual_seed(0)
    return request.param


def system(shape, n=2):
    ndim = len(shape)
    features = torch.randn(n, 4, *shape)
    blocks, gradient, _ = REFERENCE.normal_equations(features, torch.randn(n, 4, *shape), None, False)
    return blocks, torch.rand(n, ndim, ndim) + 0.2, torch.tensor([0.1, 0.3])[:n], gradient


@pytest.mark.parametrize("channels", [1, 5, 8, 19])
def test_warp(shape, channels):
    ndim = len(shape)
    image = torch.randn(2, channels, *[n + 2 for n in shape])
    matrix = np.eye(ndim + 1)
    matrix[:-1, :-1] += 0.1 * np.random.default_rng(0).standard_normal((ndim, ndim))
    matrix[:-1, -1] = 0.7
    field = torch.randn(2, ndim, *shape) * 2
    close(COMPILED.warp(image, field, matrix, shape), REFERENCE.warp(image, field, matrix, shape))
    close(COMPILED.warp(image, None, matrix, shape), REFERENCE.warp(image, None, matrix, shape))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float32])
def test_warp_nearest(shape, dtype):
    ndim = len(shape)
    image = torch.randint(1, 9, (2, 1, *shape)).to(dtype)
    field = torch.randn(2, ndim, *shape) * 2
    got = COMPILED.warp_nearest(image, field, np.eye(ndim + 1), shape, 0)
    assert got.dtype == dtype
    close(got, REFERENCE.warp_nearest(image, field, np.eye(ndim + 1), shape, 0), 0)
    assert (got == 0).any()


def test_nearest_survives_absurd_displacements():
    field = torch.full((1, 3, 2, 2, 2), 1e30)
    assert not COMPILED.warp_nearest(torch.ones(1, 1, 2, 2, 2), field, np.eye(4), (2, 2, 2), 0).any()


@pytest.mark.parametrize("channels_last", [False, True])
def test_resample(shape, channels_last):
    image = torch.randn(2, 3, *shape)
    if channels_last:
        image = image.contiguous(memory_format=torch.channels_last if len(shape) == 2 else torch.channels_last_3d)
    coarse = [area_taps(n, max(1, n // 2)) for n in shape]
    close(COMPILED.resample(image, coarse), REFERENCE.resample(image, coarse))
    fine = [linear_taps(n, 2 * n + 1) for n in shape]
    close(COMPILED.resample(image, fine), REFERENCE.resample(image, fine))
    for width in (3, 5, 7):
        box = [box_taps(n, width) for n in shape]
        close(COMPILED.resample(image, box), REFERENCE.resample(image, box))


@pytest.mark.parametrize("width", [1, 3, 5])
def test_box_repeats_the_border(width):
    line = torch.randn(1, 1, 11)
    padded = torch.nn.functional.pad(line, (width // 2, width // 2), mode="replicate")
    expected = torch.nn.functional.avg_pool1d(padded, width, stride=1)
    matrix = torch.from_numpy(box_taps(11, width).matrix()).float()
    torch.testing.assert_close(line @ matrix.T, expected)


@pytest.mark.parametrize("symmetric", [False, True])
def test_normal_equations(shape, symmetric):
    fixed, warped = torch.randn(2, 4, *shape), torch.randn(2, 4, *shape)
    for weight in (None, torch.rand(2, 1, *shape)):
        for got, expected in zip(
            COMPILED.normal_equations(fixed, warped, weight, symmetric),
            REFERENCE.normal_equations(fixed, warped, weight, symmetric),
            strict=True,
        ):
            assert got.dtype == expected.dtype
            close(got, expected)


def test_apply_operator(shape):
    blocks, stiffness, shift, _ = system(shape)
    x = torch.randn(2, len(shape), *shape)
    close(
        COMPILED.apply_operator(blocks, stiffness, shift, x),
        REFERENCE.apply_operator(blocks, stiffness, shift, x),
        1e-4,
    )


def test_smooth(shape):
    blocks, stiffness, shift, rhs = system(shape)
    for x in (None, torch.randn_like(rhs)):
        got = COMPILED.smooth(blocks, stiffness, shift, rhs, x, 0.8)
        close(got, REFERENCE.smooth(blocks, stiffness, shift, rhs, x, 0.8), 1e-4)


@pytest.mark.parametrize("samples", [None, 1, 2])
def test_elastic(shape, samples):
    _, stiffness, _, x = system(shape)
    faces = None if samples is None else torch.rand(samples, len(shape), *shape)
    close(COMPILED.elastic(stiffness, x, faces), REFERENCE.elastic(stiffness, x, faces), 1e-4)


def test_apply_blocks(shape):
    blocks, stiffness, shift, x = system(shape)
    elastic = REFERENCE.elastic(stiffness, x, None)
    whole = REFERENCE.apply_operator(blocks, stiffness, shift, x)
    for each in (COMPILED, REFERENCE):
        close(each.apply_blocks(blocks, shift, x, elastic), whole, 1e-4)


def test_relax(shape):
    blocks, stiffness, shift, rhs = system(shape)
    diagonal = stencil_diagonal(stiffness, shape, None, 1)
    for x in (None, torch.randn_like(rhs)):
        elastic = None if x is None else REFERENCE.elastic(stiffness, x, None)
        whole = REFERENCE.smooth(blocks, stiffness, shift, rhs, x, 0.8)
        for each in (COMPILED, REFERENCE):
            close(each.relax(blocks, diagonal, shift, rhs, x, elastic, 0.8), whole, 1e-4)


def test_determinant(shape):
    field = torch.randn(2, len(shape), *shape)
    close(COMPILED.determinant(field), REFERENCE.determinant(field), 1e-4)


@pytest.mark.parametrize(("cells", "cell"), [((3, 4), (2, 1)), ((2, 1, 3), (1, 2, 3)), ((1, 3, 2), (2, 2, 2))], ids=str)
@pytest.mark.parametrize("channels", [1, 6])
def test_match_cost(cells, cell, channels):
    torch.manual_seed(0)
    shape = [n * k for n, k in zip(cells, cell, strict=True)]
    wide = [n + 3 for n in shape]
    offsets = np.random.default_rng(0).integers(0, 4, (7, len(shape)))
    given = torch.randn(2, channels, *shape), torch.rand(2, 1, *shape), torch.randn(2, channels, *wide)
    seen = (torch.rand(2, 1, *wide) > 0.2).float()
    expected = REFERENCE.match_cost(*given, seen, offsets, cell)
    for got, wanted in zip(COMPILED.match_cost(*given, seen, offsets, cell), expected, strict=True):
        assert got.shape == (2, 7, *cells)
        close(got, wanted)
    # The definition, for the first cell and one offset.
    first = (0, slice(None), *[slice(0, k) for k in cell])
    there = (0, slice(None), *[slice(o, o + k) for o, k in zip(offsets[3].tolist(), cell, strict=True)])
    distance = (given[2][there] - given[0][first]).square().sum(0) * given[1][first][0] * seen[there][0]
    assert float(expected[0][0, 3].flatten()[0]) == pytest.approx(float(distance.mean()), rel=1e-5)


def test_taps_are_their_matrix():
    dense = area_taps(7, 3).matrix()
    np.testing.assert_allclose(dense.sum(1), 1)
    np.testing.assert_allclose(Taps.from_matrix(dense).matrix(), dense)


def test_pull_back(shape):
    u, gradient = torch.randn(2, len(shape), *shape), torch.randn(2, len(shape), *shape)
    close(COMPILED.pull_back(u, gradient), REFERENCE.pull_back(u, gradient))


def test_combined_and_mean_diagonal(shape):
    blocks, _, _, rhs = system(shape)
    x, a, b = torch.randn_like(rhs), torch.tensor(0.3), torch.tensor(-2.0)
    close(COMPILED.combined(x, a, rhs, b), REFERENCE.combined(x, a, rhs, b), 1e-5)
    got = COMPILED.mean_diagonal(blocks)
    assert got.dtype == torch.float64
    close(got, REFERENCE.mean_diagonal(blocks), 1e-6)


def test_lengths(shape):
    field = torch.randn(2, len(shape), *shape)
    assert COMPILED.lengths(field) == pytest.approx(REFERENCE.lengths(field), rel=1e-6)
    norm = torch.linalg.vector_norm(field.double(), dim=1)
    assert COMPILED.lengths(field) == pytest.approx((float(norm.mean()), float(norm.max())), rel=1e-6)


def test_capped(shape):
    field = torch.randn(2, len(shape), *shape)
    got = COMPILED.capped(field, 0.5)
    close(got, REFERENCE.capped(field, 0.5), 1e-6)
    assert COMPILED.lengths(got)[1] == pytest.approx(0.5, rel=1e-6)
    assert COMPILED.capped(field, 100.0) is field


def test_dot(shape):
    a, b = torch.randn(2, len(shape), *shape), torch.randn(2, len(shape), *shape)
    assert COMPILED.dot(a, b) == pytest.approx(REFERENCE.dot(a, b), abs=1e-4)


def test_the_choice_can_be_forced(monkeypatch):
    assert kernels.best(torch.zeros(1)) is COMPILED
    assert "numba" in kernels.in_use()["CPU"]
    monkeypatch.setenv("LEARNGN_KERNELS", "torch")
    assert isinstance(kernels.best(torch.zeros(1)), ReferenceKernels)
    monkeypatch.setenv("LEARNGN_KERNELS", "fortran")
    with pytest.raises(SettingsError, match=r"LEARNGN_KERNELS.*fortran.*auto or torch or triton"):
        kernels.best(torch.zeros(1))


def test_threads_share_the_work_to_the_same_result():
    u, step = torch.randn(1, 3, 40, 44, 48), torch.randn(1, 3, 40, 44, 48)
    alone = COMPILED.warp(u, step, np.eye(4), u.shape[2:])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with ThreadPoolExecutor(4) as pool:  # several callers at once, each with threads of its own
            together = list(pool.map(lambda _: COMPILED.warp(u, step, np.eye(4), u.shape[2:]), range(8)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(alone, one) for one in together)
