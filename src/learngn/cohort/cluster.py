"""Dask workers: processes of this machine, Slurm jobs, or the workers of a given scheduler."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from learngn.arrays import cuda_devices
from learngn.cohort.pool import Failure, Pool, Serial, Task, run_with_retries
from learngn.errors import ClusterError, require_packages
from learngn.memory import keep_freed
from learngn.threads import VARIABLES, processors

_TIMEOUT = 15  # time to wait for a scheduler [s]
_MEMORY = "8GB"  # memory of a job, unless jobqueue.yaml says otherwise


@dataclass(frozen=True, eq=False)
class DaskPool:
    """Pool of the workers of a ``distributed.Client``.

    A task whose worker was killed is run by another one; after four killed workers it fails.

    Attributes
    ----------
    client : distributed.Client
    """

    client: Any
    remote: bool = True

    @property
    def dashboard(self) -> str:
        """Address of the web page that shows the activity of the workers."""
        return str(self.client.dashboard_link)

    def run(self, tasks: Mapping[str, Task], retries: int) -> Iterator[tuple[str, Any]]:
        """See :meth:`learngn.cohort.Pool.run`.

        Raises
        ------
        ClusterError
            If the scheduler is lost.
        """
        from distributed import as_completed

        run = uuid4().hex
        names = {
            self.client.submit(_by_worker, task, retries, pure=False, key=f"{name}-{run}", priority=-number): name
            for number, (name, task) in enumerate(tasks.items())
        }
        try:
            for future in as_completed(list(names), loop=self.client.loop):
                result = _result(future)
                yield names.pop(future), result
                future.release()
        finally:
            if names and self.client.status == "running":
                self.client.cancel(list(names))


def _by_worker(task: Task, retries: int) -> Any:
    """Run a task, and exclude the modules imported by the first one from garbage collection, to save time."""
    keep_freed()
    result = run_with_retries(task, retries)
    if not gc.get_freeze_count():
        gc.freeze()
    return result


def _result(future: Any) -> Any:
    """Return the result of a task, or its :class:`Failure`."""
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker:
        return Failure("its worker was killed again and again, perhaps for want of memory; try fewer workers")
    except (CancelledError, OSError):  # raised by Dask: exceptions of a task are returned as failures
        raise ClusterError(
            "scheduler",
            "no more answer from it",
            "one that runs until all is done",
            "start it, and the same command again: what is done is kept",
        ) from None
    except Exception as error:  # for example, a worker that cannot unpickle the task
        return Failure.of(error)


@contextmanager
def open_pool(
    workers: int = 0, *, threads: int | None = None, scheduler: str | None = None, cluster: str | None = None
) -> Iterator[Pool]:
    """Start workers, or connect to them, and stop the started ones when the block ends.

    Parameters
    ----------
    workers : int
        Number of workers. With 0 or 1, and neither scheduler nor cluster, this process does the work.
    threads : int, optional
        CPU threads of each worker; by default the cores of this machine are divided among them.
    scheduler : str, optional
        Address of a Dask scheduler that has workers, such as ``"tcp://host:8786"``.
    cluster : str, optional
        ``"slurm"``: every worker is a job, with queue, time and memory from Dask's ``jobqueue.yaml``.

    Yields
    ------
    Pool
        A :class:`Serial`, or a :class:`DaskPool` with a ``dashboard``.

    Raises
    ------
    ClusterError
        If a package is missing, the scheduler does not answer, or the cluster is unknown or not available.
    """
    if scheduler is None and cluster is None and workers <= 1:
        yield Serial()
        return
    if scheduler is not None and cluster is not None:
        raise ClusterError("workers", "a scheduler and a cluster", "one of them", "leave out either")
    packages = ["distributed", *(["dask_jobqueue"] if cluster else [])]
    require_packages("workers", "cohort", *packages, error=ClusterError, otherwise="or do without workers")
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    with ExitStack() as stack:
        stack.enter_context(silence_logging_cmgr(logging.CRITICAL))  # errors are reported as ClusterError
        if scheduler is not None:
            target: Any = scheduler
        else:
            target = stack.enter_context(_slurm(cluster, workers, threads) if cluster else _local(workers, threads))
        try:
            client = stack.enter_context(Client(target, timeout=_TIMEOUT, set_as_default=False))
        except (OSError, ValueError) as failure:
            raise ClusterError(
                f"scheduler {scheduler}",
                f"no answer ({failure})",
                "a Dask scheduler, tcp://HOST:PORT",
                "start it with 'dask scheduler', and workers with 'dask worker'",
            ) from None
        yield DaskPool(client)


def _local(workers: int, threads: int | None) -> Any:
    """Start processes on this machine, each with its share of the cores and, if there are GPUs, one GPU."""
    import dask
    from distributed import Nanny, Scheduler, SpecCluster

    limits = dict.fromkeys(VARIABLES, str(threads or max(1, processors() // workers)))
    gpus = _gpus(len(cuda_devices()))
    nannies = {}
    for number in range(workers):
        device = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
        # No memory limit: tasks store nothing in Dask's memory, and the limit would stop a busy worker.
        options = {"nthreads": 1, "env": limits | device, "memory_limit": 0, "dashboard": False}
        nannies[number] = {"cls": Nanny, "options": {"host": "127.0.0.1", "silence_logs": logging.CRITICAL} | options}
    scheduler = {
        "cls": Scheduler,
        "options": {"host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0"},
    }
    choices = {
        # One task per worker: Dask counts the death of a worker against queued tasks as well.
        "distributed.scheduler.worker-saturation": 1.0,
        # Replaces Dask's own variables: its MALLOC_TRIM_THRESHOLD_ returns the memory of every array to the system,
        # and the page faults of allocating it again take as long as the work.
        "distributed.nanny.pre-spawn-environ": limits,
    }
    with dask.config.set(choices):
        return SpecCluster(workers=nannies, scheduler=scheduler, silence_logs=logging.CRITICAL)


def _gpus(count: int) -> list[str]:
    """Return the identifiers of the GPUs for ``CUDA_VISIBLE_DEVICES``."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:count] if named else [str(number) for number in range(count)]


def _slurm(cluster: str, workers: int, threads: int | None) -> Any:
    """Start Slurm jobs, one worker each; jobs that end are replaced while there is work."""
    import dask

    if cluster != "slurm":
        raise ClusterError("cluster", repr(cluster), "slurm", "start the workers yourself and name their scheduler")
    if shutil.which("sbatch") is None:
        raise ClusterError("cluster slurm", "no command sbatch", "a node that submits jobs", "run it there")

    with _interruptible():
        from dask_jobqueue import SLURMCluster
    cores = threads or dask.config.get("jobqueue.slurm.cores", None) or 1
    prologue = [f"export {name}={cores}" for name in VARIABLES]
    slurm = SLURMCluster(
        cores=1,  # one task at a time, for any number of threads
        job_cpu=cores,
        processes=1,
        memory=dask.config.get("jobqueue.slurm.memory", None) or _MEMORY,
        job_script_prologue=[*dask.config.get("jobqueue.slurm.job-script-prologue", []), *prologue],
    )
    slurm.adapt(minimum_jobs=max(1, workers), maximum_jobs=max(1, workers))
    return slurm


@contextmanager
def _interruptible() -> Iterator[None]:
    """Restore the handler of Ctrl-C, which importing dask_jobqueue changes."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)
