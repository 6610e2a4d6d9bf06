"""What a cohort keeps of each pair: with the registration, or later from its displacement; all of it or none."""

import json
from dataclasses import replace

import numpy as np
import pytest

import learngn.cohort.pair as work
from learngn.cohort import CohortEvents, Saving, open_pool, read_records, run_cohort
from learngn.cohort.saving import KINDS
from learngn.errors import DatasetError, OutputError, SettingsError
from learngn.io import read_image, read_learn2reg, read_transform
from learngn.results import page_of

IMAGES = {"warped.nii.gz", "warped_labels.nii.gz", "displacement.nii.gz"}
ALL = IMAGES | {"metrics.json", "report.html"}


@pytest.fixture
def files(tmp_path, pairs):
    """Names of the files of the first pair."""
    return lambda: {path.name for path in (tmp_path / "pairs" / pairs[0].id).glob("*")}


@pytest.fixture
def no_registration(monkeypatch):
    monkeypatch.setattr(work, "register_pair", None)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_everything_of_a_pair(pairs, settings, tmp_path, files, undisturbed, contents):
    [record] = run_cohort(pairs[:1], tmp_path, settings, saving=Saving(KINDS, {1: "liver"}))
    folder = tmp_path / "pairs" / pairs[0].id
    assert files() == ALL
    assert {path.name for path in tmp_path.iterdir()} == {pairs[0].field_name, "results.jsonl", "pairs"}
    fixed, moving = (read_image(side.image, labels=True) for side in (pairs[0].fixed, pairs[0].moving))
    transform = read_transform(folder / "displacement.nii.gz")
    points = fixed.grid.index_to_world(np.random.default_rng(0).uniform(4, 36, (50, 2)))
    by_voxels = read_learn2reg(tmp_path / pairs[0].field_name, fixed.grid, moving.grid)
    np.testing.assert_allclose(transform.map_points(points), by_voxels.map_points(points), atol=0.02)
    expected = np.asarray(transform.warp(moving, fixed.grid).data)
    for name in ("warped.nii.gz", "warped_labels.nii.gz"):
        assert np.mean(np.asarray(read_image(folder / name, labels=True).data) != expected) < 0.01
    metrics = metrics_of(folder)
    assert metrics["dice_mean"] == record["dice_mean"]
    assert metrics["inputs"]["moving_labels"]["path"] == str(pairs[0].moving.labels.resolve())
    assert metrics["label_names"] == {"1": "liver"}
    assert len(metrics["history"]) > 1
    assert "Convergence" in (folder / "report.html").read_text(encoding="utf-8")
    assert contents(undisturbed)[pairs[0].field_name] == contents_of(tmp_path, contents)[pairs[0].field_name]


def contents_of(directory, contents):
    (directory / "pairs").rename(directory.parent / f"{directory.name}-pairs")
    return contents(directory)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("warped", {"warped.nii.gz"}),
        ("labels", {"warped_labels.nii.gz"}),
        ("itk", {"displacement.nii.gz"}),
        ("report", {"metrics.json", "report.html"}),
    ],
)
def test_each_kind_alone_at_once_and_later(pairs, settings, tmp_path, files, monkeypatch, kind, names):
    run_cohort(pairs[:1], tmp_path, settings, saving=Saving((kind,)))
    assert files() == names
    first = {name: (tmp_path / "pairs" / pairs[0].id / name).read_bytes() for name in names}
    before = read_records(tmp_path)
    for name in names:
        (tmp_path / "pairs" / pairs[0].id / name).unlink()
    monkeypatch.setattr(work, "register_pair", None)
    counted = []
    run_cohort(pairs[:1], tmp_path, settings, CohortEvents(ends=lambda *c: counted.append(c)), saving=Saving((kind,)))
    assert counted == [(0, 0)]
    assert files() == names
    assert read_records(tmp_path) == before
    if kind == "report":
        page = (tmp_path / "pairs" / pairs[0].id / "report.html").read_text(encoding="utf-8")
        assert "Not shown" not in page
        assert 'id="payload"' in page
        assert metrics_of(tmp_path / "pairs" / pairs[0].id)["history"] == []
    else:
        [name] = names
        again = (tmp_path / "pairs" / pairs[0].id / name).read_bytes()
        assert abs(len(again) - len(first[name])) < 0.02 * len(again) + 50


