"""Base class of the commands: help texts are shown literally, and ``--quiet`` silences log messages."""

from __future__ import annotations

import logging
from typing import Any

from typer.core import TyperCommand


class Command(TyperCommand):
    """Command of the program."""

    _escaped = False

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        # typer prints help texts as Rich's markup, which would take a unit in brackets for a style. Rich is imported
        # for the help alone.
        from rich.markup import escape

        owners: list[Any] = [] if self._escaped else [self, *self.params]
        for owner in owners:
            if text := getattr(owner, "help", None):
                owner.help = escape(text)
        self._escaped = True
        super().format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        log = logging.getLogger("learngn")
        before = log.level
        if ctx.params.get("quiet"):
            log.setLevel(logging.ERROR)
        try:
            return super().invoke(ctx)
        finally:
            log.setLevel(before)
