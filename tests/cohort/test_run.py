"""A cohort in this process: what is missing is done, nothing twice, one run at a time."""

import json
import threading
from dataclasses import replace

import nibabel
import numpy as np
import pytest

import learngn.cohort.pair as work
from learngn.cohort import CohortEvents, Failure, Serial, open_pool, read_records, run_cohort
from learngn.cohort.locks import exclusive_folder
from learngn.errors import ClusterError, DatasetError, LearnGNError, OutputError, SettingsError
from learngn.io import choose_pairs, read_dataset
from learngn.registration import Guidance


def test_features_of_a_subject_once(pairs, settings, tmp_path, undisturbed, contents):
    counted = []
    run_cohort(pairs, tmp_path, settings, CohortEvents(ends=lambda *counts: counted.append(counts)))
    assert counted == [(5, 10)]
    assert contents(tmp_path) == contents(undisturbed)
    run_cohort(pairs, tmp_path, settings, CohortEvents(ends=lambda *counts: counted.append(counts)))
    assert counted[1:] == [(0, 0)]


def test_displacements_are_rounded(pairs, undisturbed):
    """In voxels, so that the step [voxel] is 1/128 mm or less."""
    steps = 1024 * np.asarray(nibabel.load(undisturbed / pairs[0].field_name).dataobj)
    assert steps.any()
    np.testing.assert_array_equal(steps, np.rint(steps))


def test_subjects_of_one_pair_are_not_kept(pairs, settings, tmp_path):
    counted = []
    run_cohort(pairs[:1], tmp_path, settings, CohortEvents(ends=lambda *counts: counted.append(counts)))
    assert counted == [(0, 1)]


def test_scratch_folder_is_left_empty(pairs, settings, tmp_path, undisturbed, contents):
    seen = []
    watch = CohortEvents(done=lambda record: seen.extend((tmp_path / "scratch").rglob("*.features")))
    run_cohort(pairs[:3], tmp_path / "out", settings, watch, scratch=tmp_path / "scratch")
    assert seen
    assert list((tmp_path / "scratch").iterdir()) == []
    name = pairs[2].field_name
    assert contents(tmp_path / "out")[name] == contents(undisturbed)[name]


def test_bug_in_one_pair(pairs, settings, tmp_path, monkeypatch):
    """What is nobody's fault but ours stops one pair, not the others, and leaves its traceback."""
    register, calls = work.register_pair, []

    def fail(pair, request, **kwargs):
        calls.append(pair)
        if len(calls) in (2, 3):
            raise ZeroDivisionError("by  zero")
        return register(pair, request, **kwargs)

    monkeypatch.setattr(work, "register_pair", fail)
    records = run_cohort(pairs[:3], tmp_path, settings, retries=1)
    assert [record.get("error") for record in records] == [None, "ZeroDivisionError: by zero", None]
    assert "in fail" in records[1]["traceback"]
    assert len(calls) == 4  # the second pair twice
    calls.clear()
    calls.append(None)
    assert "error" not in run_cohort(pairs[:3], tmp_path, settings, retries=2)[1]
    assert len(calls) == 4  # the failed pair alone, three times


def test_on_a_device(pairs, settings, tmp_path, undisturbed, monkeypatch):
    """Tensors on the CPU, taken for a GPU; results of a device that was named are not mixed with others."""
    monkeypatch.setattr("learngn.registration.placing.chosen_device", lambda name: "cpu:0")
    found = run_cohort(pairs[:2], tmp_path, settings, device="cuda")
    for record, expected in zip(found, read_records(undisturbed).values(), strict=False):
        assert record["dice_mean"] == pytest.approx(expected["dice_mean"], abs=0.001)
    with pytest.raises(SettingsError, match="device cuda, expected device by default"):
        run_cohort(pairs[:2], tmp_path, settings)


def test_a_device_that_is_not_named_may_change(pairs, settings, tmp_path, monkeypatch):
    first = run_cohort(pairs[:1], tmp_path, settings)
    monkeypatch.setattr("learngn.registration.placing.chosen_device", lambda name: "cpu:0")
    again = run_cohort(pairs[:2], tmp_path, settings)[0]  # read from its file, where tuples are lists
    assert again == json.loads(json.dumps(first[0]))


@pytest.mark.gpu
def test_on_a_gpu(pairs, settings, tmp_path, undisturbed):
    found = run_cohort(pairs[:2], tmp_path, settings, device="cuda")
    for record, expected in zip(found, read_records(undisturbed).values(), strict=False):
        assert record["dice_mean"] == pytest.approx(expected["dice_mean"], abs=0.01)


