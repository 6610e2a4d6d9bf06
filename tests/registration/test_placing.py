"""Where a pair is registered: in the library of its scans, or on the device that was asked for."""

import numpy as np
import pytest
import torch

from learngn import Settings, register
from learngn.arrays import is_tensor
from learngn.errors import SettingsError
from learngn.features import Intensity
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.registration import RegistrationPair, Request, Side, placing
from learngn.registration.placing import placed

PLANE = Grid.from_spacing((24, 20), 2.0)
SETTINGS = Settings("intensity", affine="none", strides=(4, 2), iterations=(3, 3), lam=(3.0, 0.3), symmetric=True)


def scan(shift=0.0):
    x, y = np.meshgrid(*(np.arange(n) for n in PLANE.shape), indexing="ij")
    return Image.from_array(np.float32(100 * np.exp(-((x - 12 - shift) ** 2 + (y - 10) ** 2) / 20)), PLANE)


def pair(fixed, moving):
    return RegistrationPair(Side.of(fixed, "fixed"), Side.of(moving, "moving"))


def libraries(found):
    return [is_tensor(side.scan.data) for side in (found.fixed, found.moving)]


@pytest.fixture
def gpu(monkeypatch):
    """Take the CPU, as PyTorch names it, for a GPU."""
    monkeypatch.setattr(placing, "chosen_device", lambda name: "cpu" if name == "cpu" else "cpu:0")


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_arrays_of_numpy_stay_on_the_cpu(device):
    found, _ = placed(pair(scan(), scan(1)), Request(device=device), None)
    assert libraries(found) == [False, False]


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_arrays_of_numpy_go_to_a_gpu(device, gpu):
    found, _ = placed(pair(scan(), scan(1)), Request(device=device), None)
    assert libraries(found) == [True, True]


def test_tensors_stay_where_they_are(monkeypatch):
    monkeypatch.setattr(placing, "chosen_device", lambda name: pytest.fail("asked for a device"))
    given = pair(scan().to("cpu"), scan(1).to("cpu"))
    found, _ = placed(given, Request(), None)
    assert found.fixed.scan.data is given.fixed.scan.data


def test_own_features_stay_on_the_cpu_unless_a_gpu_is_named(gpu):
    given = pair(scan(), scan(1))
    assert libraries(placed(given, Request(Intensity()), None)[0]) == [False, False]
    assert libraries(placed(given, Request(Intensity(), device="cuda"), None)[0]) == [True, True]


@pytest.mark.parametrize("tensor", [False, True], ids=["numpy", "torch"])
def test_the_moving_scan_follows_the_fixed_one(tensor, monkeypatch):
    monkeypatch.setattr(placing, "chosen_device", lambda name: "cpu")
    fixed, moving = (scan().to("cpu"), scan(1)) if tensor else (scan(), scan(1).to("cpu"))
    assert libraries(placed(pair(fixed, moving), Request(), None)[0]) == [tensor, tensor]


def test_a_model_has_tensors_and_is_moved():
    class Model:
        def to(self, device):
            return device

    found, model = placed(pair(scan(), scan(1)), Request(device="cpu"), Model())
    assert (libraries(found), model) == ([True, True], "cpu")


def test_a_model_follows_tensors(monkeypatch):
    """To the device of the fixed scan, which nobody named."""

    class Model:
        def to(self, device):
            return device

    given = pair(scan().to("cpu"), scan(1).to("cpu"))
    monkeypatch.setattr(placing, "device_of", lambda data: "cuda:1")
    assert placed(given, Request(), Model())[1] == "cuda:1"


def test_unknown_devices_are_refused_before_a_file_is_read():
    with pytest.raises(SettingsError, match="abacus"):
        register("nothing.nii.gz", "nothing.nii.gz", device="abacus")


@pytest.mark.parametrize("tensor", [False, True], ids=["numpy", "torch"])
def test_results_are_returned_in_the_library_of_the_fixed_scan(tensor, gpu):
    """Also if they were computed elsewhere; both libraries find the same."""
    fixed, moving = scan(), scan(1.5)
    given = fixed.to("cpu") if tensor else fixed
    result = register(given, moving, settings=SETTINGS, device="cuda")
    assert result.fixed is given
    assert result.moving is moving
    arrays = [result.warped.data, result.displacement.data, result.inverse.parts[1].data]
    assert [is_tensor(array) for array in arrays] == [tensor] * 3
    assert all(str(array.dtype).endswith("float32") for array in arrays)
    plain = register(fixed, moving, settings=SETTINGS, device="cpu")
    np.testing.assert_allclose(torch.as_tensor(arrays[1]), plain.displacement.data, atol=1e-3)
    assert np.abs(plain.displacement.data).max() > 0.5


@pytest.mark.gpu
def test_on_a_gpu():
    fixed, moving = scan(), scan(1.5)
    plain, there = (register(fixed, moving, settings=SETTINGS, device=device) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(there.displacement.data, plain.displacement.data, atol=0.02)
