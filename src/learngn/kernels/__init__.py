"""Kernels: the operations that take most of the time, as functions that choose an implementation by their arrays.

Every operation is defined by the array API standard (:class:`ReferenceKernels`), for NumPy and PyTorch, and has faster
implementations: compiled loops on the CPU, Triton programs on a GPU. :class:`Kernels` describes each.
"""

from __future__ import annotations

from learngn.kernels.dispatch import backend, cache_folder, compiles, in_use, operation
from learngn.kernels.interface import BoundOperator, BoundTransfer, Coarsening, Guard, Kernels
from learngn.kernels.reference import ReferenceKernels
from learngn.kernels.taps import Taps, area_taps, box_taps, linear_taps

warp = operation(Kernels.warp)
warp_nearest = operation(Kernels.warp_nearest)
warp_labels = operation(Kernels.warp_labels)
resample = operation(Kernels.resample)
normal_equations = operation(Kernels.normal_equations)
apply_operator = operation(Kernels.apply_operator)
smooth = operation(Kernels.smooth)
bind = operation(Kernels.bind)
elastic = operation(Kernels.elastic)
apply_blocks = operation(Kernels.apply_blocks)
relax = operation(Kernels.relax)
dot = operation(Kernels.dot)
combined = operation(Kernels.combined)
mean_diagonal = operation(Kernels.mean_diagonal)
lengths = operation(Kernels.lengths)
capped = operation(Kernels.capped)
pull_back = operation(Kernels.pull_back)
determinant = operation(Kernels.determinant)
guard = operation(Kernels.guard)
match_cost = operation(Kernels.match_cost)
best_match = operation(Kernels.best_match)
self_similarity = operation(Kernels.self_similarity)

__all__ = [
    "BoundOperator",
    "BoundTransfer",
    "Coarsening",
    "Guard",
    "Kernels",
    "ReferenceKernels",
    "Taps",
    "apply_blocks",
    "apply_operator",
    "area_taps",
    "backend",
    "best_match",
    "bind",
    "box_taps",
    "cache_folder",
    "capped",
    "combined",
    "compiles",
    "determinant",
    "dot",
    "elastic",
    "guard",
    "in_use",
    "lengths",
    "linear_taps",
    "match_cost",
    "mean_diagonal",
    "normal_equations",
    "operation",
    "pull_back",
    "relax",
    "resample",
    "self_similarity",
    "smooth",
    "warp",
    "warp_labels",
    "warp_nearest",
]
