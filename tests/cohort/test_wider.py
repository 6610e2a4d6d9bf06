"""Doubtful pairs are registered again by wider searches: the better result is kept, and what was tried recorded."""

import json
from dataclasses import replace

import numpy as np
import pytest

import learngn.cohort.pair as work
from learngn.cohort import read_records, run_cohort
from learngn.cohort.wider import is_doubtful, widened
from learngn.errors import FeatureError, SettingsError
from learngn.geometry.grid import Grid
from learngn.io import Pair, Subject
from learngn.phantom import abdomens
from learngn.quality import Reason, Verdict
from learngn.registration import Request

STEPS = ("--strides", "8", "--iterations", "1", "--lambda", "3", "--threads", "1")


def verdict(doubt):
    status = "ok" if doubt < 1 else "check" if doubt < 2 else "failed"
    reasons = () if status == "ok" else (Reason("turned", "it is mirrored"),)
    return Verdict(status, reasons, {}, False, doubt, {"kind": "other"})


def as_json(values):
    return json.loads(json.dumps(values))


@pytest.fixture
def judged(monkeypatch):
    """Registers with the verdicts of given doubts, one after the other; returns the changes that each was asked for."""
    register = work.register_pair

    def of(doubts):
        asked, left = [], list(doubts)

        def with_verdict(pair, request, **others):
            asked.append(dict(request.changes))
            doubt = left.pop(0)
            if doubt is None:
                raise FeatureError("features", "what does not suit", "what does", "choose others")
            return replace(register(pair, request, **others), verdict=verdict(doubt))

        monkeypatch.setattr(work, "register_pair", with_verdict)
        return asked

    return of


@pytest.mark.parametrize(("doubts", "kept", "searches"), [
    ((3.0, 1.5, 0.5), 2, 3),
    ((3.0, 0.5), 1, 2),  # beyond doubt: no further search
    ((3.0, 4.0, 3.5), 0, 3),
    ((1.5, None, 0.2), 2, 3),
])  # fmt: skip
def test_the_result_with_the_least_doubt_is_kept(pairs, settings, tmp_path, judged, doubts, kept, searches):
    judged(doubts)
    [record] = run_cohort(pairs[:1], tmp_path, settings, retry=True)
    assert record["searches"]["kept"] == kept
    tried = record["searches"]["tried"]
    assert [attempt.get("doubt") for attempt in tried] == list(doubts)
    assert len(tried) == searches
    assert ("error" in tried[1]) == (doubts[1] is None)
    assert record["verdict"] == verdict(doubts[kept]).status
    assert record["fit"]["doubt"] == doubts[kept]
    used = {name: record["settings"][name] for name in tried[kept]["changes"]}
    assert as_json(used) == as_json(tried[kept]["changes"])
    assert read_records(tmp_path)[record["pair"]] == as_json(record)


def test_displacement_of_the_kept_result_is_written(pairs, settings, tmp_path, judged, contents):
    judged((3.0, 4.0, 2.5))
    [record] = run_cohort(pairs[:1], tmp_path / "a", settings, retry=True)
    judged((0.0,))
    direct = replace(settings, changes=record["searches"]["tried"][2]["changes"])
    run_cohort(pairs[:1], tmp_path / "b", direct)
    name = pairs[0].field_name
    assert contents(tmp_path / "a")[name] == contents(tmp_path / "b")[name]


def test_second_search_goes_on_from_a_better_position_alone(pairs, settings, tmp_path, judged):
    asked = judged((3.0, 2.5, 2.4, 3.0, 3.5, 2.4))
    run_cohort(pairs[:2], tmp_path, settings, retry=True)
    position, smooth = {"affine": "rigid", "overlap": True}, {"lam": (12.0, 2.0)}
    assert asked == [{}, position, {**position, **smooth}, {}, position, smooth]


def test_values_that_were_asked_for_are_not_changed(pairs, settings, tmp_path, judged):
    asked = judged((3.0, 3.0, 3.0))
    run_cohort(pairs[:1], tmp_path, replace(settings, changes={"affine": "none", "lam": (1.0, 1.0)}), retry=True)
    assert [changes.get("affine") for changes in asked] == ["none", "none"]
    assert asked[1]["overlap"]
    assert all(changes["lam"] == (1.0, 1.0) for changes in asked)


def test_a_good_pair_is_registered_once(pairs, settings, tmp_path, judged):
    asked = judged((0.3,))
    [record] = run_cohort(pairs[:1], tmp_path, settings, retry=True)
    assert asked == [{}]
    assert "searches" not in record
    assert record["verdict"] == "ok"


