"""Numba is imported without SciPy, and finds it when it is needed."""

import subprocess
import sys

PROGRAM = """
import sys
from learngn.kernels._numba import import_numba

import_numba()
import numpy as np
from numba import njit

twice = njit(lambda x: 2 * x)
assert twice(21) == 42
assert "scipy.linalg" not in sys.modules
product = njit(lambda a, b: np.dot(a, b))
assert product(np.ones(3), np.ones(3)) == 3
assert "scipy.linalg" in sys.modules
"""


def test_linear_algebra_is_found_when_it_is_compiled():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
