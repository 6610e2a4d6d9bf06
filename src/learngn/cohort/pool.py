"""Pools that run many tasks: in this process, or (in :mod:`learngn.cohort.cluster`) in others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from learngn.errors import LearnGNError

Task = Callable[[], Any]


@dataclass(frozen=True)
class Failure:
    """Reason why a task has no result.

    Attributes
    ----------
    error : str
        Message, one line.
    trace : str, optional
        Traceback of an exception that is not a :class:`LearnGNError`.
    """

    error: str
    trace: str | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Make a failure of an exception."""
        if isinstance(error, LearnGNError):
            return cls(str(error))
        text = " ".join(str(error).split())
        return cls(f"{type(error).__name__}: {text}", "".join(traceback.format_exception(error)))


class Pool(Protocol):
    """Runner of tasks."""

    @property
    def remote(self) -> bool:
        """Whether tasks run in other processes, so that tasks and results must be picklable."""

    def run(self, tasks: Mapping[str, Task], retries: int) -> Iterator[tuple[str, Any]]:
        """Run tasks, in any order.

        Parameters
        ----------
        tasks : dict
            Functions without arguments, by name.
        retries : int
            Number of times that a failed task is tried again.

        Yields
        ------
        str, Any
            Name of a task, and its result or its last :class:`Failure`.
        """


@dataclass(frozen=True)
class Serial:
    """Pool that runs the tasks one after another in this process."""

    remote: bool = False

    def run(self, tasks: Mapping[str, Task], retries: int) -> Iterator[tuple[str, Any]]:
        """See :meth:`Pool.run`."""
        for name, task in tasks.items():
            yield name, run_with_retries(task, retries)


def run_with_retries(task: Task, retries: int) -> Any:
    """Run a task, and return its result or its last :class:`Failure`."""
    for remaining in range(retries, -1, -1):
        try:
            return task()
        except Exception as error:  # of any kind, so that the other tasks go on
            if remaining == 0:
                return Failure.of(error)
    raise ValueError(f"{retries} retries")
