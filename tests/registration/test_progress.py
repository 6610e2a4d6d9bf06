"""Progress bars: in a terminal, in a notebook, and none unless it is asked for."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from learngn import register
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.registration import progress
from learngn.settings import Settings

QUICK = Settings("intensity", affine=False, strides=(4, 2), iterations=(2, 2))


def scan(shift=0.0):
    x, y = np.indices((24, 20))
    return Image.from_array(np.exp(-((x - 12 - shift) ** 2 + (y - 10) ** 2) / 30), Grid.from_spacing((24, 20), 2.0))


def test_none_by_default(capfd):
    register(scan(), scan(1), settings=QUICK)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_in_a_terminal(capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    seen = []
    register(scan(), scan(1), settings=QUICK, progress=True, callback=seen.append)
    out, err = capfd.readouterr()
    assert out == ""
    assert "level 1/2" in err
    assert len(seen) == 4


def test_an_error_ends_the_bar(monkeypatch):
    closed = []
    monkeypatch.setattr(progress.TerminalBar, "close", lambda bar: closed.append(True))
    with pytest.raises(ZeroDivisionError), progress.shown(True, 2):
        _ = 1 / 0
    assert closed == [True]


@pytest.fixture
def notebook(monkeypatch):
    """IPython as the kernel of a notebook has it; returns what the cell shows, one entry an update."""
    shown = []
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    display.HTML = lambda text: text
    display.display = lambda text, display_id: SimpleNamespace(update=shown.append)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


def test_in_a_notebook(notebook, capfd):
    assert progress.in_notebook()
    register(scan(), scan(1), settings=QUICK, progress=True)
    assert notebook[0].startswith("<progress></progress> ")
    assert any('max="4"></progress> level 1/2' in text for text in notebook)
    assert notebook[-1] == ""
    assert capfd.readouterr().err == ""


def test_few_updates_of_a_notebook(notebook):
    bar = progress.NotebookBar()
    for done in range(1000):
        bar.update("level 1/2", done, 1000)
    assert len(notebook) < 50


def test_kernels_are_compiled_first(notebook, monkeypatch):
    from learngn.kernels import warm

    compiled = []
    monkeypatch.setattr(warm, "is_cold", lambda ndim: True)
    monkeypatch.setattr(warm, "compile_all", compiled.append)
    with progress.shown(True, 2):
        assert compiled == [2]
    assert "compiling kernels" in notebook[0]


def test_ipython_without_a_kernel_is_a_terminal(notebook, monkeypatch):
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: SimpleNamespace())
    assert not progress.in_notebook()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    assert not progress.in_notebook()
