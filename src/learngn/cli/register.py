"""``learngn register``: one pair, files to files."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learngn.cli import console
from learngn.cli.options import (
    INFINITE,
    AffineFamily,
    Discrete,
    Features,
    Iterations,
    KeypointScale,
    LabelNames,
    Lambda,
    MemoryBudget,
    NoAffine,
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
    linear,
)
from learngn.cli.startup import importing
from learngn.errors import SettingsError

if TYPE_CHECKING:
    from learngn.evaluation import Truth
    from learngn.io import Pair
    from learngn.optimise import LandmarkPairs


def register(
    fixed: Annotated[Path, typer.Argument(help="Scan that stays.", show_default=False)],
    moving: Annotated[Path, typer.Argument(help="Scan that is brought onto it.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the result.")],
    features: Features = None,
    model: TrainedModel = None,
    settings: SettingsFile = None,
    preset: PresetName = None,
    affine: AffineFamily = None,
    no_affine: NoAffine = False,
    fixed_labels: Annotated[Path | None, typer.Option(help="Label map of FIXED: for the scores.")] = None,
    moving_labels: Annotated[Path | None, typer.Option(help="Label map of MOVING: for the scores, and warped.")] = None,
    label_names: LabelNames = None,
    fixed_landmarks: Annotated[Path | None, typer.Option(help="Points in FIXED (CSV): for the scores.")] = None,
    moving_landmarks: Annotated[Path | None, typer.Option(help="The same points in MOVING (CSV).")] = None,
    fixed_mask: Annotated[Path | None, typer.Option(help="Where FIXED counts: an image from 0 to 1.")] = None,
    moving_mask: Annotated[Path | None, typer.Option(help="Where MOVING counts.")] = None,
    tissue: Annotated[
        Path | None, typer.Option(help="Label map of FIXED along whose boundaries organs may slide.")
    ] = None,
    fixed_keypoints: Annotated[Path | None, typer.Option(help="Points in FIXED (CSV) that pull.")] = None,
    moving_keypoints: Annotated[Path | None, typer.Option(help="The same points in MOVING (CSV).")] = None,
    keypoint_weight: Annotated[float, typer.Option(help="Weight of their mean squared distance [1/mm²].")] = 1.0,
    keypoint_scale: KeypointScale = INFINITE,
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
    memory: MemoryBudget = None,
    threads: Threads = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")] = True,
    json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Register one pair: bring MOVING onto FIXED.

    Example:  learngn register fixed.nii.gz moving.nii.gz -o result --features mind
    """
    options = RegistrationOptions(
        features=features,
        affine=linear(affine, no_affine),
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
        memory=memory,
        file=settings,
        preset=preset,
    )
    with importing():
        from learngn.io import read_label_names

        limit_threads(threads)
    job = Job(
        {
            "fixed": fixed,
            "moving": moving,
            "fixed_labels": fixed_labels,
            "moving_labels": moving_labels,
            "fixed_landmarks": fixed_landmarks,
            "moving_landmarks": moving_landmarks,
            "fixed_mask": fixed_mask,
            "moving_mask": moving_mask,
            "tissue": tissue,
            "fixed_keypoints": fixed_keypoints,
            "moving_keypoints": moving_keypoints,
        },
        output,
        options,
        keypoint_weight=keypoint_weight,
        keypoint_scale=keypoint_scale,
        report=report,
        command=shlex.join(["learngn", *sys.argv[1:]]),
        label_names=None if label_names is None else read_label_names(label_names),
    )
    metrics = job.run(quiet=quiet)
    where = f"see {output / 'report.html'}" if report else f"written to {output}"
    show(metrics, where, json=json, quiet=quiet)


