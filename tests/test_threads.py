"""One number of threads for the kernels and the libraries."""

import os
import subprocess
import sys

import numpy as np
import pytest

from learngn import threads

LATE = """
import os, sys
from learngn.threads import VARIABLES, set_threads, thread_count
set_threads(1)
assert "numpy" not in sys.modules
assert {os.environ[name] for name in VARIABLES} == {"1"}
import torch
assert (thread_count(), torch.get_num_threads()) == (1, 1)
set_threads(2)
assert (thread_count(), torch.get_num_threads()) == (2, 2)
"""


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"NUMBA_NUM_THREADS": "5", "OMP_NUM_THREADS": "3"}, 5),
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"OMP_NUM_THREADS": "many"}, threads.processors()),
        ({"OMP_NUM_THREADS": "0"}, threads.processors()),
        ({}, threads.processors()),
    ],
)
def test_from_the_environment(variables, expected, fresh, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert threads.thread_count() == expected


def test_processors_of_this_process():
    assert 1 <= threads.processors() <= os.cpu_count()


def test_libraries_imported_before_and_after():
    subprocess.run([sys.executable, "-c", LATE], check=True, timeout=120)


def test_kernels_use_no_more(fresh, monkeypatch):
    from learngn.kernels import _cpu_threads

    asked = []
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    monkeypatch.setattr(threads, "_pool", lambda process, count: asked.append(count) or _Pool())
    seen = []
    large = _Size()
    run = _cpu_threads.Loop.__new__(_cpu_threads.Loop)
    run.compiled = lambda start, stop, *_: seen.append((start, stop))
    run(100, large)
    assert asked == [3]
    assert sorted(seen)[0][0] == 0
    assert sorted(seen)[-1][1] == 100


def test_arrays_and_kernels_share_the_threads(fresh, monkeypatch):
    from learngn.arrays.parts import by_parts
    from learngn.kernels import combined

    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    threads._pool.cache_clear()
    a = np.zeros((1, 1, 64, 64, 100), np.float32)
    by_parts(np.sqrt, a)
    combined(a, 1.0, a, 1.0)
    assert threads._pool.cache_info().currsize == 1
    assert threads._pool.cache_info().hits == 1


class _Size:
    size = 2**30


class _Pool:
    """A pool whose threads are all busy."""

    def submit(self, work):
        return self

    def cancel(self):
        return True
