"""Groups of options: a parameter of a command whose type is a dataclass becomes one option for each of its fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar, get_type_hints

from typer.models import OptionInfo

_Command = TypeVar("_Command", bound=Callable[..., Any])


def with_options(command: _Command) -> _Command:
    """Decorate a command so that parameters that are groups of options become separate options.

    In the signature that Typer reads, a parameter whose type is a dataclass is replaced by the fields of that class,
    each an option declared by its annotation. The command is called with an instance of the class.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if hasattr(kind, "__dataclass_fields__")}
    signature = inspect.signature(command)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name in groups:
            parameters += _options_of(groups[parameter.name])
        else:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))

    @wraps(command)
    def called(**given: Any) -> Any:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        return command(**given)

    keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    called.__signature__ = signature.replace(parameters=keyword)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword}
    return called  # type: ignore[return-value]


def _options_of(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(f.name, kind, default=f.default, annotation=hints[f.name]) for f in fields(group)]


def option_names(group: Any, name: str) -> list[str]:
    """Return the names of the option of a field, such as ``["--strides", "--shrink-factors"]``; none if it has none."""
    hint = get_type_hints(group, include_extras=True).get(name)
    if hint is None:
        return []
    info = next(part for part in hint.__metadata__ if isinstance(part, OptionInfo))
    # Typer stores the first name as the default.
    names = [str(declared) for declared in (info.default, *(info.param_decls or ()))]
    return [declared.partition("/")[0] for declared in names if declared.startswith("--")]
