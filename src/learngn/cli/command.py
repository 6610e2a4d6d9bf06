"""How every command behaves: its help appears as it is written, and ``--quiet`` silences what is logged."""

from __future__ import annotations

import logging
from typing import Any

from rich.markup import escape
from typer.core import TyperCommand


class Command(TyperCommand):
    """A command of the program."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # typer prints help texts as Rich's markup, for which a unit in brackets is a style.
        shown: list[Any] = [self, *self.params]
        for owner in shown:
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
