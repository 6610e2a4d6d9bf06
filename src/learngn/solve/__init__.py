"""Solution of ``(B + λ R + μ I) δ = rhs``: operator, conjugate gradients, multigrid, implicit derivative."""

from learngn.solve.conjugate_gradients import BlockJacobi, Preconditioner, conjugate_gradients
from learngn.solve.implicit import NormalSolver
from learngn.solve.multigrid import Multigrid
from learngn.solve.operator import NormalOperator
from learngn.solve.status import SolveInfo, SolveStatus

__all__ = [
    "BlockJacobi",
    "Multigrid",
    "NormalOperator",
    "NormalSolver",
    "Preconditioner",
    "SolveInfo",
    "SolveStatus",
    "conjugate_gradients",
]
