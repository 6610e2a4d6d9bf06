"""Base class of the commands: help texts are shown literally, and ``--quiet`` silences log messages."""

from __future__ import annotations

import logging
from typing import Any

from rich.markup import escape
from typer.core import TyperCommand


class Command(TyperCommand):
    """Command of the program."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # typer prints help texts as Rich's markup, which would take a unit in brackets for a style.
        owners: list[Any] = [self, *self.params]
        for owner in owners:
            if text := getattr(owner, "help", None):
                owner.help = escape(text)

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
