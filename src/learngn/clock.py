"""Measurement of the time that every stage of a registration takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_LOG = logging.getLogger(__name__)


@dataclass
class Clock:
    """Clock of named stages; the times of a stage that runs several times are added up.

    Attributes
    ----------
    seconds : dict
        Seconds of every stage, by its name.
    """

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the time of a ``with`` block, as a stage of this name."""
        start = time.perf_counter()
        yield
        taken = time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + taken
        _LOG.debug("%s: %.2f s", name, taken)
