"""Compilation of functions that are only called by other compiled functions.

Numba optimises every function, generates machine code for it, and does so again in each of its callers. The code of a
part is needed only within its callers: it is passed on as it is, and optimised there, once.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _PartLibrary(JITCodeLibrary):
    """Code that is linked with that of its callers, neither optimised nor executable by itself."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class PartCompiler(Compiler):
    """Numba's compiler, without optimisation and generation of machine code."""

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *rest: Any) -> None:
        super().__init__(typingctx, targetctx, library, *rest)
        context = copy(self.state.targetctx)
        context.get_executable = _not_executable
        self.state.targetctx = context
        self.state.library = _PartLibrary(context.codegen(), "part")


def _not_executable(library: Any, fndesc: Any, env: Any) -> Any:
    """Stand in for the machine code of a part; it cannot be called."""
    library._ensure_finalized()
    return object().__reduce__
