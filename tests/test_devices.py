"""Devices: a GPU is looked for without importing PyTorch where there is none, and missing ones are reported."""

import subprocess
import sys

import pytest

from learngn.arrays import chosen_device, cuda_devices, devices
from learngn.errors import MissingPackageError, SettingsError

ASKING = """
import sys
from learngn.arrays import chosen_device, devices
devices.has_driver = lambda: False
assert chosen_device("auto") == "cpu"
assert "torch" not in sys.modules
"""


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that there are two."""
    monkeypatch.setattr(devices, "cuda_devices", lambda: ["one", "another"])


def test_torch_is_not_imported_without_a_driver():
    subprocess.run([sys.executable, "-c", ASKING], check=True, timeout=120)


def test_the_driver_shows_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(devices, "_SIGNS", (str(tmp_path / "version"),))
    assert not devices.has_driver()
    (tmp_path / "version").touch()
    assert devices.has_driver()
    (tmp_path / "version").unlink()
    program = tmp_path / ("nvidia-smi.exe" if sys.platform == "win32" else "nvidia-smi")
    program.touch(mode=0o755)
    assert devices.has_driver()


def test_no_devices_without_pytorch(monkeypatch):
    monkeypatch.setattr(devices, "has_driver", lambda: True)
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    assert cuda_devices() == []


def test_choice(gpus, monkeypatch):
    names = ("auto", "cpu", "cuda", "cuda:1")
    assert [chosen_device(name) for name in names] == ["cuda", "cpu", "cuda", "cuda:1"]
    monkeypatch.setattr(devices, "cuda_devices", list)
    assert chosen_device("auto") == "cpu"


@pytest.mark.parametrize("name", ["cuda:2", "gpu", "CUDA", "cuda:", ""])
def test_what_is_not_there(name, gpus):
    with pytest.raises(SettingsError, match="see learngn info"):
        chosen_device(name)


def test_a_gpu_needs_pytorch(monkeypatch):
    monkeypatch.setattr("learngn.errors.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"computing on a GPU.*pip install"):
        chosen_device("cuda")
