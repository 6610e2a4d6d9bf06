"""Assertions with a message, for checks that also run without a test framework."""

from __future__ import annotations

import torch
from torch import Tensor


def require(condition: bool, message: str) -> None:
    """Raise :class:`AssertionError` with a message unless a condition holds."""
    if not condition:
        raise AssertionError(message)


def require_close(got: Tensor, expected: Tensor, what: str, *, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Raise :class:`AssertionError` unless two tensors agree in shape, type, device and values.

    Parameters
    ----------
    got, expected : Tensor
        Tensors to compare; their memory layouts may differ.
    what : str
        Name of what is compared, for the message.
    rtol, atol : float
        Tolerances of :func:`torch.testing.assert_close`; both zero for equality.
    """
    torch.testing.assert_close(
        got.contiguous(), expected.contiguous(), rtol=rtol, atol=atol, msg=lambda message: f"{what}: {message}"
    )


def require_finite(data: Tensor, what: str) -> None:
    """Raise :class:`AssertionError` if a value is NaN or infinite."""
    require(bool(torch.isfinite(data).all()), f"{what}: values are NaN or infinite")
