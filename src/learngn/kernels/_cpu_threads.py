"""How loops are compiled, and shared out over threads.

Numba's own parallel loops take twice as long to compile, wait actively, and meet at every small loop of a coarse grid.
Plain compiled loops that release the interpreter's lock need none of that; a small one runs where it is called.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import torch
from numba import njit

from learngn.kernels._cpu_cache import kept

_ENOUGH = 2**17  # values that are worth a thread
_SHARES = 2  # of a loop, for each of its threads


def _compile(**options: Any) -> Any:
    """Decorator of functions that are compiled when they are called, and kept on the disk."""
    decorate = njit(nogil=True, error_model="numpy", **options)
    return lambda function: kept(decorate(function))


# No fast-math: a function may end in several copies, its own and one in each of its callers, that are made into vector
# instructions differently. Where we alone fuse products (`fma`) and order sums all of them give the same bits, on every
# processor. Dividing by zero gives infinity: an exception would be a branch in every loop.
compiled = _compile()
# Parts of a loop. They count no references to arrays: threads would wait for each other at every slice of an array that
# they share. So they cannot make arrays.
part = _compile(_nrt=False)
inlined = _compile(_nrt=False, forceinline=True)


class Loop:
    """A compiled function ``f(start, stop, *arguments)`` that does its items from `start` to `stop`.

    Called with the number of items and the arguments, by as many threads as PyTorch is allowed and as are worth while:
    the first or the last argument is the largest array. Items must not write to the same place. It makes the arrays
    that it works in, once, and leaves the rest to parts.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.compiled: Callable[..., None] = compiled(function)
        self.__doc__, self.__name__ = function.__doc__, function.__name__

    def __call__(self, items: int, *arguments: Any) -> None:
        size = max(arguments[0].size, arguments[-1].size)
        allowed = torch.get_num_threads()
        threads = max(1, min(allowed, items, size // _ENOUGH))
        if threads == 1:
            self.compiled(0, items, *arguments)
            return
        # Whoever is free takes the next share: a thread wakes up late, or is interrupted, and nobody waits for it.
        shares = min(items, _SHARES * threads)
        numbers = iter(range(shares))

        def work() -> None:
            for share in numbers:
                self.compiled(items * share // shares, items * (share + 1) // shares, *arguments)

        # A process that was forked has none of its parent's threads.
        pool = _pool(os.getpid(), allowed)
        others = [pool.submit(work) for _ in range(threads - 1)]
        work()
        for other in others:
            if not other.cancel():
                other.result()


def loop(function: Callable[..., None]) -> Loop:
    """Decorator: see :class:`Loop`."""
    return Loop(function)


@lru_cache(maxsize=4)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="learngn")
