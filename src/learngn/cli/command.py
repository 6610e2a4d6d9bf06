"""Commands of the program: their help in panels, and how much they say."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand

from learngn.cli import log
from learngn.cli.panels import OUTPUT

_EXPERT = "learngn.help_all"


class Command(TyperCommand):
    """Command with its help in panels."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line, with the arguments as they are declared."""
        return ["[OPTIONS]", *(str(part.metavar) for part in self.params if part.param_type_name == "argument")]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        from learngn.cli.help import help_text

        formatter.write(help_text(self, ctx, expert=ctx.meta.get(_EXPERT, False)))


def add_command(program: typer.Typer, command: Callable[..., None]) -> None:
    """Add a command to a program, with the options ``--verbose`` and ``--help-all`` beside its own.

    ``--verbose``, or the command's own ``--quiet``, decides which log messages the terminal shows while it runs.
    """
    hints, signature = get_type_hints(command, include_extras=True), inspect.signature(command)
    own = [parameter.replace(annotation=hints[name]) for name, parameter in signature.parameters.items()]
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, default, kind in (("verbose", 0, _Verbose), ("help_all", False, _HelpAll))
    ]

    @wraps(command)
    def called(*, verbose: int, help_all: bool, **given: Any) -> None:
        with log.messages(log.QUIET if given.get("quiet") else verbose):
            command(**given)

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *common)]
    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    program.command(cls=Command)(called)


def _show_all(context: typer.Context, requested: bool) -> None:
    if requested:
        context.meta[_EXPERT] = True
        typer.echo(context.get_help(), color=context.color)
        raise typer.Exit


_Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        help="Print what is chosen and done; -vv: every step, too.",
        rich_help_panel=OUTPUT,
    ),
]
_HelpAll = Annotated[
    bool, typer.Option("--help-all", is_eager=True, callback=_show_all, help="Show all options, and exit.")
]
