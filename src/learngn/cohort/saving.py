"""Writing of the images and the page of each pair of a cohort, in ``pairs/NAME``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from learngn.cohort.records import Record
from learngn.errors import SettingsError
from learngn.evaluation import PairScores
from learngn.geometry.image import Image
from learngn.geometry.transform import Transform
from learngn.io import Pair, write_json, write_text
from learngn.registration import Registration, RegistrationPair
from learngn.registration.pictures import warped_colour
from learngn.registration.reading import files_of
from learngn.results import (
    BidsOutput,
    check_inputs_kept,
    metrics_of,
    pair_folder,
    result_folder,
    write_displacement,
    write_recorded_metrics,
    write_warped,
    write_warped_labels,
)

_BIDS = "bids"  # written where `bids` says, not with the other kinds
KINDS = ("warped", "labels", "itk", "report")
_FILES = {
    "warped": ("warped.nii.gz",),
    "labels": ("warped_labels.nii.gz",),
    "itk": ("displacement.nii.gz", "displacement.mha"),  # one of them
    "report": ("report.html",),
}


@dataclass(frozen=True)
class Saving:
    """Files to write for each pair of a cohort, with the names that ``learngn register`` gives them.

    Attributes
    ----------
    kinds : tuple of str
        Of :data:`KINDS`: ``"warped"`` is the moving scan on the fixed grid, ``"labels"`` its label map, ``"itk"`` the
        whole transform as a displacement for ITK, ANTs and 3D Slicer, ``"report"`` a page and its ``metrics.json``.
    label_names : dict
        Names of the labels, for the page.
    bids : BidsOutput, optional
        Folder of derivatives in BIDS, into which transforms and warped scans are written, too.

    Raises
    ------
    SettingsError
        If a kind is unknown.
    """

    kinds: tuple[str, ...] = ()
    label_names: Mapping[int, str] = field(default_factory=dict)
    bids: BidsOutput | None = None

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise SettingsError("files to save", repr(kind), f"some of {','.join(KINDS)}", "correct --save")

    @classmethod
    def of(cls, text: str, label_names: Mapping[int, str] | None = None, bids: BidsOutput | None = None) -> Saving:
        """Read kinds from text such as ``"warped,report"``."""
        kinds = (kind.strip() for kind in text.split(","))
        return cls(tuple(kind for kind in kinds if kind), label_names or {}, bids)

    def check(self, directory: Path, pairs: Sequence[Pair]) -> None:
        """Check that the files can be saved.

        Raises
        ------
        SettingsError
            If label maps are to be saved, and no moving scan has one.
        OutputError
            If a file would replace an input.
        """
        for pair in pairs if self.kinds else ():
            check_inputs_kept(files_of(pair), pair_folder(directory, pair))
        if self.bids is not None:
            for pair in pairs:
                self.bids.check(pair.fixed.image, pair.moving.image)
        if "labels" in self.kinds and not any(pair.moving.labels for pair in pairs):
            raise SettingsError(
                "files to save", "labels, and no moving scan with a label map", "a label map of one at least",
                "leave labels out, or add label maps; registered label maps themselves are saved by warped",
            )  # fmt: skip

    def missing(self, directory: Path, files: Pair) -> tuple[str, ...]:
        """Return the kinds of which a pair has no file yet."""
        folder = pair_folder(directory, files)
        wanted = [kind for kind in self.kinds if kind != "labels" or files.moving.labels is not None]
        missing = [kind for kind in wanted if not any((folder / name).is_file() for name in _FILES[kind])]
        if self.bids is not None:
            paths = self.bids.paths(files.fixed.image, files.moving.image)
            missing += [] if all(path.is_file() for path in paths) else [_BIDS]
        return tuple(missing)

    def write(
        self, directory: Path, files: Pair, result: Registration, scores: PairScores, seconds: Mapping[str, float]
    ) -> None:
        """Write the files of a pair that has just been registered: all or none, in place of all earlier ones.

        Raises
        ------
        OutputError
            If a file cannot be written.
        """
        folder = pair_folder(directory, files)
        self._write_bids(files, result.pair, result.transform, result.warped, result.inverse)
        if not self.kinds:
            _clear(folder)
            return
        with result_folder(folder) as temporary:
            _write_images(self.kinds, temporary, files, result.pair, result.transform, result.warped)
            if "report" in self.kinds:
                from learngn.report.pair import page_of_registration

                metrics = metrics_of(
                    result, scores, inputs=files_of(files), seconds=seconds, label_names=self.label_names
                )
                write_json(metrics, temporary / "metrics.json")
                write_text(page_of_registration(result, metrics), temporary / "report.html")

    def complete(
        self, directory: Path, files: Pair, pair: RegistrationPair, transform: Transform, record: Record
    ) -> None:
        """Write the missing files of a pair of an earlier run, from its displacement and its record.

        Raises
        ------
        LearnGNError
            If a file cannot be read or written.
        """
        missing, folder = self.missing(directory, files), pair_folder(directory, files)
        if _BIDS in missing:
            self._write_bids(files, pair, transform, transform.warp(pair.moving.scan, pair.fixed.grid))
        if missing == (_BIDS,):
            return
        folder.mkdir(parents=True, exist_ok=True)
        _write_images(missing, folder, files, pair, transform, None)
        if "report" in missing:
            from learngn.report import write_pair_report

            write_recorded_metrics(record, folder, inputs=files_of(files), label_names=self.label_names)
            write_pair_report(folder, transform=transform)

    def _write_bids(
        self,
        files: Pair,
        pair: RegistrationPair,
        transform: Transform,
        warped: Image,
        inverse: Transform | None = None,
    ) -> None:
        if self.bids is None:
            return
        own = files.moving.labels is not None and pair.moving.labels is not None
        self.bids.write(
            files.fixed.image, files.moving.image, transform, warped,
            moving_grid=pair.moving.grid, inverse=inverse,
            labels=transform.warp(pair.moving.labels, pair.fixed.grid) if own and pair.moving.labels else None,
        )  # fmt: skip


def _write_images(
    kinds: Sequence[str], folder: Path, files: Pair, pair: RegistrationPair, transform: Transform, warped: Image | None
) -> None:
    grid = pair.fixed.grid
    if "warped" in kinds:
        colour = pair.moving.colour
        in_colour = None if colour is None else warped_colour(colour, transform, grid)
        write_warped(transform.warp(pair.moving.scan, grid) if warped is None else warped, folder, in_colour)
    if "labels" in kinds and files.moving.labels is not None and pair.moving.labels is not None:
        write_warped_labels(transform.warp(pair.moving.labels, grid), folder)
    if "itk" in kinds:
        write_displacement(transform, grid, folder)


def _clear(folder: Path) -> None:
    """Remove the files of an earlier registration."""
    if folder.is_dir():
        with result_folder(folder):
            pass
        for made in (folder, folder.parent):
            with suppress(OSError):  # other files are kept
                os.rmdir(made)
