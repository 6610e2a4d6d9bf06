"""Features in a folder: computed once, found again to the bit, whoever asks."""

import threading
import time

import numpy as np
import pytest

from learngn.arrays import channels_last
from learngn.cohort import FolderStore
from learngn.errors import OutputError
from learngn.features import FeatureImage
from learngn.geometry.grid import Grid

GRID = Grid.from_spacing((6, 5, 4), (2.0, 1.0, 3.0), origin=(1 / 3, 0.1, 7.0))


def features():
    rng = np.random.default_rng(0)
    data = channels_last(rng.normal(size=(1, 3, 6, 5, 4)).astype(np.float32))
    return FeatureImage(data, GRID, rng.random((1, 1, 6, 5, 4), dtype=np.float32), ("a", "b", "c"))


def test_there_and_back(tmp_path):
    store = FolderStore(tmp_path / "deep" / "store")
    first = store("abc", features)
    again = store("abc", lambda: pytest.fail("computed twice"))
    for found in (first, again):
        np.testing.assert_array_equal(found.data, features().data)
        assert (found.data.strides, found.data.dtype) == (features().data.strides, np.float32)
        np.testing.assert_array_equal(found.weight, features().weight)
        assert found.grid == GRID
        assert found.names == ("a", "b", "c")
    assert len(store) == 1
    assert store("abd", lambda: FeatureImage(first.data, GRID)).weight is None
    assert FolderStore(tmp_path / "deep" / "store")("abd", features).weight is None
    assert len(store) == 2


def test_many_ask_at_once(tmp_path):
    made, found = [], []

    def make():
        made.append(1)
        time.sleep(0.1)
        return features()

    def ask():
        found.append(FolderStore(tmp_path)("abc", make))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(found)) == (1, 6)


def test_failure_frees_the_key(tmp_path):
    store = FolderStore(tmp_path)
    with pytest.raises(ZeroDivisionError):
        store("abc", lambda: 1 / 0)
    assert len(store) == 0
    store("abc", features)
    assert len(store) == 1


def test_full_disk(tmp_path, monkeypatch):
    def full(*_):
        raise OutputError("output", "No space left on device", "room", "free some")

    monkeypatch.setattr("learngn.cohort.feature_cache._write", full)
    np.testing.assert_array_equal(FolderStore(tmp_path)("abc", features).data, features().data)
    assert len(FolderStore(tmp_path)) == 0
