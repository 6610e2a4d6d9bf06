"""The same pair gives the same field: bit for bit with as many threads, within a thousandth of a voxel with more."""

import os
import subprocess
import sys

import numpy as np
import pytest

from learngn import register
from learngn.phantom import abdomens
from learngn.settings import Settings
from learngn.threads import set_threads, thread_count


@pytest.fixture(scope="module")
def pair():
    fixed, moving = abdomens(2, (48, 48, 40), seed=3)
    return fixed.scan, moving.scan


@pytest.fixture
def field(pair):
    """Registers with so many threads; the displacement [voxel]."""
    before = thread_count()

    def run(threads, features, affine=True, **options):
        set_threads(threads)
        settings = Settings(
            features=features, strides=(4, 2), iterations=(2, 1), lam=(3.0, 0.3), affine=affine, **options
        )
        result = register(*pair, settings=settings)
        return result.transform.on(result.fixed.grid).displacement()

    yield run
    set_threads(before)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("features", ["intensity", "mind"])
def test_twice_is_the_same(features, threads, field):
    affine = threads == 1
    first = field(threads, features, affine)
    assert np.abs(first).max() > 1
    np.testing.assert_array_equal(field(threads, features, affine), first)


def test_threads_change_nothing_with_intensities(field):
    np.testing.assert_array_equal(field(2, "intensity"), field(1, "intensity"))


def test_threads_change_less_than_a_thousandth_of_a_voxel(field):
    # A sum over the whole scan, by which MIND is normalised, may be of as many parts as there are threads.
    np.testing.assert_allclose(field(2, "mind", False), field(1, "mind", False), rtol=0, atol=1e-3)


@pytest.mark.slow
def test_symmetric_and_discrete_are_the_same_twice(field):
    options = {"affine": False, "symmetric": True, "discrete": True}
    np.testing.assert_array_equal(field(2, "mind", **options), field(2, "mind", **options))


PROGRAM = """
import hashlib
from learngn import register
from learngn.phantom import abdomens
from learngn.settings import Settings

fixed, moving = abdomens(2, (40, 32), seed=3)
settings = Settings("intensity", strides=(4, 2), iterations=(2, 1), lam=(3.0, 0.3), affine=False)
field = register(fixed.scan, moving.scan, settings=settings).transform.on(fixed.scan.grid).displacement()
print(hashlib.sha256(field.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_kernels_just_compiled_and_kept_are_the_same(tmp_path):
    """The first process compiles; in the second, each kernel brings its own copies of the functions it calls."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout
    assert any(tmp_path.rglob("*.nbc"))
