"""Options shared by several commands: each is declared once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli.panels import EXPERT, INPUT, REGISTRATION, SCORES
from learngn.errors import SettingsError

if TYPE_CHECKING:
    from learngn.model import Model

FAILED = 3  # exit status of --strict for the verdict "failed"
INFINITE = float("inf")
_PAIR = 2

DataSet = Annotated[
    Path,
    typer.Argument(metavar="DATASET.json", help="Learn2Reg data set.", show_default=False, rich_help_panel=INPUT),
]
DataSetOrTable = Annotated[
    Path,
    typer.Argument(
        metavar="DATASET",
        help="Learn2Reg data set, CSV of paths, or folder in BIDS.",
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
Pairs = Annotated[
    str,
    typer.Option(
        "--pairs",
        metavar="PAIRS",
        help="val, train, all, test, or a CSV file (fixed, moving).",
        rich_help_panel=INPUT,
    ),
]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Use only the first N.", rich_help_panel=INPUT)
]
KeypointScale = Annotated[
    float,
    typer.Option(
        "--keypoint-scale",
        metavar="MM",
        help="Distance of a pair of key points above which its weight decreases [mm].",
        show_default=False,
        rich_help_panel=EXPERT,
    ),
]
LabelNames = Annotated[
    Path | None,
    typer.Option(
        "--label-names",
        metavar="FILE",
        help='Names of the labels: a data set, or JSON such as {"1": "liver"}.',
        show_default=False,
        rich_help_panel=SCORES,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="DEVICE", help="auto (a GPU if there is one), cpu or cuda.", rich_help_panel=REGISTRATION
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", min=1, help="CPU threads; by default all.", rich_help_panel=REGISTRATION),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Random seed.", rich_help_panel=EXPERT)]


@dataclass(frozen=True)
class ModelOptions:
    """Option for a trained model."""

    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            metavar="DIR",
            help="Trained model, with its own features and settings.",
            rich_help_panel=REGISTRATION,
        ),
    ] = None
    modalities: Annotated[
        str | None,
        typer.Option(
            "--modalities",
            metavar="FIXED,MOVING",
            help="Modalities of the scans (US,MR) for a model of two; by default told by the file names.",
            rich_help_panel=EXPERT,
        ),
    ] = None

    def read(self) -> Model | None:
        """Read the model.

        Raises
        ------
        ModelError
            If it cannot be read, or does not have the modalities.
        MissingPackageError
            If PyTorch is not installed.
        SettingsError
            If modalities are given that are not two, or without a model.
        """
        names = [] if self.modalities is None else self.modalities.split(",")
        if names and (len(names) != _PAIR or self.model is None):
            got = f"{self.modalities}{' without --model' if self.model is None else ''}"
            raise SettingsError("--modalities", got, "those of FIXED and MOVING, with --model", "write US,MR")
        if self.model is None:
            return None
        from learngn.registration import model_of

        model = model_of(self.model)
        return model.for_modalities(*names) if model is not None and names else model


def check_device(device: str, elsewhere: bool = False) -> None:
    """Raise an error if a device is unknown, or, unless the work is done `elsewhere`, missing on this machine.

    Raises
    ------
    SettingsError
        If it is unknown or missing.
    MissingPackageError
        If it is a GPU and PyTorch is not installed.
    """
    if device in ("auto", "cpu"):  # at once, without loading a library
        return
    from learngn.arrays import check_device_name, chosen_device

    try:
        if elsewhere:
            check_device_name(device)
        else:
            chosen_device(device)
    except SettingsError as error:
        raise SettingsError("--device", error.got, error.expected, error.remedy) from None


def check_judged(quality: bool | None, **options: bool) -> None:
    """Raise :class:`SettingsError` if an option that needs verdicts is given together with ``--no-quality``."""
    for name, given in options.items():
        if given and quality is False:
            raise SettingsError("options", f"--{name} and --no-quality", "a verdict on every pair", "leave out either")


def prepare_process(threads: int | None) -> None:
    """Limit the number of threads of the kernels and of all libraries, before these are imported; keep freed memory."""
    from learngn.memory import keep_freed

    keep_freed()
    if threads is not None:
        from learngn.threads import set_threads

        set_threads(threads)
