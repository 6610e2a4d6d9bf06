"""Who does the work of many tasks: this process, or (in :mod:`learngn.cohort.cluster`) others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from learngn.errors import LearnGNError

Task = Callable[[], Any]


@dataclass(frozen=True)
class Failure:
    """Why a task has no result.

    Attributes
    ----------
    error : str
        One line.
    trace : str, optional
        Of what is no user's error.
    """

    error: str
    trace: str | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Describe an exception."""
        if isinstance(error, LearnGNError):
            return cls(str(error))
        text = " ".join(str(error).split())
        return cls(f"{type(error).__name__}: {text}", "".join(traceback.format_exception(error)))


class Pool(Protocol):
    """Whoever runs tasks."""

    @property
    def remote(self) -> bool:
        """Whether tasks run in other processes: they and what they return must be picklable."""

    def run(self, tasks: Mapping[str, Task], retries: int) -> Iterator[tuple[str, Any]]:
        """Run tasks in any order.

        Parameters
        ----------
        tasks : dict
            Functions without arguments, by name.
        retries : int
            How often one that fails is tried again.

        Yields
        ------
        str, Any
            Name of a task and its result, or its last :class:`Failure`.
        """


@dataclass(frozen=True)
class Serial:
    """Task after task in this process."""

    remote: bool = False

    def run(self, tasks: Mapping[str, Task], retries: int) -> Iterator[tuple[str, Any]]:
        """See :meth:`Pool.run`."""
        for name, task in tasks.items():
            yield name, attempted(task, retries)


def attempted(task: Task, retries: int) -> Any:
    """Result of a task, or its last :class:`Failure`."""
    for left in range(retries, -1, -1):
        try:
            return task()
        except Exception as error:  # whatever it is, the other tasks go on
            if left == 0:
                return Failure.of(error)
    raise ValueError(f"{retries} retries")
