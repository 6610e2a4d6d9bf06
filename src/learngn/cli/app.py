"""The program: its commands, and the handling of their errors."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from learngn._version import __version__
from learngn.cli import console
from learngn.cli.apply import apply
from learngn.cli.benchmark import benchmark
from learngn.cli.cohort import cohort
from learngn.cli.command import add_command
from learngn.cli.convert import convert
from learngn.cli.demo import demo
from learngn.cli.evaluate import evaluate
from learngn.cli.info import info
from learngn.cli.jacobian import jacobian
from learngn.cli.longitudinal import longitudinal
from learngn.cli.propagate import propagate
from learngn.cli.radiotherapy import radiotherapy
from learngn.cli.register import register
from learngn.cli.series import series
from learngn.cli.settings_options import option_of
from learngn.cli.submission import submission
from learngn.cli.template import template
from learngn.cli.train import train
from learngn.cli.tune import tune
from learngn.cli.warm import warm
from learngn.errors import LearnGNError, ModelError, SettingsError

USER_ERROR, INTERRUPTED = 2, 130
_QUIET = "learngn.quiet"


class Program(TyperGroup):
    """Group of commands that reports user errors as one line with status 2; other exceptions are bugs and propagate.

    Warnings about image headers are lines ``warning: ...`` on stderr.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remember for :meth:`invoke` whether ``--quiet``, an option of the command, is given."""
        ctx.meta[_QUIET] = not {"-q", "--quiet"}.isdisjoint(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            with console.header_warnings(quiet=ctx.meta.get(_QUIET, False)):
                return super().invoke(ctx)
        except LearnGNError as error:
            raise _end(f"error: {_by_option(error)}", USER_ERROR) from None
        except BrokenPipeError:  # the reader of the output has ended; typer exits without a message
            raise
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            message = f"error: {place}got '{error.strerror or error}', expected a file or folder that can be used"
            raise _end(f"{message}; check its path, its rights and the space on the disk", USER_ERROR) from None
        except KeyboardInterrupt:
            raise _end("interrupted", INTERRUPTED) from None


def _by_option(error: LearnGNError) -> LearnGNError:
    """Replace the name of a setting in an error by its option: the library only knows the setting."""
    if not isinstance(error, SettingsError | ModelError):
        return error
    return type(error)(option_of(error.what), error.got, error.expected, error.remedy)


def _end(message: str, status: int) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(status)


app = typer.Typer(
    cls=Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"learngn {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print version.")
    ] = False,
) -> None:
    """Deformable registration of medical scans by differentiable Gauss-Newton optimisation.

    First steps:  learngn demo
    """


for command in (
    demo,
    register,
    apply,
    convert,
    jacobian,
    longitudinal,
    evaluate,
    submission,
    cohort,
    series,
    propagate,
    template,
    radiotherapy,
    tune,
    train,
    warm,
    info,
):
    add_command(app, command)
app.add_typer(benchmark)
