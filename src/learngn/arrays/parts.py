"""Work on parts of arrays of NumPy by several threads."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from learngn.arrays.array import Array, is_tensor
from learngn.threads import in_threads

_VALUES = 2**16  # values of a part, about as many as stay in the cache of a core with a few results beside them


def by_parts(function: Callable[..., Array], *arrays: Array) -> Array:
    """Apply a function that computes each voxel from that voxel alone.

    NumPy computes one operation after the other on whole arrays, in one thread. Here it is given parts that fit in the
    cache, which several threads process. Tensors are passed whole.

    Parameters
    ----------
    function : callable
        Maps arrays (N, C, *S), of one shape S, to an array (N, K, *S), whose type it determines.
    *arrays : Array, shape (N, C, *S)

    Returns
    -------
    Array, shape (N, K, *S)
    """
    first = arrays[0]
    if any(map(is_tensor, arrays)):
        return function(*arrays)
    rows = first.shape[2]
    step = max(1, _VALUES * rows // max(1, first.shape[0] * prod(first.shape[2:])))
    if step >= rows:
        return function(*arrays)
    head = function(*(a[:, :, :step] for a in arrays))
    out = np.empty((*head.shape[:2], *first.shape[2:]), dtype=head.dtype)
    out[:, :, :step] = head
    starts = iter(range(step, rows, step))

    def work() -> None:
        for start in starts:
            out[:, :, start : start + step] = function(*(a[:, :, start : start + step] for a in arrays))

    in_threads(work)
    return out
