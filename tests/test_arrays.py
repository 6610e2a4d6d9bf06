"""Operations on arrays that the array API standard lacks: the same on both libraries."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from learngn import arrays
from learngn.errors import MissingPackageError

LIBRARIES = {"NumPy": np.asarray, "PyTorch": torch.as_tensor}


@pytest.fixture(params=LIBRARIES)
def make(request):
    return LIBRARIES[request.param]


def values(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_types_are_kept(make, dtype):
    x = make(values(2, 3, 4, 5, dtype=dtype))
    for result in (
        arrays.like([0.1, 2], x),
        arrays.like(np.float64(3), x),
        arrays.like(make(np.arange(3)), x),
        arrays.zeros((2, 2), x),
        arrays.full_like_shape((2,), 0.5, x),
        arrays.clamped(x, -0.5, 0.5),
        arrays.lattice((2, 3), x),
        arrays.largest_of_neighbours(x, 3),
        arrays.add_at(x[0, 0], make(np.array([0, 1, 0, 2])), 4),
    ):
        assert result.dtype == x.dtype
        assert arrays.is_tensor(result) == arrays.is_tensor(x)


def test_neighbours(make):
    x = values(2, 1, 4, 5, 3)
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1), (1, 1)], constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3, 3), axis=(2, 3, 4))
    np.testing.assert_array_equal(arrays.largest_of_neighbours(make(x), 3), windows.max(axis=(-1, -2, -3)))
    flat = values(1, 1, 1, 6)
    assert arrays.largest_of_neighbours(make(flat), 2).shape == (1, 1, 1, 6)


def test_sums_by_index(make):
    x, index = values(6, 2), np.array([3, 0, 3, 1, 0, 3])
    expected = np.zeros((5, 2))
    np.add.at(expected, index, x)
    np.testing.assert_allclose(arrays.add_at(make(x), make(index), 5), expected, rtol=1e-6)
    assert arrays.add_at(make(x[:, :0]), make(index), 5).shape == (5, 0)


def test_layouts_and_views(make):
    x = make(values(2, 3, 4, 5, 6))
    last = arrays.channels_last(x)
    np.testing.assert_array_equal(last, x)
    assert arrays.as_numpy(last).strides[1] == 4
    back = arrays.in_order(last)
    assert arrays.as_numpy(back).flags.c_contiguous
    part = arrays.narrow(x, 3, 1, 2)
    np.testing.assert_array_equal(part, arrays.as_numpy(x)[:, :, :, 1:3])
    assert np.shares_memory(arrays.as_numpy(part), arrays.as_numpy(x))


def test_limits_quantiles_and_finite_values(make):
    x = values(1000)
    np.testing.assert_array_equal(arrays.clamped(make(x), high=0.5), np.minimum(x, 0.5))
    assert arrays.quantile(make(x), 0.3) == pytest.approx(np.quantile(x, 0.3))
    np.testing.assert_allclose(arrays.quantile(make(x), [0.1, 0.9]), np.quantile(x, [0.1, 0.9]))
    assert arrays.finite(make(x))
    assert arrays.finite(make(x[:0]))
    assert arrays.finite(make(np.arange(3)))
    for bad in (np.nan, np.inf, -np.inf):
        x[7] = bad
        assert not arrays.finite(make(x))


def test_conversion_between_libraries_shares_memory():
    x = values(3)
    tensor = torch.as_tensor(x)
    assert arrays.shared(None, x) is None
    assert arrays.shared(x, x) is x
    assert np.shares_memory(arrays.shared(tensor, x), x)
    there = arrays.shared(x, tensor)
    assert torch.is_tensor(there)
    assert there.data_ptr() == tensor.data_ptr()
    assert arrays.shared(values(3, dtype=np.float64), tensor).dtype == torch.float64


def test_what_is_differentiated():
    x, leaf = values(3), torch.ones(3, requires_grad=True)
    assert not arrays.differentiable(x, None, torch.ones(3))
    assert arrays.differentiable(x, leaf)
    with arrays.without_gradient():
        assert not arrays.differentiable(leaf)
    assert not arrays.detached(leaf * 2).requires_grad
    assert arrays.detached(x) is x


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setattr("learngn.errors.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"a model.*learngn\[torch\].*index-url.*cpu"):
        arrays.require_torch("a model")


def test_nothing_here_imports_pytorch():
    program = (
        "import sys; import numpy as np; from learngn import arrays, features, geometry, kernels, linearise, testing;"
        "from learngn.geometry import sampling; from learngn.solve import NormalSolver;"
        "x = np.ones((1, 1, 4, 5, 6), np.float32); print(kernels.warp(x, None, np.eye(4), (4, 5, 6)).sum());"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["120.0", "False"], done.stderr


@pytest.mark.parametrize("shape", [(2, 3, 70, 40, 60), (1, 2, 5, 4), (2, 1, 1, 300, 400)], ids=str)
def test_parts_of_arrays_join_to_the_whole(make, shape, monkeypatch):
    """More than one part and thread, less than one row, another number of channels, another type."""
    monkeypatch.setattr("learngn.threads.thread_count", lambda: 3)
    x, y = values(*shape), values(shape[0], 1, *shape[2:])
    found = arrays.by_parts(lambda a, b: a[:, :1] * b > 0, make(x), make(y))
    assert arrays.is_tensor(found) == arrays.is_tensor(make(x))
    np.testing.assert_array_equal(np.asarray(found), x[:, :1] * y > 0)


def test_failure_in_a_part_is_raised(monkeypatch):
    monkeypatch.setattr("learngn.threads.thread_count", lambda: 3)

    def fails(part):
        if part.max() == 1:
            raise ZeroDivisionError
        return part

    x = np.zeros((1, 1, 70, 40, 60))
    x[0, 0, -1] = 1
    with pytest.raises(ZeroDivisionError):
        arrays.by_parts(fails, x)


def test_channels_last(make):
    empty = arrays.empty_channels_last((2, 3, 4, 5, 6), make(values(1)))
    assert tuple(empty.shape) == (2, 3, 4, 5, 6)
    assert np.asarray(empty).transpose(0, 2, 3, 4, 1).flags.c_contiguous
    assert arrays.single(make(values(3, dtype=np.float64))).dtype == empty.dtype == make(values(1)).dtype
    x = make(values(1))
    assert arrays.single(x) is x
