from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from rich.console import Console

from learngn.evaluation.pair_scores import PairScores
from learngn.evaluation.score_csv import csv_rows
from learngn.evaluation.summary import summarise
from learngn.evaluation.tables import render

NAN = float("nan")


@pytest.fixture
def pairs() -> list[PairScores]:
    return [
        PairScores("a", "b", {1: 0.8, 2: 0.6}, {1: 0.5, 2: 0.1}, {1: 2.0, 2: 3.0}, sdlogj=0.06, folds_percent=0.01),
        PairScores("a", "c", {1: 0.7, 2: NAN}, {1: 0.4, 2: NAN}, {1: 4.0, 2: NAN}, sdlogj=0.08, folds_percent=0.0),
        PairScores("b", "c", {1: 0.9}, {1: 0.6}, {1: np.inf}, sdlogj=0.07, folds_percent=0.02),
        PairScores("c", "d", error="displacement: got no file, expected disp_c_d.nii.gz; write it [now]"),
    ]


def test_summary(pairs):
    summary = summarise(pairs, np.random.default_rng(0), names={1: "liver", 2: "spleen"})
    assert summary.means["dice_mean"].mean == pytest.approx((0.7 + 0.7 + 0.9) / 3)
    assert summary.means["dice_mean"].count == 3
    assert summary.means["hd95_mean"].mean == np.inf
    assert "tre" not in summary.means
    assert summary.labels[2]["dice"].mean == 0.6
    assert summary.labels[2]["dice"].count == 1
    assert summary.labels[1]["dice"].mean == pytest.approx(0.8)
    # Quantile .3 of (.7, .7, .9) and .7 of (.06, .08, .07).
    assert summary.case_quantiles["dice_mean"] == pytest.approx(0.7)
    assert summary.case_quantiles["sdlogj"] == pytest.approx(0.074)
    # Four entries: round(1.2) = 1 of them, the one that began at .1.
    assert summary.dice_hardest == 0.6
    assert [pair.moving for pair in summary.failed] == ["d"]
    again = summarise(pairs, np.random.default_rng(0))
    assert again.means["dice_mean"] == summary.means["dice_mean"]


def test_json(pairs):
    document = json.loads(json.dumps(summarise(pairs, np.random.default_rng(0)).to_json(), allow_nan=False))
    assert (document["pairs_scored"], document["pairs_failed"]) == (3, 1)
    assert document["means"]["hd95_mean"]["mean"] == "inf"
    assert document["means"]["hd95_mean"]["low"] is None
    assert document["pairs"][3]["error"].startswith("displacement")
    assert document["pairs"][1]["dice"] == {"1": 0.7, "2": None}
    assert document["labels"]["1"]["dice"]["confidence"] == 0.95


def test_csv(pairs):
    rows = csv_rows(summarise(pairs, np.random.default_rng(0)))
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    read = list(csv.DictReader(io.StringIO(stream.getvalue())))
    assert len(read) == 4
    assert float(read[0]["dice_1"]) == 0.8
    assert float(read[2]["hd95_mean"]) == np.inf
    assert read[1]["dice_2"] == read[2]["dice_2"] == read[3]["dice_mean"] == ""
    assert read[3]["error"].endswith("write it [now]")
    assert "tre" not in read[0]


def test_rendering(pairs):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(summarise(pairs, np.random.default_rng(0), names={1: "liver [left]"})))
    text = console.export_text()
    for expected in (
        "3 of 4 pairs scored",
        "0.7667",
        "HD95 [voxel] ↓",
        "Folds [%]",
        "1 liver [left]",
        "95% interval",
        "[now]",
    ):
        assert expected in text


def test_nothing_scored():
    failed = PairScores("a", "b", error="lost")
    summary = summarise([failed], np.random.default_rng(0))
    assert summary.means == {}
    assert summary.labels == {}
    assert json.dumps(summary.to_json(), allow_nan=False)
    assert csv_rows(summary) == [["fixed", "moving", "error"], ["a", "b", "lost"]]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render(summary))
    assert "lost" in console.export_text()


def test_names_of_pairs():
    """Those of Learn2Reg say less than the names of the scans; all are in the table."""
    numbered, named = PairScores("a", "b", sdlogj=0.1, pair="0001_0002"), PairScores("pre", "post", pair="visit 1")
    assert (numbered.title, named.title) == ("b onto a", "visit 1")
    assert PairScores.from_json(named.to_json()) == named
    rows = csv_rows(summarise([numbered, named], np.random.default_rng(0)))
    assert [row[:3] for row in rows] == [
        ["pair", "fixed", "moving"],
        ["0001_0002", "a", "b"],
        ["visit 1", "pre", "post"],
    ]
