"""``learngn cohort``: all validation pairs of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learngn.cli import console
from learngn.cli.evaluate import end_if_failed
from learngn.cli.options import (
    INFINITE,
    AffineStage,
    Discrete,
    Features,
    Iterations,
    KeypointScale,
    Lambda,
    NoFolds,
    Overlap,
    PresetName,
    RegistrationOptions,
    RegulariserName,
    RobustData,
    SettingsFile,
    Strides,
    Symmetry,
    Threads,
    TrainedModel,
    Update,
    limit_threads,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from learngn.cohort import CohortEvents

_SEED = 0  # of the bootstrap


def cohort(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET.json", help="Learn2Reg data set.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the results.")],
    features: Features = None,
    model: TrainedModel = None,
    settings: SettingsFile = None,
    preset: PresetName = None,
    affine: AffineStage = None,
    strides: Strides = None,
    iterations: Iterations = None,
    lam: Lambda = None,
    update: Update = None,
    discrete: Discrete = None,
    symmetric: Symmetry = None,
    diffeomorphic: NoFolds = None,
    robust: RobustData = None,
    overlap: Overlap = None,
    regulariser: RegulariserName = None,
    masks: Annotated[bool, typer.Option("--masks", help="Let features count within masksTr alone.")] = False,
    keypoint_weight: Annotated[
        float | None, typer.Option(help="Let the points of keypointsTr pull, with this weight [1/mm²].")
    ] = None,
    keypoint_scale: KeypointScale = INFINITE,
    threads: Threads = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many pairs, the first ones.")] = None,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Register every validation pair of a data set; go on where an earlier run has stopped.

    Example:  learngn cohort AbdomenCT_dataset.json -o result --features mind
    """
    import numpy as np

    from learngn.cohort import run_cohort
    from learngn.evaluation import PairScores, summarise
    from learngn.evaluation.tables import render
    from learngn.inputs import Guidance
    from learngn.io import read_dataset, read_image

    limit_threads(threads)
    options = RegistrationOptions(
        features=features,
        affine=affine,
        strides=strides,
        iterations=iterations,
        lam=lam,
        update=update,
        model=model,
        discrete=discrete,
        symmetric=symmetric,
        diffeomorphic=diffeomorphic,
        robust=robust,
        overlap=overlap,
        regulariser=regulariser,
        file=settings,
        preset=preset,
    )
    description = read_dataset(dataset)
    pairs = description.validation[:limit]
    guidance = Guidance(masks, keypoint_weight, keypoint_scale)
    if options.undecided and pairs:
        images = [read_image(subject.image) for subject in (pairs[0].fixed, pairs[0].moving)]
        options, recognised = options.recognising(*images)
        if not quiet:
            typer.echo(f"preset {recognised.preset.name}: {recognised.because}", err=True)
    with console.progress(quiet) as bars:
        records = run_cohort(
            pairs, output, options.settings, _events(bars, len(pairs)), model=options.trained, guidance=guidance
        )
    scores = [PairScores.from_json(record) for record in records]
    summary = summarise(scores, np.random.default_rng(_SEED), names=description.label_names)
    seconds = [record["seconds"]["total"] for record in records if "seconds" in record]
    if json:
        mean = float(np.mean(seconds)) if seconds else None
        console.print_json(summary.to_json() | {"seconds_mean": mean})
    elif not quiet:
        console.stdout().print(render(summary))
        if seconds:
            typer.echo(f"{np.mean(seconds):.1f} s a pair (median {np.median(seconds):.1f} s), written to {output}")
    end_if_failed(summary)


def _events(bars: Progress, count: int) -> CohortEvents:
    """Two bars: pairs, and the steps of the current one."""
    from learngn.cohort import CohortEvents

    whole, single = bars.add_task("pairs", total=count), bars.add_task("", total=None)

    def begins(pair: Any, settings: Any) -> None:
        bars.reset(single, total=sum(settings.iterations), description=pair.id)

    return CohortEvents(
        begins,
        lambda step: bars.update(single, advance=1),
        lambda record: bars.update(whole, advance=1),
    )
