"""``learngn cohort``: register the pairs of a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli import console
from learngn.cli.bids_options import BidsOptions, BidsPairs
from learngn.cli.evaluate import end_if_failed
from learngn.cli.grouping import with_options
from learngn.cli.log import run_log
from learngn.cli.options import (
    FAILED,
    INFINITE,
    DataSetOrTable,
    Device,
    KeypointScale,
    LabelNames,
    Limit,
    ModelOptions,
    Pairs,
    Threads,
    check_device,
    check_judged,
    prepare_process,
)
from learngn.cli.panels import EXPERT, GUIDANCE, OUTPUT
from learngn.cli.settings_options import SettingsOptions
from learngn.cli.worker_options import VerdictOptions, WorkerOptions

if TYPE_CHECKING:
    from rich.progress import Progress

    from learngn.cohort import CohortEvents, Pool
    from learngn.cohort.records import Record
    from learngn.evaluation import Summary
    from learngn.io import Pair
    from learngn.settings import Settings

_SEED = 0  # random seed of the bootstrap


@with_options
def cohort(
    dataset: DataSetOrTable,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the results.", rich_help_panel=OUTPUT)
    ],
    options: SettingsOptions,
    trained: ModelOptions,
    workers: WorkerOptions,
    verdicts: VerdictOptions,
    bids_pairs: BidsPairs,
    derivatives: BidsOptions,
    masks: Annotated[
        bool, typer.Option("--masks", help="Use the data set's masks (masksTr).", rich_help_panel=GUIDANCE)
    ] = False,
    keypoint_weight: Annotated[
        float | None,
        typer.Option(
            "--keypoint-weight",
            metavar="W",
            help="Use the data set's key points (keypointsTr), with this weight [1/mm²].",
            rich_help_panel=GUIDANCE,
        ),
    ] = None,
    keypoint_scale: KeypointScale = INFINITE,
    threads: Threads = None,
    pairs: Pairs = "val",
    limit: Limit = None,
    device: Device = "auto",
    scratch: Annotated[
        Path | None,
        typer.Option(
            "--scratch",
            metavar="DIR",
            help="Folder for the feature cache, visible to all workers; by default in the output folder.",
            show_default=False,
            rich_help_panel=EXPERT,
        ),
    ] = None,
    save: Annotated[
        str,
        typer.Option(
            "--save",
            metavar="KINDS",
            help="For each pair, also write some of warped,labels,itk,report into pairs/.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = "",
    label_names: LabelNames = None,
    report: console.Report = True,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Register the pairs of a data set; continue an earlier run.

    Example:  learngn cohort AbdomenCT_dataset.json -o result --workers 4
    """
    prepare_process(threads)
    import numpy as np

    from learngn.cohort import Saving, open_pool, run_cohort
    from learngn.evaluation import PairScores, summarise
    from learngn.evaluation.tables import render
    from learngn.io import choose_pairs, read_label_names
    from learngn.registration import Guidance

    check_device(device, elsewhere=bool(workers.scheduler or workers.cluster))
    check_judged(options.quality, strict=verdicts.strict, retry=verdicts.retry)
    request, model = options.request(device), trained.read()
    description = bids_pairs.read(dataset)
    chosen = choose_pairs(description, pairs)[:limit]
    names = description.label_names if label_names is None else read_label_names(label_names)
    saving = Saving.of(save, names, derivatives.output())
    saving.check(output, chosen)
    guidance = Guidance(masks, keypoint_weight, keypoint_scale)
    console.compile_ahead(description.ndim, quiet)
    with open_pool(threads=threads, **workers.connection()) as pool:
        show_dashboard(pool, quiet)
        with console.progress(quiet) as bars, run_log() as log:
            progress = CohortProgress(bars, len(chosen), log=partial(log.write, output))
            records = run_cohort(
                chosen,
                output,
                request,
                progress.events,
                model=model,
                guidance=guidance,
                pool=pool,
                retries=workers.retries,
                retry=verdicts.retry,
                scratch=scratch,
                saving=saving,
            )
    scores = [PairScores.from_json(record) for record in records]
    summary = summarise(scores, np.random.default_rng(_SEED), names=names)
    if report:
        write_report(output, chosen, records, summary, description.name, quiet)
    seconds = [record["seconds"]["total"] for record in records if "seconds" in record]
    if json:
        mean = float(np.mean(seconds)) if seconds else None
        console.print_json(summary.to_json() | {"seconds_mean": mean, "features_computed": progress.features})
    elif not quiet:
        console.stdout().print(render(summary))
        improved = sum(bool(record.get("searches", {}).get("kept")) for record in records)
        if verdicts.retry:
            typer.echo(f"wider searches improved {improved} pair{'' if improved == 1 else 's'}")
        if seconds:
            typer.echo(f"{np.mean(seconds):.1f} s a pair (median {np.median(seconds):.1f} s), written to {output}")
        if report:
            typer.echo(f"report: {output / 'report.html'}")
        if saving.kinds:
            typer.echo(f"{', '.join(saving.kinds)} of every pair: {output / 'pairs'}")
        if derivatives.bids is not None:
            typer.echo(f"derivatives in BIDS: {derivatives.bids}")
        if progress.features:
            typer.echo(f"features computed {progress.features} times for {progress.registered} pairs")
    end_if_failed(summary)
    if verdicts.strict and summary.verdicts.get("failed"):
        raise typer.Exit(FAILED)


def write_report(
    output: Path, pairs: Sequence[Pair], records: Sequence[Record], summary: Summary, title: str, quiet: bool
) -> None:
    """Write the report of a cohort, with a progress bar for its pictures."""
    from learngn.report import write_cohort_report

    with console.progress(quiet) as bars:
        task = bars.add_task("report", total=None)
        write_cohort_report(output, pairs, records, summary, title=title, progress=lambda: bars.update(task, advance=1))


def show_dashboard(pool: Pool, quiet: bool) -> None:
    """Print the address of the workers' dashboard."""
    if pool.remote and not quiet:
        typer.echo(f"dashboard of the workers: {getattr(pool, 'dashboard', '')}", err=True)


class CohortProgress:
    """Progress bars of the pairs and of the steps of the current pair, and counts for the summary.

    Attributes
    ----------
    features : int
        Number of feature images that were computed and cached.
    registered : int
        Number of pairs that were registered in this run.

    Parameters
    ----------
    bars : Progress
    count : int
        Number of pairs.
    what : str
        Description of the pairs.
    log : callable
        Called after every pair and at the end, to write the messages so far.
    """

    def __init__(self, bars: Progress, count: int, what: str = "pairs", log: Callable[[], None] = lambda: None) -> None:
        self.features = self.registered = 0
        self._log = log
        self._bars = bars
        self._pairs, self._steps = bars.add_task(what, total=count), bars.add_task("", total=None, visible=False)

    @property
    def events(self) -> CohortEvents:
        """Events for :func:`learngn.cohort.run_cohort`."""
        from learngn.cohort import CohortEvents

        return CohortEvents(
            self._begins,
            lambda step: self._bars.update(self._steps, advance=1),
            self._done,
            self._count,
        )

    def _begins(self, pair: Pair, settings: Settings) -> None:
        self._bars.reset(self._steps, total=sum(settings.iterations), description=pair.id, visible=True)

    def _done(self, record: Record) -> None:
        self._bars.update(self._pairs, advance=1)
        self._log()

    def _count(self, features: int, registered: int) -> None:
        self.features += features
        self.registered += registered
        self._log()
