"""Every back end against the torch reference, the reference against definitions, and which one is taken."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from learngn import kernels
from learngn.errors import SettingsError
from learngn.kernels.compiled import COMPILED
from learngn.kernels.fused import TorchKernels
from learngn.kernels.reference import ReferenceKernels
from learngn.kernels.taps import Taps, area_taps, box_taps
from learngn.kernels.tensors import OnTensors
from learngn.testing import KERNEL_RULES
from learngn.testing.kernels import SHAPES, Case

REFERENCE = ReferenceKernels()


# Every implementation, on NumPy's arrays and on tensors; the reference on tensors is compared with PyTorch's sampling.
BACKENDS = {
    "compiled, NumPy": (COMPILED, None),
    "compiled, PyTorch": (OnTensors(COMPILED), "cpu"),
    "reference, NumPy": (REFERENCE, None),
    "fused, PyTorch": (TorchKernels(), "cpu"),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rule", KERNEL_RULES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rule(backend, rule, shape):
    implementation, device = BACKENDS[backend]
    KERNEL_RULES[rule](Case(implementation, shape, device))


@pytest.mark.parametrize("width", [1, 3, 5])
def test_box_repeats_the_border(width):
    line = torch.randn(1, 1, 11)
    padded = torch.nn.functional.pad(line, (width // 2, width // 2), mode="replicate")
    expected = torch.nn.functional.avg_pool1d(padded, width, stride=1)
    matrix = torch.from_numpy(box_taps(11, width).matrix()).float()
    torch.testing.assert_close(line @ matrix.T, expected)


@pytest.mark.parametrize(("cells", "cell"), [((3, 4), (2, 1)), ((2, 1, 3), (1, 2, 3)), ((1, 3, 2), (2, 2, 2))], ids=str)
@pytest.mark.parametrize("channels", [1, 6])
def test_definition_of_the_match_cost(cells, cell, channels):
    torch.manual_seed(0)
    shape = [n * k for n, k in zip(cells, cell, strict=True)]
    wide = [n + 3 for n in shape]
    offsets = np.random.default_rng(0).integers(0, 4, (7, len(shape)))
    given = torch.randn(2, channels, *shape), torch.rand(2, 1, *shape), torch.randn(2, channels, *wide)
    seen = (torch.rand(2, 1, *wide) > 0.2).float()
    cost, covered = REFERENCE.match_cost(*given, seen, offsets, cell)
    assert cost.shape == covered.shape == (2, 7, *cells)
    # For the first cell and one offset.
    first = (0, slice(None), *[slice(0, k) for k in cell])
    there = (0, slice(None), *[slice(o, o + k) for o, k in zip(offsets[3].tolist(), cell, strict=True)])
    distance = (given[2][there] - given[0][first]).square().sum(0) * given[1][first][0] * seen[there][0]
    assert float(cost[0, 3].flatten()[0]) == pytest.approx(float(distance.mean()), rel=1e-5)


def test_taps_are_their_matrix():
    dense = area_taps(7, 3).matrix()
    np.testing.assert_allclose(dense.sum(1), 1)
    np.testing.assert_allclose(Taps.from_matrix(dense).matrix(), dense)


def test_definition_of_lengths_and_of_what_is_cut():
    field = np.random.default_rng(0).standard_normal((2, 3, 6, 7, 5)).astype(np.float32)
    norm = np.linalg.norm(field.astype(float), axis=1)
    for each in (COMPILED, REFERENCE):
        assert each.lengths(field) == pytest.approx((float(norm.mean()), float(norm.max())), rel=1e-6)
        assert each.lengths(each.capped(field, 0.5))[1] == pytest.approx(0.5, rel=1e-6)
    assert COMPILED.capped(field, 100.0) is field


def test_the_choice_can_be_forced(monkeypatch):
    assert kernels.backend(np.zeros(1, np.float32)) is COMPILED
    assert kernels.backend(torch.zeros(1)).name == COMPILED.name
    assert "numba" in kernels.in_use()["CPU"]
    monkeypatch.setenv("LEARNGN_KERNELS", "reference")
    assert isinstance(kernels.backend(torch.zeros(1)), ReferenceKernels)
    monkeypatch.setenv("LEARNGN_KERNELS", "fortran")
    with pytest.raises(SettingsError, match=r"LEARNGN_KERNELS.*fortran.*auto or reference or triton"):
        kernels.backend(torch.zeros(1))


def test_threads_share_the_work_to_the_same_result():
    u, step = np.random.default_rng(0).standard_normal((2, 1, 3, 40, 44, 48)).astype(np.float32)
    alone = COMPILED.warp(u, step, np.eye(4), u.shape[2:])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with ThreadPoolExecutor(4) as pool:  # several callers at once, each with threads of its own
            together = list(pool.map(lambda _: COMPILED.warp(u, step, np.eye(4), u.shape[2:]), range(8)))
    finally:
        torch.set_num_threads(before)
    assert all(np.array_equal(alone, one) for one in together)


@pytest.mark.parametrize("shape", [(35, 66, 67), (3, 2, 5), (90, 170)], ids=str)
def test_sweep_with_residual_is_the_sweep_and_its_residual(shape, monkeypatch):
    """To the bit, for any number of threads, on several planes and pieces of planes."""
    ndim, random = len(shape), np.random.default_rng(0).standard_normal
    blocks, rhs, _ = COMPILED.normal_equations(*random((2, 2, 4, *shape)).astype(np.float32), None, True)
    stiffness, shift = np.full((2, ndim, ndim), 0.3, np.float32), np.array([0.1, 0.3], np.float32)
    operator = COMPILED.bind(blocks, stiffness, shift, None, 1)
    given, swept, expected = operator.owned(rhs), operator.room(), operator.room()
    operator.relax(given, None, 0.8, swept)
    operator.residual(given, swept, expected)
    for count in (1, 2, 3):
        monkeypatch.setattr("learngn.kernels._cpu_threads.thread_count", lambda count=count: count)
        x, out = np.full_like(swept, np.nan), np.full_like(swept, np.nan)
        operator.relax_from_zero_and_residual(given, 0.8, x, out)
        np.testing.assert_array_equal(x, swept)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("shape", [(35, 30, 41), (1, 170, 170)], ids=str)
def test_normal_equations_do_not_depend_on_the_number_of_threads(shape, monkeypatch):
    images = np.random.default_rng(0).standard_normal((2, 1, 12, *shape)).astype(np.float32)
    found = []
    for count in (1, 2, 3):
        monkeypatch.setattr("learngn.kernels._cpu_threads.thread_count", lambda count=count: count)
        found.append(COMPILED.normal_equations(*images, None, True))
    assert all(np.array_equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_similarities_do_not_depend_on_the_number_of_threads(monkeypatch):
    image = np.random.default_rng(0).standard_normal((2, 1, 40, 44, 51)).astype(np.float32)
    steps = np.random.default_rng(1).integers(-2, 3, (2, 12, 3))
    found = []
    for count in (1, 2, 3):
        monkeypatch.setattr("learngn.kernels._cpu_threads.thread_count", lambda count=count: count)
        found.append(COMPILED.self_similarity(image, *steps, 1))
    assert all(np.array_equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_similarities_of_extreme_images(scale):
    """Noise far below and above the rest, and none at all: to single precision, in (0, 1], one for the likest pair."""
    image = np.random.default_rng(0).standard_normal((1, 1, 30, 8, 9)).astype(np.float32)
    image[:, :, 10:20] *= 1e-4
    image[:, :, 20:] = 1
    image[:, :, 25:27] *= 1e3
    steps = np.random.default_rng(1).integers(-2, 3, (2, 12, 3))
    got = COMPILED.self_similarity(np.float32(scale) * image, *steps, 1)
    expected = REFERENCE.self_similarity(scale * image.astype(np.float64), *steps, 1)
    np.testing.assert_allclose(got, expected, atol=2e-3)
    np.testing.assert_array_equal(got.max(axis=1), 1)
    assert got.min() >= 0