def test_more_is_added_and_nothing_written_twice(pairs, settings, tmp_path, files, no_registration, undisturbed):
    for path in undisturbed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    run_cohort(pairs[:1], tmp_path, settings, saving=Saving(("warped",)))
    written = (tmp_path / "pairs" / pairs[0].id / "warped.nii.gz").stat().st_mtime_ns
    run_cohort(pairs[:1], tmp_path, settings, saving=Saving(KINDS))
    assert files() == ALL
    run_cohort(pairs[:1], tmp_path, settings, saving=Saving(KINDS))
    run_cohort(pairs[:1], tmp_path, settings)  # nothing is taken away
    assert files() == ALL
    assert (tmp_path / "pairs" / pairs[0].id / "warped.nii.gz").stat().st_mtime_ns == written


def test_registered_again_without_saving(pairs, settings, tmp_path, files):
    """Files of the earlier registration must not stay beside the new displacement."""
    run_cohort(pairs[:1], tmp_path, settings, saving=Saving(KINDS))
    (tmp_path / pairs[0].field_name).unlink()
    run_cohort(pairs[:1], tmp_path, settings)
    assert not (tmp_path / "pairs").exists()


def test_killed_while_saving(pairs, settings, tmp_path, files, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("learngn.report.pair.page_of_registration", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_cohort(pairs[:1], tmp_path, settings, saving=Saving(KINDS))
    assert files() == set()
    assert read_records(tmp_path) == {}
    run_cohort(pairs[:1], tmp_path, settings, saving=Saving(KINDS))
    assert files() == ALL


def test_a_scan_that_is_gone_costs_no_record(copied, settings, tmp_path, monkeypatch):
    from learngn.io import choose_pairs, read_dataset

    pairs, out = choose_pairs(read_dataset(copied), "train")[:2], tmp_path / "out"
    run_cohort(pairs, out, settings)
    before = (out / "results.jsonl").read_bytes()
    pairs[1].moving.image.write_text("no scan")
    with pytest.raises(OutputError, match=rf"files of 1 registered pair: got .*{pairs[1].id}.*--save"):
        run_cohort(pairs, out, settings, saving=Saving(("warped",)))
    assert (out / "results.jsonl").read_bytes() == before
    assert (out / "pairs" / pairs[0].id / "warped.nii.gz").is_file()


@pytest.mark.slow
def test_workers_save_and_complete(pairs, settings, tmp_path, files):
    with open_pool(workers=2) as pool:
        run_cohort(pairs[:2], tmp_path, settings, saving=Saving(("warped",)), pool=pool)
        assert files() == {"warped.nii.gz"}
        run_cohort(pairs[:2], tmp_path, settings, saving=Saving(KINDS), pool=pool)
    assert files() == ALL


def test_a_pair_without_labels(pairs, settings, tmp_path, files):
    bare = replace(pairs[0], moving=replace(pairs[0].moving, labels=None))
    with pytest.raises(SettingsError, match="no moving scan with a label map"):
        run_cohort([bare], tmp_path / "out", settings, saving=Saving(("labels",)))
    assert not (tmp_path / "out").exists()
    mixed = [bare, pairs[1]]
    run_cohort(mixed, tmp_path, settings, saving=Saving(("labels", "itk")))
    assert files() == {"displacement.nii.gz"}
    assert (tmp_path / "pairs" / pairs[1].id / "warped_labels.nii.gz").is_file()


def test_other_scans_of_the_same_name(pairs, settings, tmp_path):
    run_cohort([replace(pairs[0], name="visit")], tmp_path, settings)
    with pytest.raises(DatasetError, match=r"results of pair visit .* give the pair another id"):
        run_cohort([replace(pairs[1], name="visit")], tmp_path, settings)


def test_kinds_in_text():
    assert Saving.of(" warped, report ").kinds == ("warped", "report")
    assert Saving.of("") == Saving()
    with pytest.raises(SettingsError, match="got 'wraped', expected some of warped,labels,itk,report"):
        Saving.of("wraped")


def test_inputs_are_not_replaced(pairs, settings, tmp_path):
    folder = tmp_path / "pairs" / pairs[0].id
    folder.mkdir(parents=True)
    own = folder / "warped.nii.gz"
    own.write_bytes(pairs[0].moving.image.read_bytes())
    chained = replace(pairs[0], moving=replace(pairs[0].moving, image=own), name=pairs[0].id)
    with pytest.raises(OutputError, match=r"the moving warped\.nii\.gz itself in it"):
        run_cohort([chained], tmp_path, settings, saving=Saving(("warped",)))


def test_page_of_a_pair(pairs, tmp_path):
    assert page_of(tmp_path, pairs[0]) is None
    folder = tmp_path / "pairs" / pairs[0].id
    folder.mkdir(parents=True)
    (folder / "report.html").touch()
    assert page_of(tmp_path, pairs[0]) == f"pairs/{pairs[0].id}/report.html"
