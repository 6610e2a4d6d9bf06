"""The commands, one file each; see docs/cli.md."""

from __future__ import annotations

from learngn.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of the program ``learngn``."""
    app(prog_name="learngn")
