"""Compiling ahead: it covers what a registration uses."""

import sys

import numpy as np
import pytest

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.kernels import _cpu_cache, warm
from learngn.kernels._cpu_threads import Loop
from learngn.registration import register
from learngn.settings import default_settings
from learngn.settings.levels import fitted


def signatures():
    """What has been compiled of every loop."""
    modules = [module for name, module in sys.modules.items() if name.startswith("learngn.kernels._cpu")]
    loops = {id(v): v for module in modules for v in vars(module).values() if isinstance(v, Loop)}
    return {loop.__name__: set(loop.compiled.signatures) for loop in loops.values()}


@pytest.mark.parametrize("shape", [(40, 36), (24, 22, 20)], ids=str)
@pytest.mark.parametrize("features", ["intensity", "mind", "distance"])
def test_a_registration_compiles_nothing_more(shape, features):
    for job in warm.jobs(len(shape)):
        job()
    before = signatures()
    index = np.indices(shape)
    inside = [sum((i - (n / 2 + s)) ** 2 for i, n in zip(index, shape, strict=True)) < 60 for s in (0, 1.5)]
    labels = features == "distance"
    kind = np.uint8 if labels else np.float32
    grid = Grid.from_spacing(shape, (1.0,) * len(shape))
    fixed, moving = (Image.from_array(mask.astype(kind), grid, labels=labels) for mask in inside)
    settings = fitted(default_settings(features, labels=labels), fixed.grid)
    register(fixed, moving, settings=settings)
    assert signatures() == before


def test_shares_cover_all_jobs_once(monkeypatch):
    done = []
    monkeypatch.setattr(warm, "jobs", lambda ndim: [lambda k=k: done.append((ndim, k)) for k in range(5)])
    for part in range(3):
        warm.main(["3", str(part), "3"])
    assert sorted(done) == [(3, k) for k in range(5)]


def test_marked_when_done(monkeypatch, tmp_path):
    here, elsewhere = tmp_path / "here", tmp_path / "shipped"
    here.mkdir()
    elsewhere.mkdir()
    monkeypatch.setattr(_cpu_cache, "places", lambda: _cpu_cache.Places(here, (here, elsewhere), None))
    monkeypatch.setattr(warm.subprocess, "Popen", lambda *_, **__: Finished(0))
    assert warm.is_cold(2)
    warm.compile_all(2, 2)
    assert not warm.is_cold(2)
    assert warm.is_cold(3)
    monkeypatch.setattr(warm.subprocess, "Popen", lambda *_, **__: Finished(1))
    warm.compile_all(3, 2)
    assert warm.is_cold(3)
    (elsewhere / warm._mark(3)).touch()  # in a folder that cannot be written
    assert not warm.is_cold(3)


def test_no_process_compiles_what_cannot_be_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(_cpu_cache, "places", lambda: _cpu_cache.Places(None, (tmp_path,), "nothing can be written"))
    monkeypatch.setattr(warm.subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    warm.compile_all(2, 2)
    assert warm.is_cold(2)


class Finished:
    """A process that has ended."""

    def __init__(self, status):
        self.status = status

    def wait(self):
        return self.status
