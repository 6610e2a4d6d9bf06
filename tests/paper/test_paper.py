"""The paper's comparison, on one synthetic pair: every method runs, nothing runs twice."""

import json

import pytest

from learngn.errors import DatasetError
from learngn.io import read_dataset
from learngn.paper import PaperEvents, run_paper
from learngn.paper.methods import budgets, paper_methods, truncated
from learngn.settings import Settings


@pytest.mark.slow
def test_table_figure_and_second_call(abdomen_files, tmp_path):
    dataset = read_dataset(abdomen_files)
    done: list[str] = []
    table = run_paper(dataset, tmp_path, steps=1, curve_pairs=1, events=PaperEvents(done.append))
    text = table.read_text()
    methods = paper_methods("distance", dataset, 1, 0)
    assert [f"| {method.title} |" in text for method in methods] == [True] * len(methods)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((tmp_path / "table.json").read_text())["methods"]
    assert found["gauss-newton"]["difference"] == 0
    assert found["adam-25"]["difference"] != 0

    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("disp_*.nii.gz")}
    run_paper(dataset, tmp_path, steps=1, curve_pairs=1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("disp_*.nii.gz")} == written


def test_a_schedule_is_given_up_after_some_iterations():
    settings = Settings("distance", False, strides=(16, 8, 4), iterations=(3, 3, 4))
    assert [truncated(settings, n).iterations for n in (1, 4, 10)] == [(1, 0, 0), (3, 1, 0), (3, 3, 4)]
    assert budgets(settings) == (1, 2, 3, 4, 6, 8, 10)


def test_without_pairs(abdomen_files, tmp_path):
    with pytest.raises(DatasetError, match="registration_val"):
        run_paper(read_dataset(abdomen_files), tmp_path, limit=0)
