"""Submissions to Learn2Reg: the displacements of a data set's pairs, checked, named and packed."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from learngn.errors import DatasetError, SettingsError
from learngn.evaluation.batch import find_field
from learngn.io import Pair, atomic_path, read_grid, read_voxels, scan_numbers, write_voxels

_EPOCH = (1980, 1, 1, 0, 0, 0)  # fixed date, the earliest of zip files, so that the same fields give the same bytes


@dataclass(frozen=True)
class SubmissionFormat:
    """Format of the displacement files that a challenge requires.

    Attributes
    ----------
    suffix : str
        ``".nii.gz"`` since 2022, ``".npz"`` before.
    half : bool
        Whether to write numbers of 16 bits, as in the challenges of 2020 and 2021; only for `.npz`.
    folder : str
        Folder in the archive; empty for none.
    full_names : bool
        Whether every name includes both modalities, as in LUMIR.

    Raises
    ------
    SettingsError
        If `half` is set for NIfTI, or the folder is not inside the archive.
    """

    suffix: Literal[".nii.gz", ".npz"] = ".nii.gz"
    half: bool = False
    folder: str = ""
    full_names: bool = False

    def __post_init__(self) -> None:
        if self.half and self.suffix != ".npz":
            raise SettingsError("submission", "float16 in .nii.gz", "float16 in .npz alone", "choose .npz, or float32")
        if self.folder.startswith("/") or ".." in Path(self.folder).parts or "\\" in self.folder:
            raise SettingsError("folder of the submission", repr(self.folder), "a folder's name", "choose such a name")

    def name_of(self, pair: Pair) -> str:
        """Return the name of a pair's displacement file in the archive."""
        name = pair.field_name.removesuffix(".nii.gz")
        if self.full_names:
            name = "_".join(["disp", *scan_numbers(pair.fixed.image), *scan_numbers(pair.moving.image)])
        return "/".join(part for part in (self.folder.strip("/"), name + self.suffix) if part)


def write_submission(
    pairs: Sequence[Pair],
    folder: Path,
    path: Path,
    form: SubmissionFormat | None = None,
    *,
    progress: Callable[[Pair, int], None] | None = None,
) -> list[str]:
    """Pack the displacement files of pairs, found by :func:`find_field`, into a zip archive.

    Parameters
    ----------
    pairs : sequence of Pair
        Pairs, which must all have a displacement file.
    folder : Path
        Folder of the displacement files, `.nii.gz` or `.npz`, of any type.
    path : Path
        Archive, written atomically.
    form : SubmissionFormat, optional
    progress : callable, optional
        Called after every pair with it and its number.

    Returns
    -------
    list of str
        Names in the archive.

    Raises
    ------
    DatasetError
        If pairs have no displacement file; the message says how many, and names the first.
    TransformError
        If a file cannot be read, does not have the shape of its fixed scan, or is not finite.
    """
    form = form or SubmissionFormat()
    fields = _find_all(pairs, folder)
    names = []
    with atomic_path(path) as temporary, TemporaryDirectory() as scratch, zipfile.ZipFile(temporary, "w") as archive:
        for number, (pair, field) in enumerate(zip(pairs, fields, strict=True), start=1):
            grid = read_grid(pair.fixed.image)
            values = read_voxels(field, grid)
            made = Path(scratch) / f"field{form.suffix}"
            write_voxels(values.astype(np.float16) if form.half else values, made, grid)
            entry = zipfile.ZipInfo(form.name_of(pair), _EPOCH)
            entry.external_attr = 0o644 << 16
            # .nii.gz is already compressed.
            entry.compress_type = zipfile.ZIP_DEFLATED if form.suffix == ".npz" else zipfile.ZIP_STORED
            archive.writestr(entry, made.read_bytes())
            made.unlink()
            names.append(entry.filename)
            if progress is not None:
                progress(pair, number)
    return names


def _find_all(pairs: Sequence[Pair], folder: Path) -> list[Path]:
    fields, missing = [], []
    for pair in pairs:
        try:
            fields.append(find_field(folder, pair))
        except DatasetError:
            missing.append(pair.field_name)
    if missing:
        raise DatasetError(
            f"fields in {folder}",
            f"none for {len(missing)} of {len(pairs)} pairs, the first of them {missing[0]}",
            "one for every pair, which the challenge demands",
            "register the others: learngn cohort, with the same --pairs",
        )
    return fields
