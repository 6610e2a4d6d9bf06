"""Number of CPU threads, of the kernels and of the libraries."""

from __future__ import annotations

import os
import sys

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
