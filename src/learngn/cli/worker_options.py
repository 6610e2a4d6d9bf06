"""Options of commands that register many pairs: their processes, and what follows from the verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from learngn.cli.panels import REGISTRATION, SCORES, WORKERS


@dataclass(frozen=True)
class WorkerOptions:
    """Options of commands that distribute their work to processes."""

    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            metavar="N",
            min=0,
            help="Processes, with one GPU each if available; 0 or 1: none.",
            rich_help_panel=WORKERS,
        ),
    ] = 0
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Use the workers of a running Dask scheduler.",
            rich_help_panel=WORKERS,
        ),
    ] = None
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster", metavar="slurm", help="Submit the workers as jobs of Slurm.", rich_help_panel=WORKERS
        ),
    ] = None
    retries: Annotated[
        int,
        typer.Option(
            "--retries",
            metavar="N",
            min=0,
            help="Number of retries of a pair that ends with an error.",
            rich_help_panel=WORKERS,
        ),
    ] = 1

    def connection(self) -> Mapping[str, Any]:
        """Return the arguments of :func:`learngn.cohort.open_pool` by name, except the threads."""
        return {"workers": self.workers, "scheduler": self.scheduler, "cluster": self.cluster}


Retry = Annotated[
    bool,
    typer.Option(
        "--retry",
        help="Register doubtful pairs again, searching wider; keep the best result.",
        rich_help_panel=REGISTRATION,
    ),
]


@dataclass(frozen=True)
class VerdictOptions:
    """Options of what follows from the verdicts on the pairs of a cohort."""

    strict: Annotated[
        bool,
        typer.Option("--strict", help="End with status 3 if the verdict on a pair is failed.", rich_help_panel=SCORES),
    ] = False
    retry: Retry = False
