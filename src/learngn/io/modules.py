"""Networks in files: TorchScript."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from learngn.errors import FeatureError
from learngn.io.files import check_exists


def read_module(path: str | Path, device: torch.device | str = "cpu") -> Any:
    """Load a network that ``torch.jit.save`` has written, ready for evaluation.

    A TorchScript file holds a program as well as weights: calling it runs that program. Load what comes from people
    whom you trust alone. Learned registrations (:func:`learngn.model.read_model`) hold weights and no program.

    Parameters
    ----------
    path : Path
    device : torch.device
        Where its weights go.

    Returns
    -------
    torch.jit.ScriptModule

    Raises
    ------
    FeatureError
        If there is no such file or it is no TorchScript.
    """
    path = Path(path)
    check_exists(path, "network", FeatureError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript as such, which the user has chosen
            return torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as failure:
        raise FeatureError(
            f"network {path}",
            f"'{str(failure).strip().splitlines()[0]}'",
            "a TorchScript file",
            "export it with torch.jit.trace(network, example).save(...)",
        ) from failure
