"""Compilation of loops, and their distribution over threads.

Numba's own parallel loops take twice as long to compile, wait actively, and synchronise at every small loop of a coarse
grid. Plain compiled loops that release the interpreter's lock avoid this; a small loop runs in the calling thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from numba import njit
from numpy.typing import NDArray

from learngn.kernels._cpu_cache import kept
from learngn.kernels._cpu_parts import LoopCompiler, PartCompiler
from learngn.threads import in_threads, thread_count

_ENOUGH = 2**17  # least number of values per thread
_SHARES = 2  # shares of a loop per thread
Room: TypeAlias = Callable[..., tuple[NDArray[Any], ...]]
_njit: Any = njit  # some of its options are not among those that it declares


def _compile(**options: Any) -> Any:
    return _njit(nogil=True, error_model="numpy", _nrt=False, no_cfunc_wrapper=True, **options)


# No fast-math: a part is compiled to several copies, one in each of its callers, which are vectorised differently. As
# products are only fused explicitly (`fma`) and sums have a fixed order, all copies give the same bits, on every
# processor. Division by zero gives infinity, as an exception would need a branch in every loop.
# References to arrays are not counted, since threads would wait for each other at every slice of a shared array.
# Therefore compiled code cannot allocate arrays.
_compiled = _compile(pipeline_class=LoopCompiler)
# Parts of a loop, compiled with the loops that call them; they cannot be called otherwise.
part = _compile(no_cpython_wrapper=True, pipeline_class=PartCompiler)
inlined = _compile(no_cpython_wrapper=True, pipeline_class=PartCompiler, forceinline=True)


class Loop:
    """Compiled function ``f(start, stop, *room, *arguments)`` that processes the items from `start` to `stop`.

    It is called with the number of items and the arguments, and runs on at most :func:`thread_count` threads, depending
    on the size of its first and last arguments, one of which is the largest array. Items must not write to
    the same memory, unless the same bits. The function is compiled when it is first called, and cached on disk.

    Parameters
    ----------
    function : callable
    room : callable, optional
        Returns the work arrays of a thread for the arguments.
    """

    _room: Room | None = None

    def __init__(self, function: Callable[..., None], room: Room | None = None) -> None:
        self.compiled: Callable[..., None] = kept(_compiled(function))
        self._room = room
        self.__doc__, self.__name__ = function.__doc__, function.__name__

    def __call__(self, items: int, *arguments: Any) -> None:
        size = max(arguments[0].size, arguments[-1].size)
        threads = max(1, min(thread_count(), items, size // _ENOUGH))
        if threads == 1:
            self.compiled(0, items, *self._work_arrays(arguments), *arguments)
            return
        # Each thread takes the next share when it is free, so that none waits for a thread that starts late.
        shares = min(items, _SHARES * threads)
        numbers = iter(range(shares))

        def work() -> None:
            room = self._work_arrays(arguments)
            for share in numbers:
                self.compiled(items * share // shares, items * (share + 1) // shares, *room, *arguments)

        in_threads(work, threads)

    def _work_arrays(self, arguments: tuple[Any, ...]) -> tuple[NDArray[Any], ...]:
        return () if self._room is None else self._room(*arguments)


def loop(function: Callable[..., None]) -> Loop:
    """Decorate a function as a :class:`Loop` without work arrays."""
    return Loop(function)


def loop_with(room: Room) -> Callable[[Callable[..., None]], Loop]:
    """Decorate a function as a :class:`Loop` with the work arrays that `room` returns for its arguments."""
    return lambda function: Loop(function, room)
