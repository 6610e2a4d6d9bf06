"""Compilation of loops and of the parts of which they consist, with less work than Numba's own.

Numba optimises every function, generates machine code for it, and does so again in each of its callers. The code of a
part is needed only within its callers: it is passed on as it is, and optimised there, once. Compiled code does not
allocate memory either, so that Numba's functions for that are not compiled with every loop.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.runtime.nrt import rtsys


class _Library(JITCodeLibrary):
    """Code that is optimised once, after everything that it calls has been linked."""

    def add_linking_library(self, library: Any) -> None:
        if library is not rtsys.library:
            super().add_linking_library(library)

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        if hasattr(self._codegen, "_mpm_full"):  # Numba before 0.62
            self._codegen._mpm_full.run(self._final_module)
        else:
            passes, builder = self._codegen._module_pass_manager()
            passes.run(self._final_module, builder)


class _PartLibrary(_Library):
    """Code that is linked with that of its callers, neither optimised nor executable by itself."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class LoopCompiler(Compiler):
    """Numba's compiler, which optimises once."""

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *rest: Any) -> None:
        super().__init__(typingctx, targetctx, library, *rest)
        self.state.library = _Library(self.state.targetctx.codegen(), "loop")
        self.state.library.enable_object_caching()


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
