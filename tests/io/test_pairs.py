"""Which pairs of a data set are meant."""

from dataclasses import replace

import pytest

from learngn.errors import DatasetError
from learngn.io import choose_pairs, read_dataset, subjects


@pytest.fixture
def dataset(abdomen_files):
    """Five training subjects, 1 to 5, and the validation pair of 6 and 7."""
    return read_dataset(abdomen_files)


def names(pairs):
    return [pair.id for pair in pairs]


def test_by_name(dataset):
    assert names(choose_pairs(dataset, "val")) == ["0006_0007"]
    train = names(choose_pairs(dataset, "train"))
    assert len(train) == len(set(train)) == 10
    assert train[:5] == ["0001_0002", "0001_0003", "0001_0004", "0001_0005", "0002_0003"]
    assert names(choose_pairs(dataset, "all")) == ["0006_0007", *train]
    assert len(subjects(choose_pairs(dataset, "all"))) == 7


def test_pairs_that_the_data_set_names(dataset):
    first, second, *_ = choose_pairs(dataset, "train")
    paired = replace(dataset, training_pairs=(second,), test=(first,))
    assert names(choose_pairs(paired, "train")) == ["0001_0003"]
    assert names(choose_pairs(paired, "all")) == ["0006_0007", "0001_0003"]
    assert names(choose_pairs(paired, "test")) == ["0001_0002"]
    with pytest.raises(DatasetError, match="no pair of 'test' whose scans are there"):
        choose_pairs(dataset, "test")


@pytest.mark.parametrize("start", ["fixed,moving\n", "\ufefffixed, moving\r\n"])
def test_of_a_file(dataset, tmp_path, start):
    path = tmp_path / "pairs.csv"
    path.write_text(start + "7,0001\n\nToy_0002_0000.nii.gz, ./imagesTr/Toy_0006_0000.nii.gz\n", encoding="utf-8")
    pairs = choose_pairs(dataset, str(path))
    assert names(pairs) == ["0007_0001", "0002_0006"]
    assert all(subject.labels.is_file() for subject in subjects(pairs))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected fixed,moving"),
        ("7,1\n", "expected fixed,moving"),
        ("fixed,moving\n", "no line but the header"),
        ("fixed,moving\n7,1\n7,99\n", "line 3: got no file"),
        ("fixed,moving\n7\n", "line 2: got 1 cells"),
        ("fixed,moving\nnothing.nii.gz,1\n", "line 2: got no file .*nothing.nii.gz"),
    ],
)
def test_bad_files(dataset, tmp_path, text, told):
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=told):
        choose_pairs(dataset, str(path))


def test_neither_a_name_nor_a_file(dataset):
    with pytest.raises(DatasetError, match=r"pairs validation: .*expected val, train, all, test, or a CSV file"):
        choose_pairs(dataset, "validation")
