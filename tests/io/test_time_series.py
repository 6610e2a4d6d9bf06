"""Series in the forms in which people have them: one file, a folder, several files."""

import numpy as np
import pytest

from learngn import Grid, Image
from learngn.errors import ImageError
from learngn.io import read_time_series, write_frames

GRID = Grid.from_spacing((5, 4, 3), (1.0, 2.0, 3.0), origin=(-3, 4, 5))


def frames(count):
    return [Image.from_array(np.full(GRID.shape, n, np.float32), GRID) for n in range(count)]


def values(series):
    return [float(frame.data.max()) for frame in series.frames]


def test_one_file(tmp_path):
    write_frames(frames(3), tmp_path / "a.nii.gz", 0.5)
    series = read_time_series([tmp_path / "a.nii.gz"])
    assert values(series) == [0, 1, 2]
    assert series.step == 0.5


def test_a_folder_in_the_order_of_numbers(tmp_path):
    for n, frame in enumerate(frames(12)):
        frame.save(tmp_path / f"frame{n}.nii.gz")
    (tmp_path / "notes.txt").write_text("not an image")
    series = read_time_series([tmp_path])
    assert values(series) == list(range(12))  # frame10 after frame9
    assert series.step is None


def test_several_files_in_the_given_order(tmp_path):
    paths = [tmp_path / f"{n}.nii.gz" for n in range(3)]
    for path, frame in zip(paths, frames(3), strict=True):
        frame.save(path)
    assert values(read_time_series([paths[2], paths[0], paths[1]])) == [2, 0, 1]


def test_bad_input(tmp_path):
    with pytest.raises(ImageError, match="no files"):
        read_time_series([])
    with pytest.raises(ImageError, match=r"lost\.nii\.gz: got no such file"):
        read_time_series([tmp_path / "lost.nii.gz"])
    with pytest.raises(ImageError, match="without a DICOM series"):
        read_time_series([tmp_path])
    write_frames(frames(3), tmp_path / "a.nii.gz")
    with pytest.raises(ImageError, match="got 4 dimensions"):
        read_time_series([tmp_path / "a.nii.gz"] * 2)
