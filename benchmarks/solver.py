"""Conjugate gradients on the real systems of a pair: multigrid against block-Jacobi, level by level.

Usage: python benchmarks/solver.py FIXED_LABELS MOVING_LABELS
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from learngn.features import Distance
from learngn.geometry import sampling
from learngn.io import read_image
from learngn.linearise import Analytic
from learngn.regularise import Diffusion
from learngn.settings import default_settings
from learngn.solve import BlockJacobi, Multigrid, NormalOperator, conjugate_gradients


def main(fixed_path: str, moving_path: str) -> None:
    """Print a table of the first step of every level."""
    fixed, moving = (read_image(Path(path), labels=True) for path in (fixed_path, moving_path))
    voxel = float(fixed.grid.spacing.min())
    settings = default_settings("distance", labels=True)
    ours, theirs = Distance()(fixed, moving, settings.strides[-1] * voxel)
    print("| grid | λ | preconditioner | iterations to 1e-1 | to 1e-3 | seconds to 1e-3 |\n|---|---|---|---|---|---|")
    for level in settings.levels():
        grids = fixed.grid.coarsened(level.stride * voxel), moving.grid.coarsened(level.stride * voxel)
        features = sampling.pool(ours.data, grids[0].shape)
        warped = sampling.warp(
            sampling.pool(theirs.data, grids[1].shape), None, grids[0].index_map(grids[1]), grids[0].shape
        )
        normal = Analytic().normal_equations(features, warped)
        stiffness = Diffusion().stiffness(grids[0], features).scaled(features.new_tensor([level.lam]))
        operator = NormalOperator(normal.blocks, stiffness, features.new_zeros(1))
        for make in (Multigrid, BlockJacobi):
            loose = conjugate_gradients(operator, -normal.gradient, make(operator), tolerance=0.1, iterations=500)[1]
            start = time.perf_counter()
            tight = conjugate_gradients(operator, -normal.gradient, make(operator), tolerance=1e-3, iterations=500)[1]
            seconds = time.perf_counter() - start
            cells = ("x".join(map(str, grids[0].shape)), f"{level.lam:.2g}", make.__name__)
            print("|", " | ".join((*cells, f"{loose.iterations}", f"{tight.iterations}", f"{seconds:.3f}")), "|")


if __name__ == "__main__":
    main(*sys.argv[1:])
