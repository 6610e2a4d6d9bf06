"""Systems with their dense inverse."""

import numpy as np
import pytest

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.kernels.stencils import block_index
from learngn.regularise import Adaptive, Curvature, Diffusion
from learngn.solve import NormalOperator

SPACING = (1.0, 2.0, 1.5)
_MAKERS = {
    "diffusion": lambda weights: Diffusion(),
    "curvature": lambda weights: Curvature(4.0),
    "adaptive": Adaptive.of_weights,
}


@pytest.fixture(scope="session")
def system():
    """The maker of a system: shape and kind of regulariser to (operator, true diagonal blocks of the inverse)."""
    return _system


def _system(shape, kind="diffusion", dtype=np.float64):
    draw, ndim = np.random.default_rng(0), len(shape)
    grid = Grid.from_spacing(shape, SPACING[:ndim])
    # Two channels of random gradients, where there is structure at all.
    jacobian = draw.standard_normal((ndim, 2, *shape)) * (draw.uniform(size=shape) < 0.4)
    blocks = np.stack([(jacobian[a] * jacobian[b]).sum(0) for a, b in block_index(ndim)])[None].astype(dtype)
    regulariser = _MAKERS[kind](Image(draw.uniform(0.05, 1, (1, 1, *shape)), grid))
    stiffness = regulariser.stiffness(grid, blocks).scaled(np.array([3.0], dtype))
    operator = NormalOperator(blocks, stiffness, np.array([1e-2], dtype))
    return operator, _inverse_blocks(operator, shape)


def _inverse_blocks(operator, shape):
    ndim, n = len(shape), int(np.prod(shape))
    columns = [operator(unit.reshape(1, ndim, *shape)).ravel() for unit in np.eye(ndim * n)]
    inverse = np.linalg.inv(np.array(columns)).reshape(ndim, n, ndim, n)
    own = np.arange(n)
    return np.stack([inverse[a, own, b, own].reshape(shape) for a, b in block_index(ndim)])[None]
