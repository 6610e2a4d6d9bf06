"""A table of paths as a data set: what belongs to each scan, the names of the pairs, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from learngn.errors import DatasetError
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import choose_pairs, read_dataset
from learngn.io.subject import Subject


@pytest.fixture
def folder(tmp_path):
    """Two patients of two scans each, whose files have the same names, and things that belong to them."""
    grid = Grid.from_spacing((4, 4, 4), 1.0)
    for patient in ("p1", "p2"):
        (tmp_path / "scans" / patient).mkdir(parents=True)
        for name in ("pre", "post"):
            path = tmp_path / "scans" / patient / f"{name}.nii.gz"
            Image.from_array(np.zeros(grid.shape, np.float32), grid).save(path)
    for name in ("labels.nii.gz", "mask.nii.gz", "points.csv", "T1.nii.gz", "T2.nii.gz"):
        (tmp_path / name).write_bytes((tmp_path / "scans" / "p1" / "pre.nii.gz").read_bytes())
    return tmp_path


@pytest.fixture
def table(folder):
    def write(text, name="pairs.csv", encoding="utf-8"):
        (folder / name).write_text(text, encoding=encoding)
        return folder / name

    return write


def test_all_columns_in_any_order(folder, table):
    path = table(
        "id,moving,fixed,moving_labels,fixed_mask,fixed_landmarks,moving_landmarks,age\n"
        "visit 1,T2.nii.gz,./T1.nii.gz,labels.nii.gz,mask.nii.gz,points.csv,points.csv,64\n"
        "\n"
        "second,T1.nii.gz,T2.nii.gz,,,,,\n"
    )
    dataset = read_dataset(path)
    first, second = dataset.validation
    assert (dataset.name, dataset.root, dataset.ndim, dict(dataset.label_names)) == ("pairs", folder, 3, {})
    points = folder / "points.csv"
    assert first.fixed == Subject(folder / "T1.nii.gz", mask=folder / "mask.nii.gz", landmarks=points)
    assert first.moving == Subject(folder / "T2.nii.gz", labels=folder / "labels.nii.gz", landmarks=points)
    assert (first.id, first.field_name) == ("visit 1", "disp_visit 1.nii.gz")
    assert second.moving == Subject(folder / "T1.nii.gz")
    for which in ("val", "train", "all"):
        assert choose_pairs(dataset, which) == (first, second)


def test_names_of_scans_name_their_pair(table):
    assert read_dataset(table("fixed,moving\nT1.nii.gz,T2.nii.gz\n")).validation[0].id == "T1_T2"


def test_scans_of_one_name_in_several_folders(table, tmp_path):
    rows = "".join(f"scans/{p}/pre.nii.gz,{tmp_path}/scans/{p}/post.nii.gz\n" for p in ("p1", "p2"))
    pairs = read_dataset(table("fixed,moving\n" + rows)).validation
    assert [pair.id for pair in pairs] == ["p1-pre_p1-post", "p2-pre_p2-post"]


@pytest.mark.parametrize(("mark", "name"), [(";", "pairs.csv"), ("\t", "pairs.tsv"), (", ", "pairs.CSV")])
def test_tables_of_spreadsheets(table, mark, name):
    path = table(f"Fixed{mark}Moving\r\nT1.nii.gz{mark}T2.nii.gz\r\n", name, "utf-8-sig")
    assert [pair.id for pair in read_dataset(path).validation] == ["T1_T2"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "got an empty file"),
        ("fixed,moving\n", "no line but the header"),
        ("fixed,scan\nT1.nii.gz,T2.nii.gz\n", "got no column moving"),
        ("fixed,moving,moving\nT1.nii.gz,T2.nii.gz,\n", "column moving twice"),
        ("fixed,moving,fixed_label\nT1.nii.gz,T2.nii.gz,\n", "'fixed_label', expected 'fixed_labels'"),
        ("fixed,moving,fixed_landmarks\nT1.nii.gz,T2.nii.gz,\n", "fixed_landmarks alone"),
        (
            "fixed,moving,fixed_keypoints,moving_keypoints\nT1.nii.gz,T2.nii.gz,points.csv,\n",
            "line 2: got keypoints of",
        ),
        ("fixed,moving\nT1.nii.gz\n", "line 2: got 1 cells, expected 2"),
        ("fixed,moving\n\nT1.nii.gz,\n", "line 3: got no moving scan"),
        ("fixed,moving\nT1.nii.gz,T9.nii.gz\n", r"line 2: got no file .*T9.nii.gz \(moving\)"),
        ("fixed,moving,moving_mask\nT1.nii.gz,T2.nii.gz,m.nii\n", r"line 2: got no file .*m.nii \(moving_mask\)"),
        ("fixed,moving\nT1.nii.gz,T2.nii.gz\nT1.nii.gz,T2.nii.gz\n", "line 3: got the pair T1_T2 again, as in line 2"),
        ("fixed,moving,id\nT1.nii.gz,T2.nii.gz,a\nT2.nii.gz,T1.nii.gz,A\n", "line 3: got the pair A again"),
        ("fixed,moving,id\nT1.nii.gz,T2.nii.gz,../a\n", "line 2: got the name '../a'"),
        ("fixed,moving,id\nT1.nii.gz,T2.nii.gz,..\n", r"line 2: got the name '\.\.'"),
        (f"fixed,moving,id\nT1.nii.gz,T2.nii.gz,{'a' * 121}\n", "up to 120 characters"),
        ('fixed,moving\n"T1\x00.nii.gz",T2.nii.gz\n', "line 2: got no file"),
    ],
)
def test_what_is_refused(table, text, told):
    with pytest.raises(DatasetError, match=told):
        read_dataset(table(text))


def test_no_such_table(tmp_path):
    with pytest.raises(DatasetError, match="No such file"):
        read_dataset(tmp_path / "pairs.csv")


def test_not_text(tmp_path):
    (tmp_path / "pairs.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="expected a table of pairs"):
        read_dataset(tmp_path / "pairs.csv")


def test_a_choice_among_the_pairs_of_a_table(table):
    dataset = read_dataset(table("fixed,moving\nT1.nii.gz,T2.nii.gz\n"))
    with pytest.raises(DatasetError, match="give this file instead"):
        choose_pairs(dataset, str(Path(dataset.root) / "other.csv"))


def test_a_table_of_paths_given_as_a_choice(tmp_path, abdomen_files):
    path = tmp_path / "paths.csv"
    path.write_text("fixed,moving,fixed_labels\na,b,c\n")
    with pytest.raises(DatasetError, match="table of paths instead of the data set"):
        choose_pairs(read_dataset(abdomen_files), str(path))
