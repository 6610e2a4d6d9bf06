"""Files of the result of a series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from learngn.geometry.image import Image
from learngn.geometry.transform import Affine
from learngn.io import field_suffix, write_frames, write_image, write_text, write_transform
from learngn.series import SeriesMotion
from learngn.series.motion import mean_of
from learngn.series.tables import motion_csv, motion_rows

_FIRST = ("mean.nii.gz", "warped.nii.gz", "labels.nii.gz")
_LAST = ("volumes.csv", "trajectories.csv", "motion.csv", "metrics.json", "report.html", "learngn.log")
_NUMBERED = ("frame", "warped", "labels")  # a file for every frame
_SUFFIXES = (".nii.gz", ".mha", ".tfm")


def series_files(count: int, directory: str | Path) -> list[str]:
    """Return the names of the files that a result of so many frames, or an earlier one in the same folder, may have.

    See :func:`learngn.results.result_folder`.
    """
    names = {f"{kind}_{_digits(n, count)}{suffix}" for kind in _NUMBERED for n in range(count) for suffix in _SUFFIXES}
    folder = Path(directory)
    for kind in _NUMBERED:
        names |= {path.name for suffix in _SUFFIXES for path in folder.glob(f"{kind}_[0-9]*{suffix}")}
    return [*_FIRST, *sorted(names), *_LAST]


def write_series_files(motion: SeriesMotion, folder: Path, labels: Sequence[Image]) -> dict[str, float]:
    """Write the images, transforms and the motion of a series.

    Parameters
    ----------
    motion : SeriesMotion
    folder : Path
    labels : sequence of Image
        Label maps of all frames, if there are any.

    Returns
    -------
    dict
        Standard deviation over time, mean of all voxels, ``before`` and ``after`` registration.
    """
    count, warped = len(motion), list(motion.warped())
    write_image(mean_of(warped), folder / "mean.nii.gz")
    _write_images(warped, folder, "warped", motion.step)
    if labels:
        _write_images(labels, folder, "labels", motion.step)
    for number, transform in enumerate(motion.transforms):
        name = f"frame_{_digits(number, count)}"
        if isinstance(transform, Affine):
            write_transform(transform, folder / f"{name}.tfm")
        else:
            path = folder / f"{name}{field_suffix(motion.grid)}"
            write_transform(transform, path, reference=motion.grid, rounded=True)
    write_text(motion_csv(motion_rows(motion)), folder / "motion.csv")
    return {"before": _change_in_time(motion.frames), "after": _change_in_time(warped)}


def _write_images(images: Sequence[Image], folder: Path, kind: str, step: float | None) -> None:
    """Write the frames as one 4D file; in 2D, for which NIfTI has no series, as one file each."""
    if images[0].grid.ndim == 3:
        write_frames(images, folder / f"{kind}.nii.gz", step)
        return
    for number, image in enumerate(images):
        write_image(image, folder / f"{kind}_{_digits(number, len(images))}.nii.gz")


def _change_in_time(frames: Sequence[Image]) -> float:
    """Return the standard deviation over time, mean of all voxels."""
    mean = mean_of(frames)
    squares = mean_of([Image((image.data - mean.data) ** 2, image.grid) for image in frames])
    return float((squares.data**0.5).mean())


def _digits(number: int, count: int) -> str:
    return f"{number:0{max(3, len(str(count - 1)))}d}"
