"""Solution of ``(B + λ R + μ I) δ = rhs``: operator, conjugate gradients, multigrid, implicit derivative."""

from learngn.kernels import SolveStatus
from learngn.solve.implicit import NormalSolver
from learngn.solve.multigrid import Multigrid
from learngn.solve.operator import NormalOperator
from learngn.solve.pcg import BlockJacobi, SolveInfo, conjugate_gradients

__all__ = [
    "BlockJacobi",
    "Multigrid",
    "NormalOperator",
    "NormalSolver",
    "SolveInfo",
    "SolveStatus",
    "conjugate_gradients",
]
