"""BIDS: names of files, and the pairs of a data set."""

import json
from pathlib import Path

import numpy as np
import pytest

from learngn.errors import DatasetError
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import BidsName, is_bids, read_bids, read_dataset
from learngn.io.bids import between


@pytest.fixture
def bids(tmp_path):
    """Two subjects: one with two sessions, a T2w and a label map; one with a single session."""
    root = tmp_path / "bids"
    root.mkdir()
    (root / "dataset_description.json").write_text(json.dumps({"Name": "Toy", "BIDSVersion": "1.10.0"}))
    scan = Image.from_array(np.arange(60, dtype=np.float32).reshape(5, 4, 3), Grid.from_spacing((5, 4, 3), 2.0))
    for name in (
        "sub-01/ses-01/anat/sub-01_ses-01_T1w",
        "sub-01/ses-01/anat/sub-01_ses-01_dseg",
        "sub-01/ses-01/anat/sub-01_ses-01_T2w",
        "sub-01/ses-02/anat/sub-01_ses-02_T1w",
        "sub-01/ses-02/anat/sub-01_ses-02_acq-fast_T1w",
        "sub-02/ses-01/anat/sub-02_ses-01_T1w",
        "derivatives/other/sub-01/anat/sub-01_T1w",
    ):
        path = root / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        scan.save(path)
    return root


@pytest.mark.parametrize(
    ("name", "entities", "suffix", "extension"),
    [
        ("sub-01_T1w.nii.gz", {"sub": "01"}, "T1w", ".nii.gz"),
        ("sub-01_ses-a2_run-1_bold.nii", {"sub": "01", "ses": "a2", "run": "1"}, "bold", ".nii"),
        ("tpl-MNI152_res-1_T1w.nii.gz", {"tpl": "MNI152", "res": "1"}, "T1w", ".nii.gz"),
    ],
)
def test_names_are_taken_apart_and_put_together(name, entities, suffix, extension):
    found = BidsName.of(Path("x/anat") / name)
    assert (found.entities, found.suffix, found.extension, found.folder) == (entities, suffix, extension, "anat")
    assert str(found) == name


@pytest.mark.parametrize(
    "name", ["scan.nii.gz", "sub-01.nii.gz", "sub01_T1w.nii.gz", "ses-1_T1w.nii.gz", "sub-0.1_T1w"]
)
def test_other_names(name):
    assert BidsName.of(Path(name)) is None


def test_entities_are_in_the_order_of_the_specification():
    name = BidsName(
        {"to": "B", "mode": "image", "run": "1", "from": "A", "sub": "01", "ses": "2"}, "xfm", ".h5", "func"
    )
    assert str(name) == "sub-01_ses-2_run-1_from-A_to-B_mode-image_xfm.h5"
    assert name.path(Path("d")) == Path("d/sub-01/ses-2/func") / str(name)


@pytest.mark.parametrize(
    ("fixed", "moving", "expected"),
    [
        ("sub-01_ses-01_T1w", "sub-01_ses-02_T1w", ("sub-01_xfm", "ses02T1w", "ses01T1w")),
        ("sub-01_ses-01_T1w", "sub-01_ses-01_T2w", ("sub-01_ses-01_xfm", "T2w", "T1w")),
        ("sub-01_T1w", "sub-02_T1w", ("sub-02_xfm", "T1w", "sub01T1w")),
        ("tpl-MNI152NLin_res-1_T1w", "sub-02_ses-1_T1w", ("sub-02_ses-1_xfm", "T1w", "MNI152NLin")),
        ("my_atlas", "sub-02_T1w", ("sub-02_xfm", "T1w", "myatlas")),
        ("sub-01_T1w", "sub-01_run-2_bold", ("sub-01_xfm", "run2bold", "T1w")),
    ],
)
def test_names_of_spaces(fixed, moving, expected):
    name, source, target = between(Path(f"{fixed}.nii.gz"), Path(f"{moving}.nii.gz"))
    assert (str(name), source, target) == expected


def names(pairs):
    return [(pair.fixed.image.name, pair.moving.image.name) for pair in pairs]


def test_later_sessions_onto_the_first(bids):
    assert is_bids(bids)
    data = read_dataset(bids)
    assert (data.name, data.ndim) == ("Toy", 3)
    assert names(data.validation) == [("sub-01_ses-01_T1w.nii.gz", "sub-01_ses-02_T1w.nii.gz")]
    (pair,) = data.validation
    assert pair.id == "sub-01_from-ses02T1w_to-ses01T1w"
    assert pair.fixed.labels.name == "sub-01_ses-01_dseg.nii.gz"
    assert pair.moving.labels is None


def test_other_choices(bids, tmp_path):
    within = read_bids(bids, moving={"suffix": "T2w"})
    assert names(within.validation) == [("sub-01_ses-01_T1w.nii.gz", "sub-01_ses-01_T2w.nii.gz")]
    template = tmp_path / "tpl-Mean_T1w.nii.gz"
    every = read_bids(bids, {"ses": "02"}, template=template)
    assert [moving for _, moving in names(every.validation)] == [
        "sub-01_ses-02_T1w.nii.gz",
        "sub-01_ses-02_acq-fast_T1w.nii.gz",
    ]
    assert every.validation[0].fixed.image == template
    plain = read_bids(bids, {"ses": "02", "acq": ""}, template=template)
    assert names(plain.validation) == [("tpl-Mean_T1w.nii.gz", "sub-01_ses-02_T1w.nii.gz")]


def test_errors(bids, tmp_path):
    with pytest.raises(DatasetError, match=r"no dataset_description\.json"):
        read_bids(tmp_path)
    with pytest.raises(DatasetError, match="no scan with suffix FLAIR, expected one among: T1w, T2w"):
        read_bids(bids, {"suffix": "FLAIR"})
    with pytest.raises(DatasetError, match="no pair among 1 scans with suffix T2w, expected two sessions of a subject"):
        read_bids(bids, {"suffix": "T2w"})
    with pytest.raises(DatasetError, match="expected scans with suffix bold in their session"):
        read_bids(bids, moving={"suffix": "bold"})
    with pytest.raises(DatasetError, match=r"moving scan scan\.nii\.gz: got a name that is not of BIDS"):
        between(Path("sub-01_T1w.nii.gz"), Path("scan.nii.gz"))