def test_one_run_at_a_time(pairs, settings, tmp_path):
    with (
        exclusive_folder(tmp_path, ".learngn-cohort.lock"),
        pytest.raises(OutputError, match="another run that is writing there"),
    ):
        run_cohort(pairs[:1], tmp_path, settings)
    assert not (tmp_path / "results.jsonl").exists()
    run_cohort(pairs[:1], tmp_path, settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == [pairs[0].field_name, "results.jsonl"]


def test_lock_is_never_held_by_two(tmp_path):
    """Hundreds of tries at once, each of which removes the file that the next one locks."""
    inside, most, held = [], [], []

    def hold():
        for _ in range(100):
            try:
                with exclusive_folder(tmp_path, "lock"):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
                    held.append(1)
            except OutputError:
                pass

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(held) > 8
    assert list(tmp_path.iterdir()) == []


def test_done_by_a_worker_whose_client_was_killed(pairs, settings, tmp_path, undisturbed, contents, monkeypatch):
    """Its displacement and its record lie there, and nobody has written them into results.jsonl."""
    name = pairs[0].id
    task = work.PairWork(tmp_path, tmp_path / ".learngn-cohort" / "records", settings, Guidance())
    task(pairs[0], None)
    assert read_records(tmp_path) == {}
    assert task(pairs[0], None)["pair"] == name  # whoever comes second finds it
    monkeypatch.setattr(work, "register_pair", None)
    assert run_cohort(pairs[:1], tmp_path, settings)[0]["pair"] == name
    assert sorted(path.name for path in tmp_path.iterdir()) == [pairs[0].field_name, "results.jsonl"]
    assert contents(tmp_path)[pairs[0].field_name] == contents(undisturbed)[pairs[0].field_name]


def test_half_written_files_of_a_killed_run_are_removed(pairs, settings, tmp_path):
    (tmp_path / ".learngn-abc").mkdir()
    (tmp_path / ".learngn-abc" / pairs[0].field_name).write_text("half")
    run_cohort(pairs[:1], tmp_path, settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == [pairs[0].field_name, "results.jsonl"]


def test_other_settings_do_not_mix(pairs, settings, tmp_path):
    run_cohort(pairs[:1], tmp_path, settings)
    record = json.loads((tmp_path / "results.jsonl").read_text())
    assert run_cohort(pairs[:1], tmp_path, settings) == [record]
    with pytest.raises(SettingsError, match="regulariser diffusion, expected regulariser curvature"):
        run_cohort(pairs[:1], tmp_path, replace(settings, changes={"regulariser": "curvature"}))
    with pytest.raises(SettingsError, match="guidance by default"):
        run_cohort(pairs[:1], tmp_path, settings, guidance=Guidance(masks=True))


def test_two_pairs_of_one_name(pairs, settings, tmp_path):
    with pytest.raises(DatasetError, match="2 pairs of this name"):
        run_cohort([pairs[0], pairs[0]], tmp_path, settings)


def test_fixed_scan_that_cannot_be_read(copied, settings, tmp_path):
    pairs = choose_pairs(read_dataset(copied), "train")
    pairs[0].fixed.image.write_text("no scan")
    records = run_cohort(pairs, tmp_path / "out", settings)
    assert sum("error" in record for record in records) == 4
    assert pairs[0].fixed.image.name in records[0]["error"]


def test_failures_one_by_one():
    def fail():
        raise LearnGNError("a", "b", "c", "d")

    found = dict(Serial().run({"good": lambda: 7, "bad": fail}, retries=0))
    assert found == {"good": 7, "bad": Failure("a: got b, expected c; d")}


def test_no_dask(monkeypatch):
    monkeypatch.setattr("learngn.errors.find_spec", lambda name: None)
    for options in ({"workers": 2}, {"scheduler": "tcp://127.0.0.1:1"}, {"cluster": "slurm"}):
        with pytest.raises(ClusterError, match=r"no package distributed.*pip install 'learngn\[cohort\]'"):
            open_pool(**options).__enter__()
    for few in (0, 1):
        with open_pool(few) as pool:
            assert pool == Serial()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"scheduler": "tcp://127.0.0.1:1"}, "no answer"),
        ({"scheduler": "nonsense://x"}, "no answer"),
        ({"cluster": "slurm"}, "no command sbatch"),
        ({"cluster": "pbs"}, "expected slurm"),
        ({"cluster": "slurm", "scheduler": "tcp://127.0.0.1:1"}, "expected one of them"),
    ],
)
def test_workers_that_are_not_there(options, told, monkeypatch):
    monkeypatch.setattr("learngn.cohort.cluster._TIMEOUT", 1)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClusterError, match=told):
        open_pool(**options).__enter__()


def test_uncertainty_of_every_pair(pairs, settings, tmp_path, undisturbed, contents):
    request = replace(settings, changes={**settings.changes, "uncertainty": True})
    records = run_cohort(pairs[:2], tmp_path, request)
    for pair, record in zip(pairs, records, strict=False):
        assert record["uncertainty"]["median"] > 0
        assert (tmp_path / f"uncertainty_{pair.id}.nii.gz").is_file()
        assert (tmp_path / f"uncertainty_{pair.id}_axis.nii.gz").is_file()
        assert contents(tmp_path)[pair.field_name] == contents(undisturbed)[pair.field_name]
