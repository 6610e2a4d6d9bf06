"""Tuning: which changes are tried, and which are kept."""

import math
from dataclasses import replace

import numpy as np
import pytest

from learngn.errors import DatasetError, SettingsError
from learngn.io import read_dataset
from learngn.registration import Request, Resolved
from learngn.settings import Settings, read_settings, write_settings
from learngn.workflow import tune as tuning
from learngn.workflow.tune import Trial, best, training_pairs, tune

START = Settings("mind", affine=False, strides=(4, 2), iterations=(4, 4), lam=(8.0, 0.8))


@pytest.fixture
def dataset(abdomen_files):
    return read_dataset(abdomen_files)


@pytest.fixture
def bench(monkeypatch):
    """Stand in for the registrations: an objective of the settings."""

    def make(objective):
        class Bench:
            def __init__(self, pairs, start, most_folds):
                pass

            def run(self, settings):
                return Trial(settings, objective(settings), 0.0, 1.0)

        monkeypatch.setattr(tuning, "_Bench", Bench)
        monkeypatch.setattr(tuning, "training_pairs", lambda *_: [None])
        monkeypatch.setattr(tuning, "read_pair", lambda *_, **__: None)
        monkeypatch.setattr(tuning, "resolve", lambda start, pair: Resolved(start.settings, None, 1.0))

    return make


def test_lambda_is_found(bench):
    """An optimum two decades off in the one λ and one in the other."""

    def objective(s):
        return -0.05 * (math.log(s.lam[0] / 0.5) ** 2 + math.log(s.lam[1] / 0.02) ** 2)

    bench(objective)
    trials = tune(None, Request(settings=START), rounds=8)
    found = best(trials)
    assert trials[0].settings == START
    assert abs(math.log(found.settings.lam[0] / 0.5)) < math.log(1.6)
    assert abs(math.log(found.settings.lam[1] / 0.02)) < math.log(1.6)
    assert all(t.settings.lam[0] >= t.settings.lam[1] for t in trials)


def test_work_must_pay(bench):
    """Twice the iterations for a fifth of a point are not taken, for two points they are."""
    bench(lambda s: 5e-4 * s.iterations[0])
    assert best(tune(None, Request(settings=START), rounds=1)).settings.iterations == START.iterations
    bench(lambda s: 5e-3 * s.iterations[0])
    assert best(tune(None, Request(settings=START), rounds=1)).settings.iterations == (8, 8)


def test_a_level_that_gains_nothing_goes(bench):
    bench(lambda s: 0.5)
    found = best(tune(None, Request(settings=replace(START, strides=(8, 4, 2), iterations=(4, 4, 4))), rounds=1))
    assert found.settings.strides == (8, 4)
    # λ of the levels that stay is what it was.
    assert found.settings.levels()[1].lam == pytest.approx(math.sqrt(8.0 * 0.8))


def test_a_finer_level_keeps_lambda_of_the_others(bench):
    bench(lambda s: -s.strides[-1])
    found = best(
        tune(None, Request(settings=replace(START, strides=(8, 4, 2), iterations=(4, 4, 4))), rounds=1)
    ).settings
    assert found.strides == (8, 4, 2, 1)
    lam = [level.lam for level in found.levels()]
    assert lam[:3] == pytest.approx([8.0, math.sqrt(8.0 * 0.8), 0.8])
    assert lam[3] == pytest.approx(0.8 / math.sqrt(10))


def test_real_search(dataset):
    """Two registrations a trial: what is found is no worse than the start, and says so."""
    start = Request(settings=Settings("distance", affine=False, strides=(8, 4), iterations=(2, 2), lam=(300.0, 300.0)))
    told = []
    trials = tune(dataset, start, pairs=2, rounds=1, callback=lambda trial, is_best: told.append(is_best))
    assert len(told) == len(trials) > 5
    assert told[0]
    found = best(trials)
    assert found.objective > trials[0].objective + 0.01
    assert found.settings.lam[1] < 300
    again = tune(dataset, start, pairs=2, rounds=1)
    assert [(t.settings, t.objective) for t in again] == [(t.settings, t.objective) for t in trials]


def test_pairs_are_of_training_subjects(dataset):
    rng = np.random.default_rng(0)
    pairs = training_pairs(dataset, 7, rng)
    subjects = set(dataset.training)
    assert len({pair.id for pair in pairs}) == 7
    assert all(pair.fixed in subjects and pair.moving in subjects and pair.fixed != pair.moving for pair in pairs)
    with pytest.raises(DatasetError, match="1 training subjects with labels or landmarks, expected two at least"):
        training_pairs(replace(dataset, training=dataset.training[:1]), 7, rng)


def test_settings_survive_their_file(tmp_path):
    settings = replace(START, symmetric=True, robust="huber:0.5", overlap=True)
    write_settings(settings, tmp_path / "s.json")
    assert read_settings(tmp_path / "s.json") == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "text that is no JSON"),
        ("affine = true", "the name of a TOML file must end with .toml"),
        ("[1]", "got a list, expected keys and values"),
        ('{"features": "mind", "affine": true, "lambda": 1}', "unknown key lambda"),
        ('{"affine": true}', "no features"),
        ('{"features": "mind", "affine": true, "lam": ["a", 1]}', "lam.0: got 'a'"),
        ('{"features": "mind", "affine": true, "strides": [2, 4], "iterations": [1, 1]}', "falling strides"),
    ],
)
def test_settings_that_are_none(tmp_path, text, message):
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_settings(path)


def test_settings_in_toml(tmp_path):
    """The same keys as in JSON; comments are allowed."""
    path = tmp_path / "s.TOML"
    path.write_text('features = "mind"  # any similarity\naffine = "rigid"\nlam = [3, 0.3]\nrobust = "huber:0.5"\n')
    assert read_settings(path) == Settings("mind", "rigid", lam=(3, 0.3), robust="huber:0.5")
    path.write_text('features = "mind\n')
    with pytest.raises(SettingsError, match=r"text that is no TOML .*line 1.*correct it$"):
        read_settings(path)
    path.write_text('features = "mind"\naffine = true\nlambda = 1\n')
    with pytest.raises(SettingsError, match="unknown key lambda"):
        read_settings(path)


def test_pairs_of_a_table(abdomen_files, tmp_path):
    """Those whose scans both have labels, as the others cannot be scored."""
    scans, labels = (sorted((abdomen_files.parent / folder).iterdir()) for folder in ("imagesTr", "labelsTr"))
    rows = [
        (scans[0], scans[1], labels[0], labels[1]),
        (scans[1], scans[2], labels[1], ""),
        (*scans[2:4], *labels[2:4]),
    ]
    path = tmp_path / "pairs.csv"
    path.write_text(
        "\n".join(",".join(map(str, row)) for row in [("fixed", "moving", "fixed_labels", "moving_labels"), *rows])
    )
    table = read_dataset(path)
    assert training_pairs(table, 8, np.random.default_rng(0)) == [table.validation[0], table.validation[2]]
    path.write_text(f"fixed,moving\n{scans[0]},{scans[1]}\n")
    with pytest.raises(DatasetError, match="no pair with labels or landmarks of both scans"):
        training_pairs(read_dataset(path), 8, np.random.default_rng(0))
