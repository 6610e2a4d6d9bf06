"""Networks in TorchScript files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from learngn.arrays import require_torch
from learngn.errors import FeatureError
from learngn.io.files import check_exists


def read_module(path: str | Path, device: Any = "cpu") -> Any:
    """Load a network that was saved by ``torch.jit.save``, in evaluation mode.

    A TorchScript file holds a program as well as weights, and calling the network runs that program: only load files
    from people you trust. Models (:func:`learngn.model.read_model`) hold weights and no program.

    Parameters
    ----------
    path : Path
    device : torch.device or str
        Device of the weights.

    Returns
    -------
    torch.jit.ScriptModule

    Raises
    ------
    FeatureError
        If the file does not exist, or is not TorchScript.
    MissingPackageError
        If PyTorch is not installed.
    """
    torch, path = require_torch("a network"), Path(path)
    check_exists(path, "network", FeatureError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that of TorchScript, which the user has chosen
            return torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError, OSError) as failure:
        raise FeatureError(
            f"network {path}",
            f"'{str(failure).strip().splitlines()[0]}'",
            "a TorchScript file",
            "export it with torch.jit.trace(network, example).save(...)",
        ) from failure
