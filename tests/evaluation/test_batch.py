from __future__ import annotations

from pathlib import Path

import pytest

from learngn.errors import DatasetError, TransformError
from learngn.evaluation.batch import find_field, score_all
from learngn.evaluation.pair_scores import PairScores


def scan(subject: int, modality: int = 0) -> Path:
    return Path("imagesTr") / f"Fake_{subject:04d}_{modality:04d}.nii.gz"


@pytest.mark.parametrize(
    ("modalities", "name"),
    [
        ((0, 0), "disp_0001_0002.nii.gz"),
        ((1, 1), "disp_0001_0002.nii.gz"),
        ((0, 1), "disp_0001_0002.npz"),
        ((0, 1), "disp_0001_0000_0002_0001.nii.gz"),
        ((1, 0), "disp_0001_0001_0002_0000.npz"),
    ],
)
def test_names_of_fields(tmp_path, modalities, name):
    (tmp_path / name).touch()
    assert find_field(tmp_path, scan(1, modalities[0]), scan(2, modalities[1])) == tmp_path / name


def test_short_name_and_npz_come_first(tmp_path):
    for name in ("disp_0001_0000_0002_0000.npz", "disp_0001_0002.nii.gz"):
        (tmp_path / name).touch()
    assert find_field(tmp_path, scan(1), scan(2)).name == "disp_0001_0002.nii.gz"
    (tmp_path / "disp_0001_0002.npz").touch()
    assert find_field(tmp_path, scan(1), scan(2)).name == "disp_0001_0002.npz"


def test_short_name_does_not_serve_swapped_modalities(tmp_path):
    (tmp_path / "disp_0001_0002.nii.gz").touch()
    with pytest.raises(DatasetError, match="disp_0001_0001_0002_0000"):
        find_field(tmp_path, scan(1, 1), scan(2, 0))


def test_scans_with_other_names(tmp_path):
    with pytest.raises(DatasetError, match="thorax"):
        find_field(tmp_path, Path("thorax.nii.gz"), scan(2))


def test_a_pair_that_fails_does_not_stop_the_others(tmp_path):
    def wrong_shape() -> PairScores:
        raise TransformError("displacement field", "shape (8, 8, 2)", "(9, 8, 2)", "write it on the fixed grid")

    def missing() -> PairScores:
        find_field(tmp_path, scan(1), scan(3))
        raise AssertionError

    seen = []
    tasks = {
        ("1", "2"): wrong_shape,
        ("1", "3"): missing,
        ("2", "3"): lambda: PairScores("2", "3", {1: 0.5}),
    }
    scored = score_all(tasks, progress=lambda pair, done, total: seen.append((pair.moving, done, total)))
    assert [(pair.fixed, pair.moving) for pair in scored] == list(tasks)
    assert "(9, 8, 2)" in scored[0].error
    assert "disp_0001_0003.nii.gz" in scored[1].error
    assert scored[2].error is None
    assert seen == [("2", 1, 3), ("3", 2, 3), ("3", 3, 3)]


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        score_all({("1", "2"): lambda: PairScores("1", "2", sdlogj=1 / 0)})
