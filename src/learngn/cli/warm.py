"""``learngn warm``: compile the kernels before they are needed."""

from __future__ import annotations

import typer

from learngn.cli import console
from learngn.errors import OutputError

_DIMENSIONS = (2, 3)


def warm(quiet: console.Quiet = False) -> None:
    """Compile the kernels for this processor ahead, for 2D and 3D; a first registration then does not wait for them.

    Example:  learngn warm
    """
    from learngn import kernels
    from learngn.kernels.warm import is_cold

    for ndim in _DIMENSIONS:
        console.compile_ahead(ndim, quiet)
    folder = kernels.cache_folder()
    if any(is_cold(ndim) for ndim in _DIMENSIONS):
        raise OutputError(
            "cache of compiled kernels", folder, "a folder that can be written", "set NUMBA_CACHE_DIR to one"
        )
    if not quiet:
        typer.echo(f"compiled kernels: {folder}")
