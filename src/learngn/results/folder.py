"""Result folder of a registration, written atomically: all of its files or none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

from learngn.errors import OutputError
from learngn.io import Pair, check_writable, temporary_folder
from learngn.io.locks import locked

# In the order in which they are moved: metrics.json comes after the files that it describes.
RESULT_FILES = (
    "warped.nii.gz",
    "warped.png",
    "warped_labels.nii.gz",
    "displacement.nii.gz",
    "displacement.mha",
    "inverse_displacement.nii.gz",
    "inverse_displacement.mha",
    "affine.tfm",
    "uncertainty.nii.gz",
    "uncertainty_axis.nii.gz",
    "uncertainty_axis.mha",
    "structures.dcm",
    "dose.dcm",
    "registration.dcm",
    "dose_volume.csv",
    "uncertainty_draws.nii.gz",
    "metrics.json",
    "report.html",
    "learngn.log",
)

_DESCRIPTIONS = ("metrics.json", "report.html", "learngn.log")  # files that describe the other files

_LOCK = ".learngn-result.lock"


@contextmanager
def result_folder(directory: str | Path, files: Sequence[str] = RESULT_FILES) -> Iterator[Path]:
    """Yield a temporary folder for a result, and move its files to `directory` at the end of the block.

    Files of an earlier result that the new one does not have are removed, so that all files of a folder belong to one
    run. If the block ends early, by an error or Ctrl-C, the folder stays unchanged.

    Parameters
    ----------
    directory : path
        Result folder, created if necessary; it is checked at once whether it can be written.
    files : sequence of str
        Names of the files of such a result, or patterns of names, in the order in which they are moved;
        ``metrics.json`` comes after the files that it describes.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    directory = Path(directory)
    created = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    check_writable(directory)
    try:
        with temporary_folder(directory) as temporary:
            yield temporary
            # Two runs with the same folder move their files one after the other: all files come from one of them.
            with locked(directory / _LOCK, remove=True):
                # A process killed in between leaves no metrics.json that describes other files than those present.
                for name in _names(directory, reversed(files)):
                    if name in _DESCRIPTIONS or not (temporary / name).exists():
                        (directory / name).unlink(missing_ok=True)
                for name in _names(temporary, files):
                    os.replace(temporary / name, directory / name)
    finally:
        with suppress(OSError):  # folders that are not empty are kept
            for folder in created:
                folder.rmdir()


def _names(directory: Path, patterns: Iterable[str]) -> list[str]:
    """Return the names of the files in a folder that match patterns, in the order of these."""
    return list(dict.fromkeys(path.name for pattern in patterns for path in sorted(directory.glob(pattern))))


def pair_folder(directory: str | Path, files: Pair) -> Path:
    """Return the folder of a pair's files in the folder of a cohort."""
    return Path(directory) / "pairs" / files.id


def page_of(directory: str | Path, files: Pair) -> str | None:
    """Return the path of a pair's page relative to the folder of its cohort, or None if it has none."""
    page = pair_folder(directory, files) / "report.html"
    return page.relative_to(directory).as_posix() if page.is_file() else None


def check_inputs_kept(inputs: Mapping[str, Path], directory: str | Path, files: Sequence[str] = RESULT_FILES) -> None:
    """Raise :class:`OutputError` if writing a result into a folder would overwrite one of its inputs."""
    folder = Path(directory).resolve()
    for name, path in inputs.items():
        place = path.resolve()
        if place.parent == folder and any(fnmatch(place.name, pattern) for pattern in files):
            raise OutputError(
                f"output folder {directory}",
                f"the {name.replace('_', ' ')} {path.name} itself in it",
                "a folder without the inputs",
                "name another output folder",
            )