def test_doubtful_pairs_of_an_earlier_run_are_tried_again_once(pairs, settings, tmp_path, judged):
    judged((3.0, 0.3))
    first = run_cohort(pairs[:2], tmp_path, settings)
    assert [is_doubtful(record) for record in first] == [True, False]
    asked = judged((3.0, 0.5))
    found = run_cohort(pairs[:2], tmp_path, settings, retry=True)
    assert [record["verdict"] for record in found] == ["ok", "ok"]
    assert len(asked) == 2
    assert as_json(found[1]) == as_json(first[1])
    assert as_json(run_cohort(pairs[:2], tmp_path, settings, retry=True)) == as_json(found)
    with pytest.raises(SettingsError, match="name another output folder"):
        run_cohort(pairs[:2], tmp_path, replace(settings, changes={"lam": (1.0, 1.0)}), retry=True)


def test_features_that_can_be_searched_are(pairs, settings, judged):
    """Intensities: large displacements are searched for; λ of a model is its own."""
    request = Request("intensity", changes={"strides": (8.0,), "iterations": (1,), "affine": "none"})
    pair, asked = work.read_pair(pairs[0], label_maps=False), []

    def register(wider, clock):
        asked.append(dict(wider.changes))
        return first

    first = replace(work.register_pair(pair, request), verdict=verdict(3.0))
    widened(first, request, register)
    assert asked[-1]["discrete"]
    assert asked[-1]["lam"] == tuple(4 * value for value in first.settings.lam)
    widened(first, request, register, learned=True)
    assert asked[-1]["discrete"]
    assert "lam" not in asked[-1]


@pytest.mark.parametrize(("doubts", "options", "status"), [
    ((3.0, 0.1), ("--strict",), 3),
    ((3.0, 0.1), (), 0),
    ((1.5, 0.1), ("--strict",), 0),
    ((3.0, 0.4, 0.1), ("--strict", "--retry"), 0),
    ((None, 3.0), ("--strict", "--retries", "0"), 2),
])  # fmt: skip
def test_status(learngn, abdomen_files, tmp_path, judged, doubts, options, status):
    judged(doubts)
    options = (*options, "--pairs", "train", "--limit", "2", "--features", "organ-distance", "--no-report")
    result = learngn("cohort", abdomen_files, "-o", tmp_path, *options, *STEPS)
    assert result.exit_code == status
    if doubts[0] == 3.0 and "--retry" not in options:
        assert "Verdicts: 1 failed, 1 ok" in result.stdout
        assert "failed: it is mirrored" in " ".join(result.stdout.split())
    if "--retry" in options:
        assert "wider searches improved 1 pair" in result.stdout


@pytest.mark.parametrize("option", ["--strict", "--retry"])
def test_nothing_is_judged(learngn, abdomen_files, tmp_path, option):
    result = learngn("cohort", abdomen_files, "-o", tmp_path, option, "--no-quality")
    assert result.exit_code == 2
    assert f"{option} and --no-quality" in result.stderr


def test_verdicts_are_among_the_scores(learngn, abdomen_files, tmp_path, judged):
    judged((3.0, 0.1))
    options = ("--pairs", "train", "--limit", "2", "--features", "organ-distance", "--no-report", *STEPS)
    listed = json.loads(learngn("cohort", abdomen_files, "-o", tmp_path / "out", "--json", *options).stdout)
    assert listed["verdicts"] == {"failed": 1, "check": 0, "ok": 1}
    assert listed["pairs"][0]["reasons"] == ["it is mirrored"]
    scored = learngn(
        "evaluate",
        abdomen_files,
        "--fields",
        tmp_path / "out",
        "--pairs",
        "train",
        "--csv",
        tmp_path / "s.csv",
        "--json",
    )
    assert [pair.get("verdict") for pair in json.loads(scored.stdout)["pairs"][:3]] == ["failed", "ok", None]
    head, first = (tmp_path / "s.csv").read_text().splitlines()[:2]
    assert head.startswith("pair,fixed,moving,verdict,reasons,")
    assert ",failed,it is mirrored," in first


def test_turned_label_map_is_found(tmp_path):
    """Label maps are not aligned linearly by default; one whose header turns it by 70° needs that."""
    fixed, moving = (made.labels for made in abdomens(2, (48, 40, 32), seed=4))
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(1.2), -np.sin(1.2)], [np.sin(1.2), np.cos(1.2)]]
    paths = []
    for number, (labels, matrix) in enumerate(((fixed, np.eye(4)), (moving, turn)), start=1):
        paths.append(tmp_path / f"Toy_{number:04d}_0000.nii.gz")
        replace(labels, grid=Grid(labels.grid.shape, matrix @ labels.grid.affine)).save(paths[-1])
    pair = [Pair(*(Subject(path, path) for path in paths))]
    request = Request(changes={"strides": (8.0, 4.0), "iterations": (4, 4)})
    [alone] = run_cohort(pair, tmp_path / "alone", request)
    [found] = run_cohort(pair, tmp_path / "found", request, retry=True)
    assert alone["verdict"] == "failed"
    assert found["verdict"] != "failed"
    assert found["searches"]["kept"] > 0
    assert found["dice_mean"] > alone["dice_mean"] + 0.05
