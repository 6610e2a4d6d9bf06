"""Assertions with a message, for checks that also run without a test framework."""

from __future__ import annotations

import numpy as np

from learngn.arrays import Array, as_numpy, device_of, namespace


def require(condition: bool, message: str) -> None:
    """Raise :class:`AssertionError` with a message unless a condition holds."""
    if not condition:
        raise AssertionError(message)


def require_close(got: Array, expected: Array, what: str, *, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Raise :class:`AssertionError` unless two arrays agree in library, shape, type, device and values.

    Parameters
    ----------
    got, expected : Array
        Arrays to compare; their memory layouts may differ.
    what : str
        Name of what is compared, for the message.
    rtol, atol : float
        Tolerances of :func:`numpy.testing.assert_allclose`; both zero for equality.
    """
    for name, of in (
        ("library", type),
        ("shape", lambda a: tuple(a.shape)),
        ("type", lambda a: a.dtype),
        ("device", device_of),
    ):
        require(of(got) == of(expected), f"{what}: got the {name} {of(got)}, expected {of(expected)}")
    np.testing.assert_allclose(as_numpy(got), as_numpy(expected), rtol=rtol, atol=atol, err_msg=what)


def require_finite(data: Array, what: str) -> None:
    """Raise :class:`AssertionError` if a value is NaN or infinite."""
    xp = namespace(data)
    require(bool(xp.all(xp.isfinite(data))), f"{what}: values are NaN or infinite")
