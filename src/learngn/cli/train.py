"""``learngn train``: train a model on the training subjects of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learngn.cli import console
from learngn.cli.options import DataSet, Threads, prepare_process
from learngn.cli.panels import OUTPUT, TRAINING
from learngn.errors import TrainingError, require_packages

if TYPE_CHECKING:
    from rich.progress import Progress

    from learngn.learning import TrainingEvents


def train(
    dataset: DataSet,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the model.", rich_help_panel=OUTPUT)
    ],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="Configuration, TOML or JSON.", rich_help_panel=TRAINING),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option("--features", metavar="NAME[:W],...", help="Features of the model.", rich_help_panel=TRAINING),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", metavar="N", min=1, help="Number of training steps.", rich_help_panel=TRAINING),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, help="Random seed.", rich_help_panel=TRAINING)
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="N",
            min=0.1,
            help="Time for the training; chooses the number of steps.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    initial: Annotated[
        Path | None,
        typer.Option("--initial-model", metavar="DIR", help="Trained model to start from.", rich_help_panel=TRAINING),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            help="Scans read at a time; by default one a thread.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    accelerator: Annotated[
        str,
        typer.Option(
            "--accelerator",
            metavar="NAME",
            help="auto (the fastest available), cpu, cuda or mps.",
            rich_help_panel=TRAINING,
        ),
    ] = "auto",
    devices: Annotated[
        int,
        typer.Option(
            "--devices", metavar="N", min=1, help="Number of devices of this machine.", rich_help_panel=TRAINING
        ),
    ] = 1,
    show_config: Annotated[
        bool,
        typer.Option(
            "--show-config",
            help="Print the whole configuration as JSON, without training.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    threads: Threads = None,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Train a model on the training subjects of a data set; continue an earlier run.

    Example:  learngn train AbdomenCT_dataset.json -o model --features distance
    """
    prepare_process(threads)
    check_installed()
    from learngn.io import read_dataset
    from learngn.learning import train as train_model
    from learngn.learning.log import logged
    from learngn.learning.suited_config import config_for
    from learngn.model import read_model

    description = read_dataset(dataset)
    chosen = config_for(description, config, minutes=minutes, features=features, steps=steps, seed=seed)
    if show_config:
        console.print_json(chosen.model_dump(mode="json"))
        return
    fabric = _fabric(accelerator, devices)
    start = None if initial is None else read_model(initial)
    with console.progress(quiet or not fabric.is_global_zero) as bars:
        events = training_events(bars, chosen.steps, quiet)
        if fabric.is_global_zero:
            events = logged(output, events)
        trained = train_model(
            description, output, chosen, fabric=fabric, events=events, workers=workers, initial=start, minutes=minutes
        )
    if not fabric.is_global_zero:
        return
    result = {"model": str(output), "step": trained.step, **trained.validation.to_json()}
    if json:
        console.print_json(result)
    elif not quiet:
        names = (("Dice", trained.validation.dice, ""), ("TRE", trained.validation.tre, " mm"))
        for name, value, unit in names:
            if value is not None:
                typer.echo(f"validation {name} {value:.3f}{unit}, folds {trained.validation.folds:.3g} %")
        typer.echo(f"best after {trained.step} steps; try  learngn register FIXED MOVING -o DIR --model {output}")


def check_installed() -> None:
    """Raise :class:`TrainingError`, which says what to install, if packages for training are missing."""
    require_packages("training", "train", "lightning_fabric", "monai", "tensorboard", error=TrainingError)


def _fabric(accelerator: str, devices: int) -> Any:
    """Make the Fabric of devices and processes; those of torchrun if it has started this process."""
    import os

    from lightning_fabric import Fabric

    if "WORLD_SIZE" in os.environ:
        devices = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    nodes = int(os.environ.get("WORLD_SIZE", devices)) // devices
    # λ and the linearisation have no gradient while only φ is trained.
    strategy = "ddp_find_unused_parameters_true" if devices * nodes > 1 else "auto"
    try:
        fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy)
    except (ValueError, RuntimeError, TypeError) as failure:
        first = str(failure).splitlines()[0]
        raise TrainingError(
            "--accelerator and --devices",
            f"{accelerator}, {devices} ({first})",
            "what this machine has",
            "see learngn info",
        ) from None
    fabric.launch()
    return fabric


def training_events(bars: Progress, steps: int | None, quiet: bool) -> TrainingEvents:
    """Make events that show a progress bar with the losses, and a line for every validation."""
    from learngn.learning import TrainingEvents

    task = bars.add_task("reading", total=steps)

    def step(done: int, losses: dict[str, float]) -> None:
        bars.update(task, completed=done, description="  ".join(f"{n} {v:.3f}" for n, v in losses.items()))

    def validated(done: int, model: object, scores: Any, best: bool) -> None:
        if quiet:
            return
        score = f"Dice {scores.dice:.3f}" if scores.dice is not None else f"figure {scores.figure:.3g}"
        bars.console.print(f"step {done}: {score}, folds {scores.folds:.3g} %{', the best' if best else ''}")

    def begins(drawn: str, organs: tuple[int, ...]) -> None:
        if not quiet:
            taught = ", ".join(map(str, organs)) or "none"
            bars.console.print(f"draws {drawn}; labels that teach the features: {taught}")

    def planned(steps: int, seconds: float) -> None:
        bars.update(task, total=steps)
        if not quiet and seconds:
            bars.console.print(f"{steps} steps, about {seconds / 60:.0f} minutes")

    return TrainingEvents(step, validated, begins, planned)