@dataclass(frozen=True)
class Job:
    """A pair of files, what to do with it, and where the result goes.

    Attributes
    ----------
    files : dict
        Paths by role: ``fixed``, ``moving``, and perhaps labels, landmarks, mask and keypoints of each; None for those
        not given.
    output : Path
    options : RegistrationOptions
    report : bool
    command : str
    keypoint_weight, keypoint_scale : float
    label_names : dict, optional
    """

    files: Mapping[str, Path | None]
    output: Path
    options: RegistrationOptions
    report: bool
    command: str
    label_names: Mapping[int, str] | None = None
    keypoint_weight: float = 1.0
    keypoint_scale: float = INFINITE

    @property
    def inputs(self) -> dict[str, Path]:
        """The files given."""
        return {role: path for role, path in self.files.items() if path is not None}

    def run(self, *, quiet: bool) -> dict[str, Any]:
        """Register, write the result folder, and return what ``metrics.json`` holds."""
        with importing():
            import torch

            from learngn.clock import Clock
            from learngn.evaluation import read_truth
            from learngn.io import read_image
            from learngn.kernels import warm
            from learngn.memory import give_back
            from learngn.registration import register as register_pair
            from learngn.results import check_inputs_kept, result_folder, write_files, write_metrics

        check_inputs_kept(self.inputs, self.output)
        options, images, recognised, clock = self.options, None, None, Clock()
        if options.undecided:
            with clock.stage("read"):
                images = read_image(self.inputs["fixed"]), read_image(self.inputs["moving"])
            options, recognised = options.recognising(*images)
        pair = self._pair(options)
        truth = read_truth(pair)
        settings, keypoints = options.settings(truth.fixed), self._keypoints(truth)
        with (
            result_folder(self.output) as folder,
            console.progress(quiet) as bars,
            ThreadPoolExecutor(1, "learngn-beside") as beside,
        ):
            task = bars.add_task("preparing", total=sum(settings.iterations))
            console.compile_kernels(truth.fixed.ndim, bars)
            if torch.get_num_threads() > 1:
                beside.submit(warm.load, truth.fixed.ndim)
            registration = register_pair(
                *(images or (pair.fixed.image, pair.moving.image)),
                settings=settings,
                model=options.trained,
                fixed_mask=self.files.get("fixed_mask"),
                moving_mask=self.files.get("moving_mask"),
                landmarks=keypoints,
                tissue=self.files.get("tissue"),
                callback=lambda step: bars.update(task, advance=1, description=f"level 1/{step.stride:g}"),
            )
            give_back()  # what the levels have held: writing takes as much anew
            bars.update(task, description="writing and scoring")
            names = registration.fixed.name, registration.moving.name
            scoring = beside.submit(truth.score, registration.transform, names)
            if torch.get_num_threads() == 1 or registration.settings.memory is not None:
                scoring.result()
                give_back()
            warped = truth.moving_labels if self.files.get("moving_labels") else None
            seconds = write_files(registration, folder, warped, clock)
            metrics = write_metrics(
                registration,
                scoring.result(),
                folder,
                inputs=self.inputs,
                seconds=seconds,
                command=self.command,
                label_names=self.label_names,
                recognised=recognised,
                left_out=[stride for stride in settings.strides if stride not in registration.settings.strides],
            )
            if self.report:
                from learngn.report import write_pair_report

                bars.update(task, description="report")
                write_pair_report(folder, registration)
        return metrics

    def _keypoints(self, truth: Truth) -> LandmarkPairs | None:
        from learngn.inputs import read_keypoints

        paths = self.files.get("fixed_keypoints"), self.files.get("moving_keypoints")
        if paths[0] is None and paths[1] is None:
            return None
        if paths[0] is None or paths[1] is None:
            raise SettingsError(
                "keypoints", "those of one scan", "those of both", "give --fixed-keypoints and --moving-keypoints"
            )
        return read_keypoints(
            (paths[0], paths[1]), (truth.fixed, truth.moving), self.keypoint_weight, self.keypoint_scale
        )

    def _pair(self, options: RegistrationOptions) -> Pair:
        from learngn.features import parse_features
        from learngn.io import Pair, Subject

        subjects = []
        for side in ("fixed", "moving"):
            image, labels = self.inputs[side], self.files.get(f"{side}_labels")
            if labels is None and parse_features(options.feature_names).labels:
                labels = image  # what is registered is itself a label map
            subjects.append(Subject(image, labels, self.files.get(f"{side}_landmarks"), None))
        return Pair(*subjects)


def show(metrics: Mapping[str, Any], where: str, *, json: bool, quiet: bool) -> None:
    """Print a result: warnings, then JSON for machines or a few lines for people, the last of them `where`."""
    console.warn(metrics["warnings"], quiet)
    if json:
        console.print_json(metrics)
    elif not quiet:
        for line in (*_summary(metrics), where):
            typer.echo(line)


def _summary(metrics: Mapping[str, Any]) -> list[str]:
    """Lines for people: scores, folds, time."""
    lines = []
    if "preset" in metrics:
        lines.append(f"preset {metrics['preset']['name']}: {metrics['preset']['because']}")
    for name, after, before, unit in (
        ("Dice", "dice_mean", "dice_mean_before", ""),
        ("TRE", "tre", "tre_before", " mm"),
    ):
        if metrics.get(after) is not None:
            lines.append(f"{name} {metrics[before]:.3f} -> {metrics[after]:.3f}{unit}")
    lines.append(f"folds {metrics['folds_percent']:.3g} %, stopped: {metrics['stop']}")
    if metrics.get("inverse_error") is not None:
        lines.append(f"inverse off by {metrics['inverse_error']:.2g} voxels on average")
    lines.append(f"{metrics['seconds']['total']:.1f} s, {metrics['peak_memory_mb']:.0f} MB")
    return lines
