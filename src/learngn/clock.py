"""Measurement of the time that every stage of a registration takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


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
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
