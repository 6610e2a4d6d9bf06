"""Fast start and exit of the program."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Import without garbage collection: PyTorch makes half a million objects, all of which stay.

    Garbage collection would take a quarter of the import time. The objects are also excluded from later collections,
    including that at the end of the process.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
