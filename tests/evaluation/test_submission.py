"""Archives for the challenge: complete, named and typed as its script wants them."""

import zipfile
from io import BytesIO

import nibabel
import numpy as np
import pytest

from learngn import DisplacementField
from learngn.errors import DatasetError, SettingsError, TransformError
from learngn.evaluation import SubmissionFormat, write_submission
from learngn.io import choose_pairs, read_dataset, read_grid, write_learn2reg


@pytest.fixture
def pairs(abdomen_files):
    return choose_pairs(read_dataset(abdomen_files), "train")[:3]


@pytest.fixture
def fields(pairs, tmp_path):
    """A field of every pair, another in each."""
    folder = tmp_path / "fields"
    folder.mkdir()
    for number, pair in enumerate(pairs):
        grid = read_grid(pair.fixed.image)
        data = np.random.default_rng(number).random((1, 2, *grid.shape), dtype=np.float32) * 9 - 4
        write_learn2reg(DisplacementField(data, grid), folder / pair.field_name, grid, read_grid(pair.moving.image))
    return folder


def values_of(archive, name, tmp_path):
    if name.endswith(".npz"):
        return np.load(BytesIO(archive.read(name)))["arr_0"]
    return nibabel.load(archive.extract(name, tmp_path / "out")).get_fdata()


def test_as_the_challenge_wants_it_today(pairs, fields, tmp_path):
    path = tmp_path / "submission.zip"
    names = write_submission(pairs, fields, path)
    assert names == ["disp_0001_0002.nii.gz", "disp_0001_0003.nii.gz", "disp_0001_0004.nii.gz"]
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == names
        assert archive.testzip() is None
        for name in names:
            # Last axis the components, as the script's expected_shape has it.
            values = values_of(archive, name, tmp_path)
            assert values.shape == (48, 40, 2)
            np.testing.assert_array_equal(values, nibabel.load(fields / name).get_fdata())
    first = path.read_bytes()
    write_submission(pairs, fields, path)
    assert path.read_bytes() == first


def test_as_it_wanted_it_before(pairs, fields, tmp_path):
    path = tmp_path / "submission.zip"
    names = write_submission(pairs, fields, path, SubmissionFormat(".npz", half=True, folder="task_03"))
    assert names[0] == "task_03/disp_0001_0002.npz"
    with zipfile.ZipFile(path) as archive:
        values = values_of(archive, names[0], tmp_path)
        assert values.dtype == np.float16
        exact = nibabel.load(fields / "disp_0001_0002.nii.gz").get_fdata()
        np.testing.assert_allclose(values, exact, atol=2**-9)


def test_full_names(pairs, fields, tmp_path):
    names = write_submission(pairs, fields, tmp_path / "a.zip", SubmissionFormat(full_names=True))
    assert names[0] == "disp_0001_0000_0002_0000.nii.gz"


def test_fields_of_another_program(pairs, fields, tmp_path):
    """npz of any key and type, with the modalities in its name."""
    (fields / "disp_0001_0002.nii.gz").unlink()
    np.savez(fields / "disp_0001_0000_0002_0000.npz", whatever=np.ones((48, 40, 2), np.float64))
    write_submission(pairs, fields, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert (values_of(archive, "disp_0001_0002.nii.gz", tmp_path) == 1).all()


def test_missing_fields(pairs, fields, tmp_path):
    for name in ("disp_0001_0003.nii.gz", "disp_0001_0004.nii.gz"):
        (fields / name).unlink()
    with pytest.raises(DatasetError, match=r"none for 2 of 3 pairs, the first of them disp_0001_0003\.nii\.gz"):
        write_submission(pairs, fields, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize(
    ("values", "told"),
    [(np.zeros((48, 41, 2)), "shape"), (np.zeros((2, 48, 40)), "shape"), (np.full((48, 40, 2), np.nan), "NaN")],
)
def test_wrong_fields(values, told, pairs, fields, tmp_path):
    np.savez(fields / "disp_0001_0003.npz", values)
    with pytest.raises(TransformError, match=told):
        write_submission(pairs, fields, tmp_path / "a.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fields"]


def test_wrong_formats():
    with pytest.raises(SettingsError, match=r"float16 in \.npz alone"):
        SubmissionFormat(half=True)
    for folder in ("/etc", "../a", "a\\b"):
        with pytest.raises(SettingsError, match="folder of the submission"):
            SubmissionFormat(folder=folder)
