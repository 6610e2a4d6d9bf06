"""Number of CPU threads, of the kernels and of the libraries, and the threads of this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

# Read by the libraries when they are loaded, and by the processes that this one starts.
VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


def thread_count() -> int:
    """Return the number of threads that the kernels may use.

    That of PyTorch if it is imported, else of the environment variables ``NUMBA_NUM_THREADS`` or ``OMP_NUM_THREADS``,
    else the number of processors that this process may use.
    """
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):  # it may be half imported, by another thread
        return int(torch.get_num_threads())
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").partition(",")[0].strip()  # OpenMP's may list one number for each nested level
        if value.isdecimal() and int(value) > 0:
            return int(value)
    return processors()


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(threads: int) -> None:
    """Set the number of threads of the kernels, and of the libraries, whether they have been imported or not."""
    os.environ.update(dict.fromkeys(VARIABLES, str(threads)))
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)
    if (sitk := sys.modules.get("SimpleITK")) is not None:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def in_threads(work: Callable[[], Any], threads: int | None = None) -> None:
    """Run a function in several threads at once, one of them the caller's; return when all have finished.

    A thread that is still busy with something else when the caller has finished is not waited for.

    Parameters
    ----------
    work : callable
        Takes its part of the work, for example from an iterator that the threads share.
    threads : int, optional
        Number of threads; by default :func:`thread_count`.
    """
    allowed = thread_count()
    count = allowed if threads is None else threads
    pool = _pool(os.getpid(), max(allowed, count)) if count > 1 else None
    others = [] if pool is None else [pool.submit(work) for _ in range(count - 1)]
    work()
    for other in others:
        if not other.cancel():
            other.result()


@lru_cache(maxsize=4)
def _pool(process: int, count: int) -> ThreadPoolExecutor:
    """Return the threads of a process: a forked one does not have those of its parent."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(count, thread_name_prefix="learngn")
