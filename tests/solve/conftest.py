"""Random systems for the tests of the solvers."""

import pytest
import torch

from learngn.kernels.stencils import block_index
from learngn.regularise import Stiffness
from learngn.solve import NormalOperator


@pytest.fixture(scope="session")
def random_system():
    """The maker of a system: shape to (operator, right side). `kind` is that of the regulariser."""
    return _random_system


def _random_system(shape, *, n=2, dtype=torch.float64, lam=0.7, seed=0, kind="diffusion"):
    """Blocks of random Jacobians of two channels, anisotropic stiffness, a small shift and a right side."""
    generator = torch.Generator().manual_seed(seed)
    ndim = len(shape)
    jacobian = torch.randn(n, 2, ndim, *shape, generator=generator, dtype=dtype)
    blocks = torch.stack([(jacobian[:, :, a] * jacobian[:, :, b]).sum(1) for a, b in block_index(ndim)], dim=1)
    spacing = torch.tensor([1.0, 1.3, 3.0], dtype=dtype)[:ndim]
    weights = ((spacing[:, None] / spacing[None]) ** 2).expand(n, ndim, ndim)
    faces = torch.rand(1, ndim, *shape, generator=generator, dtype=dtype) ** 2 if kind == "adaptive" else None
    stiffness = Stiffness(weights, faces, 2 if kind == "curvature" else 1).scaled(torch.full((n,), lam, dtype=dtype))
    shift = torch.tensor([0.1, 0.3], dtype=dtype)[:n]
    return NormalOperator(blocks, stiffness, shift), torch.randn(n, ndim, *shape, generator=generator, dtype=dtype)
