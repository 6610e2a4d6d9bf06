"""Check of the Triton programs at their first use on a device, against the reference."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from learngn._version import __version__
from learngn.kernels.interface import Kernels

_LOG = logging.getLogger(__name__)
_SHAPES = ((7, 9), (6, 7, 5))  # of 2D and 3D, not multiples of a program's block
_TOLERANCE = 1e-3  # relative to the largest value of a result


def trusted(programs: Kernels, reference: Kernels, device: torch.device, folder: Path | None = None) -> bool:
    """Return whether a back end gives the results of the reference on a device; warn if it does not.

    Parameters
    ----------
    programs, reference : Kernels
    device : torch.device
    folder : Path, optional
        Folder in which a positive outcome is kept for this version of LearnGN, PyTorch and Triton, and this device.

    Returns
    -------
    bool
        False if a result differs or an operation raises any exception.
    """
    mark = None if folder is None else folder / f"checked_{_identity(programs.name, device)}"
    if mark is not None and mark.exists():
        return True
    problem = _problem(programs, reference, device)
    if problem is not None:
        _LOG.warning(
            "the %s programs are not used on %s: %s; PyTorch's own operations are used instead, which are slower",
            programs.name,
            device,
            problem,
        )
        return False
    if mark is not None:
        with suppress(OSError):
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
    return True


def _identity(name: str, device: torch.device) -> str:
    """Return a digest of all that an outcome depends on."""
    parts = [__version__, name, torch.__version__, str(device.type)]
    with suppress(ImportError):
        import triton

        parts.append(triton.__version__)
    if device.type == "cuda":
        parts += [torch.cuda.get_device_name(device), str(torch.cuda.get_device_capability(device))]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


def _problem(programs: Kernels, reference: Kernels, device: torch.device) -> str | None:
    for shape in _SHAPES:
        for name, operation in _operations(shape, device):
            try:
                pairs = list(zip(_listed(operation(programs)), _listed(operation(reference)), strict=True))
            except Exception as error:  # a compiler of another version raises exceptions of many kinds
                return f"{name} of {len(shape)}D failed ({_cause(error)})"
            for got, expected in pairs:
                scale = float(expected.abs().max())
                if not float((got - expected).abs().max()) <= _TOLERANCE * max(scale, 1e-6):  # NaN included
                    return f"{name} of {len(shape)}D differs from the reference"
    return None


def _cause(error: BaseException) -> str:
    """Return in one line what the first of chained exceptions says.

    Triton's compiler names the place of an error by an excerpt of the program, of which the last line is kept, and a
    line with a caret; its message follows.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines()]
    if "^" in lines:
        lines = lines[max(0, lines.index("^") - 1) :]
    return f"{type(error).__name__}: {' '.join(line for line in lines if line not in ('', '^'))}"


def _operations(shape: tuple[int, ...], device: torch.device) -> Iterator[tuple[str, Callable[[Kernels], Any]]]:
    """Return the operations to compare, on random values."""
    random, ndim = np.random.default_rng(0), len(shape)

    def draw(*size: int) -> Tensor:
        return torch.as_tensor(random.standard_normal(size).astype(np.float32)).to(device)

    fixed, moving, field = draw(2, 5, *shape), draw(2, 5, *shape), draw(2, ndim, *shape)
    weight, stiffness = draw(2, 1, *shape).abs(), draw(2, ndim, ndim).abs() + 0.2
    shift, matrix = draw(2).abs() + 0.1, np.eye(ndim + 1) + 0.05
    matrix[-1] = np.eye(ndim + 1)[-1]
    # Blocks from a Jacobian, which are positive semi-definite.
    jacobian = [draw(2, 4, *shape) for _ in range(ndim)]
    blocks = torch.stack([(jacobian[a] * jacobian[b]).sum(1) for a in range(ndim) for b in range(a, ndim)], dim=1)
    yield "warp", lambda k: k.warp(moving, 2 * field, matrix, shape)
    yield "warp by a matrix", lambda k: k.warp(moving, None, matrix, shape)
    yield "linearisation", lambda k: k.normal_equations(fixed, moving, weight, False)
    yield "symmetric linearisation", lambda k: k.normal_equations(fixed, moving, None, True)
    yield "operator", lambda k: k.apply_operator(blocks, stiffness, shift, field)
    yield "regulariser", lambda k: k.elastic(stiffness, field, None)
    yield "smoothing from zero", lambda k: k.smooth(blocks, stiffness, shift, field, None, 0.8)
    yield "smoothing", lambda k: k.smooth(blocks, stiffness, shift, field, 0.5 * field, 0.8)


def _listed(result: Any) -> list[Tensor]:
    return list(result) if isinstance(result, tuple) else [result]
