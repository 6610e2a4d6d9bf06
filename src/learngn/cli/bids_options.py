"""Options for BIDS: the folder of derivatives to write, and which scans of a data set are registered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli.panels import EXPERT, OUTPUT
from learngn.errors import SettingsError

if TYPE_CHECKING:
    from learngn.io import Dataset
    from learngn.results import BidsOutput


@dataclass(frozen=True)
class BidsOptions:
    """Options of the folder of derivatives."""

    bids: Annotated[
        Path | None,
        typer.Option(
            "--bids",
            metavar="DIR",
            help="Also write derivatives with the names of BIDS into this folder.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    bids_formats: Annotated[
        str,
        typer.Option(
            "--bids-formats",
            metavar="KINDS",
            help="Formats of the transform there: some of h5 (ITK), x5, nii.gz (displacement).",
            rich_help_panel=EXPERT,
        ),
    ] = "h5"

    def output(self) -> BidsOutput | None:
        """Return the folder of derivatives; None without one.

        Raises
        ------
        SettingsError
            If a format is unknown.
        """
        if self.bids is None:
            return None
        from learngn.results import BidsOutput

        return BidsOutput(self.bids, tuple(f".{kind.strip().lstrip('.')}" for kind in self.bids_formats.split(",")))


@dataclass(frozen=True)
class BidsPairs:
    """Options for the pairs of a data set in BIDS."""

    bids_select: Annotated[
        str | None,
        typer.Option(
            "--bids-select",
            metavar="ENTITIES",
            help="Scans of a data set in BIDS: suffix=T1w (default), or more such as suffix=T1w,acq=mprage.",
            show_default=False,
            rich_help_panel=EXPERT,
        ),
    ] = None
    bids_moving: Annotated[
        str | None,
        typer.Option(
            "--bids-moving",
            metavar="ENTITIES",
            help="Register these scans, such as suffix=T2w, onto those of their session; by default later sessions "
            "onto the first.",
            show_default=False,
            rich_help_panel=EXPERT,
        ),
    ] = None
    bids_template: Annotated[
        Path | None,
        typer.Option(
            "--bids-template",
            metavar="FILE",
            help="Scan onto which all scans of a BIDS folder are registered.",
            rich_help_panel=EXPERT,
        ),
    ] = None

    def read(self, dataset: Path) -> Dataset:
        """Read a data set, with these options if it is one in BIDS.

        Raises
        ------
        DatasetError
            If it cannot be read, or has no such pair.
        SettingsError
            If options for BIDS are given for another data set, or are not understood.
        """
        from learngn.io import is_bids, read_bids, read_dataset

        given = [self.bids_select, self.bids_moving, self.bids_template]
        if not is_bids(dataset):
            if any(value is not None for value in given):
                raise SettingsError(
                    "--bids-select, --bids-moving, --bids-template", f"the data set {dataset}",
                    "a folder in BIDS, with dataset_description.json", "name one, or leave them out",
                )  # fmt: skip
            return read_dataset(dataset)
        if self.bids_moving is not None and self.bids_template is not None:
            raise SettingsError("--bids-moving", "it and --bids-template", "one of them", "leave one of them out")
        select = None if self.bids_select is None else _entities(self.bids_select, "--bids-select")
        moving = None if self.bids_moving is None else _entities(self.bids_moving, "--bids-moving")
        return read_bids(dataset, select, moving=moving, template=self.bids_template)


def _entities(text: str, option: str) -> dict[str, str]:
    found = {}
    for part in text.split(","):
        key, mark, value = part.strip().partition("=")
        if not mark or not key.isalpha():
            raise SettingsError(option, repr(part), "KEY=VALUE,...", "write for example suffix=T1w,acq=mprage")
        found[key] = value.removeprefix(f"{key}-")
    return found
