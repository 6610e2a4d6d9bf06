"""Choice of the library and the device in which a pair is registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learngn.arrays import chosen_device, device_of, is_tensor, kind_of
from learngn.registration.pair import RegistrationPair
from learngn.registration.resolve import Request

if TYPE_CHECKING:
    from learngn.model import Model


def placed(pair: RegistrationPair, request: Request, model: Model | None) -> tuple[RegistrationPair, Model | None]:
    """Return a pair, and a model if there is one, on the device of a request; both scans in one library.

    On the CPU scans remain what they are, arrays of NumPy or tensors; a model needs tensors, and follows them.

    Raises
    ------
    SettingsError
        If this machine lacks the device.
    MissingPackageError
        If PyTorch is needed and not installed.
    """
    pair = pair.of_one_library()
    tensors = is_tensor(pair.fixed.scan.data)
    if request.device == "auto" and tensors:
        return pair, None if model is None else model.to(device_of(pair.fixed.scan.data))
    # The user's own features may compute on the CPU only.
    own = request.features is not None and not isinstance(request.features, str)
    device = "cpu" if request.device == "auto" and own else chosen_device(request.device)
    if model is not None:
        return pair.to(device), model.to(device)
    if device != "cpu" or (tensors and kind_of(pair.fixed.scan.data) != "cpu"):
        return pair.to(device), None
    return pair, None
