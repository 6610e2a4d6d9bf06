"""Progress bar of a registration, in a terminal or in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from importlib import import_module
from typing import Any, Protocol

from learngn.optimise import Iteration
from learngn.settings import Settings

_PAUSE = 0.1  # least time between two updates of a notebook's cell [s]


class Bar(Protocol):
    """A progress bar: its text, and the number of steps done and to do (None: not known)."""

    def update(self, text: str, done: int, total: int | None) -> None:
        """Show a state."""

    def close(self) -> None:
        """Remove the bar."""


class Events:
    """What a registration calls while it runs, to show progress.

    Parameters
    ----------
    bar : Bar, optional
    callback : callable, optional
        Also called with every step.
    """

    def __init__(self, bar: Bar | None = None, callback: Callable[[Iteration], None] | None = None) -> None:
        self._bar, self._callback = bar, callback
        self._done, self._total = 0, 0

    def stage(self, name: str) -> None:
        """Show the name of a stage whose length is not known."""
        if self._bar is not None:
            self._bar.update(name, 0, None)

    def begins(self, settings: Settings) -> None:
        """Show that the settings are chosen: the number of steps is known."""
        self._total = sum(settings.iterations)
        self.stage("aligning")

    def step(self, step: Iteration) -> None:
        """Show a step."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(f"level 1/{step.stride:g}", self._done, max(self._total, self._done))
        if self._callback is not None:
            self._callback(step)


@contextmanager
def shown(progress: bool, ndim: int, callback: Callable[[Iteration], None] | None = None) -> Iterator[Events]:
    """Show a progress bar during a block, if asked for, and remove it at the end.

    Kernels that are not compiled yet are compiled first, with several processes, which the bar says.

    Parameters
    ----------
    progress : bool
    ndim : int
        Number of dimensions of the images.
    callback : callable, optional
        Called with every step.
    """
    if not progress:
        yield Events(callback=callback)
        return
    from learngn.kernels import warm

    bar = NotebookBar() if in_notebook() else TerminalBar()
    events = Events(bar, callback)
    try:
        if warm.is_cold(ndim):
            events.stage("compiling kernels, once for this computer")
            warm.compile_all(ndim)
        events.stage("preparing")
        yield events
    finally:
        bar.close()


def in_notebook() -> bool:
    """Whether the code runs in the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class TerminalBar:
    """Progress bar of Rich on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        self._bars = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
        self._task = self._bars.add_task("", total=None)
        self._bars.start()

    def update(self, text: str, done: int, total: int | None) -> None:
        """See :class:`Bar`."""
        self._bars.update(self._task, description=text, completed=done, total=total)

    def close(self) -> None:
        """See :class:`Bar`."""
        self._bars.stop()


class NotebookBar:
    """Progress bar in the output of a notebook's cell; IPython alone is needed, no widgets."""

    def __init__(self) -> None:
        shown_by: Any = import_module("IPython.display")
        self._html: Callable[[str], Any] = shown_by.HTML
        self._start = self._last = time.monotonic()
        self._handle: Any = shown_by.display(self._html(""), display_id=True)
        self._text = ""

    def update(self, text: str, done: int, total: int | None) -> None:
        """See :class:`Bar`."""
        now = time.monotonic()
        if text == self._text and now < self._last + _PAUSE:
            return
        self._text, self._last = text, now
        bar = "<progress></progress>" if total is None else f'<progress value="{done}" max="{total}"></progress>'
        count = "" if total is None else f" {done}/{total}"
        self._handle.update(self._html(f"{bar} {escape(text)}{count}, {now - self._start:.0f} s"))

    def close(self) -> None:
        """See :class:`Bar`."""
        self._handle.update(self._html(""))
