"""Our docstrings made fit for these pages: cross-references (``:class:`Name```) become links, shapes stay as is."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?([\w.]+)`")


class OurDocstrings(griffe.Extension):
    """Link a name that resolves to an object of ours; set any other in code type."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Rewrite every docstring of the package, once all of it is known."""
        self._rewrite(pkg, pkg)

    def _rewrite(self, pkg: griffe.Module, thing: griffe.Object) -> None:
        if thing.docstring:
            text = _ROLE.sub(lambda m: self._link(pkg, thing, m[1]), thing.docstring.value)
            # "array, shape (D+1, D+1)" happens to be Python, and would be set as such, were it not for this space.
            thing.docstring.value = text.replace(", shape (", ", shape\N{NO-BREAK SPACE}(")
        for member in thing.members.values():
            if not member.is_alias:
                self._rewrite(pkg, member)

    def _link(self, pkg: griffe.Module, scope: griffe.Object, name: str) -> str:
        for path in self._candidates(scope, name):
            try:
                found = pkg.modules_collection[path]
                found = found.final_target if found.is_alias else found
            except (KeyError, griffe.AliasResolutionError):
                continue
            private = any(part.startswith("_") for part in found.path.split("."))
            if found.docstring and not private:  # else the pages do not show it
                return f"[`{name.removeprefix(pkg.path + '.')}`][{found.path}]"
        return f"`{name}`"

    def _candidates(self, scope: griffe.Object, name: str) -> list[str]:
        """Where a name may be meant: as it stands, in the object, in what holds it, up to the package."""
        paths, at = [name], scope
        while at is not None:
            paths.append(f"{at.path}.{name}")
            at = at.parent
        return paths
