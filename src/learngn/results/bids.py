"""Results of pairs as derivatives in BIDS: transforms with side-cars, and the moving scan on the fixed grid.

Names of transforms follow the proposal BEP014 as fMRIPrep uses it, ``sub-01_from-A_to-B_mode-image_xfm.h5``: the file
takes *images* from the space A to B, so that A is the moving scan's. Points go the other way, as with all transforms
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from learngn._version import __version__
from learngn.errors import OutputError, SettingsError, require_packages
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Transform
from learngn.io import read_grid, write_image, write_json, write_transform
from learngn.io.bids import DESCRIPTION, BidsName, between, is_bids
from learngn.io.locks import locked
from learngn.io.nitransforms import X5
from learngn.registration import Registration

FORMATS = (".h5", X5, ".nii.gz")  # of transforms
_DIMENSIONS = 3  # of transforms in X5
_VERSION = "1.10.0"  # of BIDS
_LOCK = ".learngn-bids.lock"


@dataclass(frozen=True)
class BidsOutput:
    """Folder of derivatives in BIDS.

    Attributes
    ----------
    folder : Path
        Made with its ``dataset_description.json`` unless it exists.
    formats : tuple of str
        Suffixes of the transforms: ``".h5"`` (ITK, part by part), ``".x5"`` (BEP014's own format; needs the extra
        ``[transforms]``), ``".nii.gz"`` (displacement).

    Raises
    ------
    SettingsError
        If a format is unknown.
    """

    folder: Path
    formats: tuple[str, ...] = (".h5",)

    def __post_init__(self) -> None:
        for name in self.formats:
            if name not in FORMATS:
                raise SettingsError(
                    "formats of BIDS", repr(name), f"some of {', '.join(kind[1:] for kind in FORMATS)}", "correct them"
                )

    def check(self, fixed: Path, moving: Path) -> None:
        """Check the names of a pair, and that the folder is one of derivatives, before anything is computed.

        Raises
        ------
        DatasetError
            If the moving scan's name is not one of BIDS.
        OutputError
            If the folder is a raw data set.
        SettingsError
            If the transform has more or fewer dimensions than X5 can hold.
        MissingPackageError
            If a package for a format is not installed.
        """
        between(fixed, moving)
        if X5 in self.formats:
            require_packages("transforms in X5", "transforms", "nitransforms", "h5py")
            if (ndim := read_grid(fixed).ndim) != _DIMENSIONS:
                raise SettingsError("formats of BIDS", f"x5 for {ndim}D scans", "h5 or nii.gz", "leave x5 out")
        raw = self._raw(moving)
        if raw is not None and raw.resolve() == self.folder.resolve():
            raise OutputError(
                f"folder of derivatives {self.folder}", "the data set itself", "a folder of its own",
                f"write into {self.folder / 'derivatives' / 'learngn'}",
            )  # fmt: skip

    def paths(self, fixed: Path, moving: Path) -> tuple[Path, ...]:
        """Return the files of the transform of a pair."""
        name, source, target = between(fixed, moving)
        return tuple(self._transform(name, source, target, suffix) for suffix in self.formats)

    def write(
        self,
        fixed: Path,
        moving: Path,
        transform: Transform,
        warped: Image,
        *,
        moving_grid: Grid,
        inverse: Transform | None = None,
        labels: Image | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> list[Path]:
        """Write the transform of a pair, its inverse, and the moving scan and its label map on the fixed grid.

        Parameters
        ----------
        fixed, moving : Path
            Files of the scans, whose names are those of BIDS; the fixed scan may be a template.
        transform : Transform
            From the fixed to the moving world.
        warped : Image
            The moving scan on the fixed grid.
        moving_grid : Grid
            Grid of the moving scan.
        inverse : Transform, optional
            From the moving to the fixed world.
        labels : Image, optional
            Label map of the moving scan on the fixed grid.
        notes : dict, optional
            Further entries of the transform's side-car.

        Returns
        -------
        list of Path
            The files.
        """
        self._describe(moving)
        name, source, target = between(fixed, moving)
        from_, to = _Space(source, self._uri(moving, moving)), _Space(target, self._uri(fixed, moving))
        scan = BidsName.of(moving)
        written: list[Path] = []
        if scan is not None:
            used = self._transform(name, source, target, self.formats[0])
            facts = {"SpatialReference": to.uri, "Sources": [from_.uri, self._own_uri(used)]}
            of_scan = replace(scan, entities={**scan.entities, "space": target}, extension=".nii.gz")
            written += self._write_image(of_scan, warped, facts)
            if labels is not None:
                written += self._write_image(replace(of_scan, suffix="dseg"), labels, facts)
        if inverse is not None:
            written += self._write_transform(name, to, from_, inverse, moving_grid, notes)
        # The transform is written last: where it is, the pair is complete.
        return [*written, *self._write_transform(name, from_, to, transform, warped.grid, notes)]

    def write_registration(self, registration: Registration) -> None:
        """Write the result of a pair that was read from files; see :meth:`write`."""
        files, verdict = registration.pair.files, registration.verdict
        self.write(
            files["fixed"], files["moving"], registration.transform, registration.warped,
            moving_grid=registration.moving.grid, inverse=registration.inverse, labels=registration.warped_labels,
            notes=None if verdict is None else {"Verdict": verdict.status},
        )  # fmt: skip

    def _write_transform(
        self,
        name: BidsName,
        source: _Space,
        target: _Space,
        transform: Transform,
        grid: Grid,
        notes: Mapping[str, Any] | None,
    ) -> list[Path]:
        files = [self._transform(name, source.label, target.label, suffix) for suffix in self.formats]
        files[0].parent.mkdir(parents=True, exist_ok=True)
        side_car = self._transform(name, source.label, target.label, ".json")
        facts = {
            "Description": f"Takes images from {source.label} to {target.label}, and points from {target.label} to "
            f"{source.label}.",
            "Sources": [source.uri, target.uri],
            "SpatialReference": target.uri,
            "FromSpace": source.label,
            "ToSpace": target.label,
            **(notes or {}),
        }
        write_json(facts, side_car)
        for file in files:
            write_transform(transform, file, reference=grid)
        return [side_car, *files]

    def _write_image(self, name: BidsName, image: Image, facts: Mapping[str, Any]) -> list[Path]:
        path = name.path(self.folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(image, path)
        side_car = replace(name, extension=".json").path(self.folder)
        write_json(dict(facts), side_car)
        return [path, side_car]

    def _transform(self, name: BidsName, source: str, target: str, extension: str) -> Path:
        entities = {**name.entities, "from": source, "to": target, "mode": "image"}
        return BidsName(entities, "xfm", extension, name.folder).path(self.folder)

    def _describe(self, moving: Path) -> None:
        """Make the folder and its description, unless there is one."""
        path = self.folder / DESCRIPTION
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / _LOCK, remove=True):  # pairs of a cohort may be written at once
            if path.is_file():
                return
            raw = self._raw(moving)
            links = {} if raw is None else {"DatasetLinks": {"raw": raw.resolve().as_uri()}}
            sources = {} if raw is None else {"SourceDatasets": [{"URL": raw.resolve().as_uri()}]}
            description = {
                "Name": "Registrations by LearnGN",
                "BIDSVersion": _VERSION,
                "DatasetType": "derivative",
                "GeneratedBy": [{"Name": "LearnGN", "Version": __version__}],
                **sources,
                **links,
            }
            write_json(description, path)

    def _raw(self, scan: Path) -> Path | None:
        """Return the data set in BIDS to which a scan belongs; None if there is none."""
        return next((folder for folder in scan.resolve().parents if is_bids(folder)), None)

    def _uri(self, path: Path, moving: Path) -> str:
        """Return the name of a source, relative to the data set of the moving scan if it is there."""
        raw, whole = self._raw(moving), path.resolve()
        inside = raw is not None and raw in whole.parents
        return f"bids:raw:{whole.relative_to(raw).as_posix()}" if raw is not None and inside else whole.as_uri()

    def _own_uri(self, path: Path) -> str:
        return f"bids::{path.relative_to(self.folder).as_posix()}"


@dataclass(frozen=True)
class _Space:
    """A space between which a transform maps: its name in file names, and the scan that defines it."""

    label: str
    uri: str
