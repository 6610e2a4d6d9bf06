"""The folder that a registration leaves: all of its files or none of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from learngn.errors import OutputError
from learngn.io import check_writable, temporary_folder
from learngn.io.locks import locked

# In the order in which they appear: where metrics.json is, the files that it speaks of are too.
RESULT_FILES = (
    "warped.nii.gz",
    "warped_labels.nii.gz",
    "displacement.nii.gz",
    "displacement.mha",
    "inverse_displacement.nii.gz",
    "inverse_displacement.mha",
    "affine.tfm",
    "metrics.json",
    "report.html",
)

_SPEAKING = ("metrics.json", "report.html")  # of the other files

_LOCK = ".learngn-result.lock"


@contextmanager
def result_folder(directory: str | Path) -> Iterator[Path]:
    """Offer a temporary folder to write a result into, and move its files to `directory` when the block ends.

    Results of an earlier run that this one has not made again are removed, so that the files of a folder always belong
    together. Whatever ends the block early, Ctrl-C included, leaves the folder as it was.

    Parameters
    ----------
    directory : path
        Made unless it exists; whether it can be written is seen at once.

    Raises
    ------
    OutputError
        If not.
    """
    directory = Path(directory)
    made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    check_writable(directory)
    try:
        with temporary_folder(directory) as temporary:
            yield temporary
            # Two runs into one folder move their files one after the other: what stays is all of one run.
            with locked(directory / _LOCK, remove=True):
                # Whoever is killed in between leaves no metrics.json that speaks of other files than those there.
                for name in reversed(RESULT_FILES):
                    if name in _SPEAKING or not (temporary / name).exists():
                        (directory / name).unlink(missing_ok=True)
                for name in RESULT_FILES:
                    if (temporary / name).exists():
                        os.replace(temporary / name, directory / name)
    finally:
        with suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()


def check_inputs_kept(inputs: Mapping[str, Path], directory: str | Path) -> None:
    """Raise :class:`OutputError` if writing a result into a folder would overwrite one of its inputs."""
    outputs = {(Path(directory) / name).resolve() for name in RESULT_FILES}
    for name, path in inputs.items():
        if path.resolve() in outputs:
            raise OutputError(
                f"output folder {directory}",
                f"the {name.replace('_', ' ')} {path.name} itself in it",
                "a folder without the inputs",
                "name another output folder",
            )
