"""Import of what Numba compiles with, without SciPy's linear algebra, which takes as long as registering a small pair.

Numba imports it to know whether it can compile ``numpy.cov`` and ``numpy.corrcoef``. Other linear algebra it looks for
when it compiles it, as before.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from typing import Any


def import_numba() -> None:
    """Import the part of Numba that looks for SciPy, unless it has been imported."""
    if "numba.np.arraymath" in sys.modules:
        return
    with suppress(ImportError, AttributeError):  # in another version of Numba, which then imports what it likes
        linalg: Any = import_module("numba.np.linalg")
        look = linalg.ensure_blas

        def not_found() -> None:
            raise ImportError("linear algebra is not looked for")

        linalg.ensure_blas = not_found
        try:
            import_module("numba.np.arraymath")
        finally:
            linalg.ensure_blas = look
