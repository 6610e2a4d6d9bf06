"""The help of a command: its options in panels, each with its names in one column and its description in another."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any

from learngn.cli.panels import EXPERT, OUTPUT, PANELS

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_NAMES = 24  # characters of the column of names


def help_text(command: Any, context: Any, *, expert: bool) -> str:
    """Return the help of a command.

    Parameters
    ----------
    command : Command
    context : click.Context
    expert : bool
        Also show the options of the panel :data:`EXPERT`.
    """
    from rich.console import Console  # here: Rich takes long to import

    console = Console(highlight=False)
    with console.capture() as captured:
        for part in _parts(command, context, expert):
            console.print(part)
    encoding = sys.stdout.encoding or "ascii"
    return captured.get().encode(encoding, "replace").decode(encoding)  # or UTF-8 would go to any terminal


def _parts(command: Any, context: Any, expert: bool) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    yield Text.assemble((" " + command.get_usage(context), "bold"))
    yield Padding(Text(inspect.cleandoc(command.help or "")), (1, 1, 0, 1))
    hidden = 0
    for panel in PANELS:
        rows = [parameter for parameter in command.params if _panel(parameter) == panel]
        if panel == EXPERT and not expert:
            hidden = len(rows)
        elif rows:
            yield _framed(panel, rows)
    last = "-h, --help: this page" + (f"; --help-all: also {hidden} options for experts" if hidden else "")
    if expert:
        last = "-h, --help: options for every day; --help-all: this page"
    yield Text(f" {last}", style="dim")


def _panel(parameter: Any) -> str | None:
    """Return the panel of a parameter; None if it is not shown."""
    if getattr(parameter, "hidden", False) or parameter.name in ("help", "help_all"):
        return None
    return getattr(parameter, "rich_help_panel", None) or OUTPUT


def _framed(panel: str, parameters: list[Any]) -> RenderableType:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=_NAMES)
    table.add_column(ratio=1)
    for parameter in parameters:
        text = Text(" ".join((parameter.help or "").split()))
        if aliases := _aliases(parameter):
            text.append(f" (also {', '.join(aliases)})")
        if parameter.required:
            text.append(" [required]", style="red")
        elif default := _default(parameter):
            text.append(f" [default: {default}]", style="dim")
        table.add_row(_names(parameter), text)
    return Panel(table, title=panel, title_align="left", border_style="dim")


def _names(parameter: Any) -> Text:
    """Return the name of a parameter, its short name, and what stands for its value."""
    from rich.text import Text

    if parameter.param_type_name == "argument":
        return Text(parameter.metavar, style="bold cyan")
    (name, *_), short = _by_length(parameter)
    opposite = parameter.secondary_opts[:1]  # others are aliases
    if opposite == [f"--no-{name[2:]}"]:
        name, opposite = f"--[no-]{name[2:]}", []
    shown = Text("/".join([", ".join([*short[:1], name]), *opposite]), style="bold cyan")
    return shown.append(f" {parameter.metavar}", style="yellow") if parameter.metavar else shown


def _aliases(parameter: Any) -> list[str]:
    """Return further names of an option."""
    if parameter.param_type_name == "argument":
        return []
    names, short = _by_length(parameter)
    return [*short[1:], *names[1:]]


def _by_length(parameter: Any) -> tuple[list[str], list[str]]:
    """Return the long and the short names of an option, as declared."""
    names = [name for name in parameter.opts if name.startswith("--")]
    return names, [name for name in parameter.opts if name not in names]


def _default(parameter: Any) -> str:
    """Return the default of a parameter; empty if there is none, or its description says it."""
    value = parameter.default
    if not getattr(parameter, "show_default", True) or value is None or value == "" or callable(value):
        return ""
    if isinstance(value, bool) or parameter.count:
        return "yes" if value is True and parameter.secondary_opts else ""
    if isinstance(value, Enum):
        return str(value.value)
    return "" if isinstance(value, float) and math.isinf(value) else str(value)
