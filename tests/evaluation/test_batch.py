from __future__ import annotations

from pathlib import Path

import pytest

from learngn.errors import DatasetError, TransformError
from learngn.evaluation.batch import find_field, score_all
from learngn.evaluation.pair_scores import PairScores
from learngn.io import Pair, Subject


def scan(subject: int, modality: int = 0) -> Path:
    return Path("imagesTr") / f"Fake_{subject:04d}_{modality:04d}.nii.gz"


def pair(fixed: Path, moving: Path, name: str | None = None) -> Pair:
    return Pair(Subject(fixed), Subject(moving), name)


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
    assert find_field(tmp_path, pair(scan(1, modalities[0]), scan(2, modalities[1]))) == tmp_path / name


def test_short_name_and_npz_come_first(tmp_path):
    for name in ("disp_0001_0000_0002_0000.npz", "disp_0001_0002.nii.gz"):
        (tmp_path / name).touch()
    assert find_field(tmp_path, pair(scan(1), scan(2))).name == "disp_0001_0002.nii.gz"
    (tmp_path / "disp_0001_0002.npz").touch()
    assert find_field(tmp_path, pair(scan(1), scan(2))).name == "disp_0001_0002.npz"


def test_short_name_does_not_serve_swapped_modalities(tmp_path):
    (tmp_path / "disp_0001_0002.nii.gz").touch()
    with pytest.raises(DatasetError, match="disp_0001_0001_0002_0000"):
        find_field(tmp_path, pair(scan(1, 1), scan(2, 0)))


def test_scans_with_other_names(tmp_path):
    with pytest.raises(DatasetError, match="thorax"):
        find_field(tmp_path, pair(Path("thorax.nii.gz"), scan(2)))


def test_a_pair_with_a_name(tmp_path):
    for name in ("disp_0001_0002.npz", "disp_visit 1.nii.gz"):
        (tmp_path / name).touch()
    assert find_field(tmp_path, pair(scan(1), scan(2), "visit 1")).name == "disp_visit 1.nii.gz"
    with pytest.raises(DatasetError, match=r"disp_visit 2.nii.gz or .npz"):
        find_field(tmp_path, pair(Path("pre.nii"), Path("post.nii"), "visit 2"))


def test_a_pair_that_fails_does_not_stop_the_others(tmp_path):
    def wrong_shape() -> PairScores:
        raise TransformError("displacement field", "shape (8, 8, 2)", "(9, 8, 2)", "write it on the fixed grid")

    def missing() -> PairScores:
        find_field(tmp_path, pair(scan(1), scan(3)))
        raise AssertionError

    seen = []
    # The scans of all pairs have the same names, as those of patients in folders of their own may.
    named = [pair(Path("pre.nii"), Path("post.nii"), name) for name in ("a", "b", "c")]
    tasks = zip(named, (wrong_shape, missing, lambda: PairScores("pre.nii", "post.nii", {1: 0.5})), strict=True)
    scored = score_all(list(tasks), progress=lambda pair, done, total: seen.append((pair.title, done, total)))
    assert [(pair.fixed, pair.pair) for pair in scored] == [("pre.nii", "a"), ("pre.nii", "b"), ("pre.nii", "c")]
    assert "(9, 8, 2)" in scored[0].error
    assert "disp_0001_0003.nii.gz" in scored[1].error
    assert scored[2].error is None
    assert seen == [("a", 1, 3), ("b", 2, 3), ("c", 3, 3)]


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        score_all([(pair(scan(1), scan(2)), lambda: PairScores("1", "2", sdlogj=1 / 0))])
