"""Compilation of loops, and their distribution over threads.

Numba's own parallel loops take twice as long to compile, wait actively, and synchronise at every small loop of a coarse
grid. Plain compiled loops that release the interpreter's lock avoid this; a small loop runs in the calling thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from numba import njit

from learngn.kernels._cpu_cache import kept
from learngn.kernels._cpu_parts import PartCompiler
from learngn.threads import thread_count

_ENOUGH = 2**17  # least number of values per thread
_SHARES = 2  # shares of a loop per thread
_njit: Any = njit  # some of its options are not among those that it declares


def _compile(**options: Any) -> Any:
    """Return a decorator for functions that are compiled when they are first called, and cached on disk."""
    decorate = _njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True, **options)
    return lambda function: kept(decorate(function))


def _part(**options: Any) -> Any:
    """Return a decorator for functions that are compiled with those that call them; they cannot be called otherwise."""
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": PartCompiler}
    return _njit(nogil=True, error_model="numpy", _nrt=False, **options)


# No fast-math: a part is compiled to several copies, one in each of its callers, which are vectorised differently. As
# products are only fused explicitly (`fma`) and sums have a fixed order, all copies give the same bits, on every
# processor. Division by zero gives infinity, as an exception would need a branch in every loop.
compiled = _compile()
# Parts of a loop. They do not count references to arrays, since threads would wait for each other at every slice of a
# shared array. Therefore they cannot allocate arrays.
part = _part()
inlined = _part(forceinline=True)


class Loop:
    """Compiled function ``f(start, stop, *arguments)`` that processes the items from `start` to `stop`.

    It is called with the number of items and the arguments, and runs on at most :func:`thread_count` threads, depending
    on the size of its first and last arguments, one of which is the largest array. Items must not write to
    the same memory. The function allocates its work arrays once, and calls parts for the items.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.compiled: Callable[..., None] = compiled(function)
        self.__doc__, self.__name__ = function.__doc__, function.__name__

    def __call__(self, items: int, *arguments: Any) -> None:
        size = max(arguments[0].size, arguments[-1].size)
        allowed = thread_count()
        threads = max(1, min(allowed, items, size // _ENOUGH))
        if threads == 1:
            self.compiled(0, items, *arguments)
            return
        # Each thread takes the next share when it is free, so that none waits for a thread that starts late.
        shares = min(items, _SHARES * threads)
        numbers = iter(range(shares))

        def work() -> None:
            for share in numbers:
                self.compiled(items * share // shares, items * (share + 1) // shares, *arguments)

        # A forked process does not have the threads of its parent.
        pool = _pool(os.getpid(), allowed)
        others = [pool.submit(work) for _ in range(threads - 1)]
        work()
        for other in others:
            if not other.cancel():
                other.result()


def loop(function: Callable[..., None]) -> Loop:
    """Decorate a function as a :class:`Loop`."""
    return Loop(function)


@lru_cache(maxsize=4)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="learngn")
