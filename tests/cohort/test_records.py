"""results.jsonl: whole lines, and settings that do not mix."""

import pytest

from learngn.cohort import RECORDS_NAME, read_records
from learngn.cohort.records import check_same_request, write_records
from learngn.errors import DatasetError, SettingsError
from learngn.evaluation import PairScores


def test_there_and_back(tmp_path):
    records = {
        "0002_0001": {"pair": "0002_0001", "dice": {"1": None}},
        "0001_0002": {"pair": "0001_0002", "hd95": "inf"},
    }
    write_records(records, tmp_path)
    assert read_records(tmp_path) == records
    assert list(read_records(tmp_path)) == list(records)
    assert (tmp_path / RECORDS_NAME).read_text().count("\n") == 2


def test_no_file(tmp_path):
    assert read_records(tmp_path) == {}


@pytest.mark.parametrize("line", ["{half", "[1, 2]", '{"dice": 1}', "7"])
def test_line_that_is_no_record(line, tmp_path):
    (tmp_path / RECORDS_NAME).write_text('{"pair": "0001_0002"}\n' + line + "\n")
    with pytest.raises(DatasetError, match="line 2"):
        read_records(tmp_path)


def test_settings_as_json_has_them(tmp_path):
    record = {"pair": "0001_0002", "asked": {"strides": [4.0, 2.0], "update": "additive"}}
    check_same_request(record, {"strides": (4.0, 2.0), "update": "additive"}, tmp_path)
    with pytest.raises(SettingsError, match=r"update additive, expected update published"):
        check_same_request(record, {"strides": (4.0, 2.0), "update": "published"}, tmp_path)


def test_scores_there_and_back():
    nan, inf = float("nan"), float("inf")
    scores = PairScores("a", "b", {1: 0.5, 2: nan}, {1: 0.25}, {1: inf}, folds_percent=0.125)
    again = PairScores.from_json(scores.to_json())
    assert repr(again) == repr(scores)
    assert PairScores.from_json({"fixed": "a", "moving": "b", "error": "gone"}).error == "gone"
