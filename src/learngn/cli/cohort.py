"""``learngn cohort``: all validation pairs of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli import console
from learngn.cli.evaluate import end_if_failed
from learngn.cli.options import (
    INFINITE,
    KeypointScale,
    ModelOptions,
    SettingsOptions,
    Threads,
    WorkerOptions,
    limit_threads,
    with_options,
)
from learngn.errors import SettingsError

if TYPE_CHECKING:
    from rich.progress import Progress

    from learngn.cohort import CohortEvents, Pool
    from learngn.cohort.records import Record
    from learngn.evaluation import Summary
    from learngn.io import Pair
    from learngn.settings import Settings

_SEED = 0  # of the bootstrap


@with_options
def cohort(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET.json", help="Learn2Reg data set.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the results.")],
    options: SettingsOptions,
    trained: ModelOptions,
    workers: WorkerOptions,
    masks: Annotated[
        bool, typer.Option("--masks", help="Use the data set's masks (masksTr): features count within them alone.")
    ] = False,
    keypoint_weight: Annotated[
        float | None, typer.Option(help="Use the data set's key points (keypointsTr), with this weight [1/mm²].")
    ] = None,
    keypoint_scale: KeypointScale = INFINITE,
    threads: Threads = None,
    pairs: Annotated[
        str,
        typer.Option(
            "--pairs", metavar="val|train|all|test|FILE.csv", help="Which pairs; a file has fixed and moving."
        ),
    ] = "val",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many pairs, the first ones.")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="cpu|cuda", help="Where features and registration are computed.")
    ] = None,
    scratch: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for features during the run, seen by all workers; by default within the output folder.",
            show_default=False,
        ),
    ] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")] = True,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Register the pairs of a data set; go on where an earlier run has stopped.

    Example:  learngn cohort AbdomenCT_dataset.json -o result --features mind --workers 4
    """
    import numpy as np

    from learngn.cohort import open_pool, run_cohort
    from learngn.evaluation import PairScores, summarise
    from learngn.evaluation.tables import render
    from learngn.io import choose_pairs, read_dataset
    from learngn.registration import Guidance

    limit_threads(threads)
    check_device(device, elsewhere=bool(workers.scheduler or workers.cluster))
    request, model = options.request(), trained.read()
    description = read_dataset(dataset)
    chosen = choose_pairs(description, pairs)[:limit]
    guidance = Guidance(masks, keypoint_weight, keypoint_scale)
    with console.progress(quiet) as bars:
        console.compile_kernels(description.ndim, bars)
    with open_pool(threads=threads, **workers.connection()) as pool:
        show_dashboard(pool, quiet)
        with console.progress(quiet) as bars:
            progress = CohortProgress(bars, len(chosen))
            records = run_cohort(
                chosen,
                output,
                request,
                progress.events,
                model=model,
                guidance=guidance,
                pool=pool,
                retries=workers.retries,
                scratch=scratch,
                device=device if device != "cpu" else None,
            )
    scores = [PairScores.from_json(record) for record in records]
    summary = summarise(scores, np.random.default_rng(_SEED), names=description.label_names)
    if report:
        write_report(output, chosen, records, summary, description.name, quiet)
    seconds = [record["seconds"]["total"] for record in records if "seconds" in record]
    if json:
        mean = float(np.mean(seconds)) if seconds else None
        console.print_json(summary.to_json() | {"seconds_mean": mean, "features_computed": progress.features})
    elif not quiet:
        console.stdout().print(render(summary))
        if seconds:
            typer.echo(f"{np.mean(seconds):.1f} s a pair (median {np.median(seconds):.1f} s), written to {output}")
        if report:
            typer.echo(f"report: {output / 'report.html'}")
        if progress.features:
            typer.echo(f"features computed {progress.features} times for {progress.registered} pairs")
    end_if_failed(summary)


def write_report(
    output: Path, pairs: Sequence[Pair], records: Sequence[Record], summary: Summary, title: str, quiet: bool
) -> None:
    """Write the page of a cohort, with a bar for its pictures."""
    from learngn.report import write_cohort_report

    with console.progress(quiet) as bars:
        task = bars.add_task("report", total=None)
        write_cohort_report(output, pairs, records, summary, title=title, progress=lambda: bars.update(task, advance=1))


def check_device(device: str | None, elsewhere: bool) -> None:
    """Raise :class:`SettingsError` if torch has no such device here, where the work is done unless it is elsewhere."""
    import torch

    if device not in (None, "cpu", "cuda") or (device == "cuda" and not (elsewhere or torch.cuda.is_available())):
        raise SettingsError("--device", repr(device), "cpu, or cuda on a machine that has one", "see learngn info")


def show_dashboard(pool: Pool, quiet: bool) -> None:
    """Say where to look at the workers."""
    if pool.remote and not quiet:
        typer.echo(f"dashboard of the workers: {getattr(pool, 'dashboard', '')}", err=True)


class CohortProgress:
    """Two bars, pairs and the steps of the current one, and what is counted.

    Attributes
    ----------
    features : int
        Feature images computed and kept for other pairs.
    registered : int
        Pairs registered in this run.
    """

    def __init__(self, bars: Progress, count: int, what: str = "pairs") -> None:
        self.features = self.registered = 0
        self._bars = bars
        self._whole, self._single = bars.add_task(what, total=count), bars.add_task("", total=None, visible=False)

    @property
    def events(self) -> CohortEvents:
        """What :func:`learngn.cohort.run_cohort` calls."""
        from learngn.cohort import CohortEvents

        return CohortEvents(
            self._begins,
            lambda step: self._bars.update(self._single, advance=1),
            lambda record: self._bars.update(self._whole, advance=1),
            self._count,
        )

    def _begins(self, pair: Pair, settings: Settings) -> None:
        self._bars.reset(self._single, total=sum(settings.iterations), description=pair.id, visible=True)

    def _count(self, features: int, registered: int) -> None:
        self.features += features
        self.registered += registered
