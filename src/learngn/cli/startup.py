"""What the program does to start and to end at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Import without looking for garbage: PyTorch alone makes half a million objects, all of which stay.

    Going through them again and again takes a quarter of the time that the import takes. They are left out of later
    searches, too, that at the end of the process included.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if searching:
            gc.enable()
