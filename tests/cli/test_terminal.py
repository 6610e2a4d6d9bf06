"""The program on any terminal: help and messages in any encoding, whole, and no messages but its own."""

import json
import logging
import os
import re
import subprocess
import sys

import pytest
import typer

from learngn.cli import app
from learngn.cli.command import Command

ENCODINGS = ("ascii", "cp1252", "latin-1", "cp437", "utf-8", "utf-8:strict")


def process(*arguments, code=None, **variables):
    """Run the program, or a script that does, in a process of its own."""
    start = ["-m", "learngn"] if code is None else ["-c", code]
    done = subprocess.run(
        [sys.executable, *start, *map(str, arguments)],
        env=os.environ | variables,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_help_in_any_encoding(encoding):
    status, out, err = process("register", "--help", PYTHONIOENCODING=encoding)
    assert (status, err) == (0, b"")
    text = out.decode(encoding.partition(":")[0])
    assert "--features" in text
    assert ("λ" in text or "²" in text) == encoding.startswith("utf") or encoding in ("cp1252", "latin-1", "cp437")


def test_help_in_the_plain_locale():
    status, out, err = process("register", "--help", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (status, err) == (0, b"")
    assert b"--features" in out


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_a_message_about_a_name_that_the_terminal_lacks(encoding):
    status, out, err = process("register", "Kopfλ.nii", "b.nii", "-o", "out", PYTHONIOENCODING=encoding)
    assert (status, out) == (2, b"")
    assert err.decode(encoding).startswith("error: ")
    assert ("Kopf?.nii" if encoding == "cp1252" else "Kopfλ.nii") in err.decode(encoding)


def test_json_is_escaped_not_replaced():
    code = "import learngn.cli.info as info; info._system = lambda: {'name': 'λ'}\nfrom learngn.cli import main; main()"
    for encoding in ("ascii", "utf-8"):
        status, out, _ = process("info", "--json", code=code, PYTHONIOENCODING=encoding)
        assert status == 0
        assert json.loads(out.decode(encoding)) == {"name": "λ"}


def test_without_a_console():
    code = "import sys; sys.stdout = sys.stderr = None\nfrom learngn.cli.terminal import prepare; prepare()"
    assert process(code=code)[0] == 0


def test_other_libraries_are_not_heard():
    """Neither their warnings, nor their logs, nor what their native parts write; ours are."""
    code = (
        "import logging, os, sys, warnings\n"
        "import learngn.cli.info as info\n"
        "def collect():\n"
        "    warnings.warn('theirs 1')\n"
        "    logging.getLogger('dask').error('theirs 2')\n"
        "    os.write(2, b'theirs 3')\n"
        "    logging.getLogger('learngn').warning('ours 1')\n"
        "    logging.getLogger('learngn').info('ours 2')\n"
        "    sys.stderr.write('ours 3\\n')\n"
        "    return {'a': 'b'}\n"
        "info._system = collect\n"
        "from learngn.cli import main; main()"
    )
    status, out, err = process("info", code=code)
    assert (status, out.split()) == (0, [b"a", b"b"])
    assert err.decode().splitlines() == ["warning: ours 1", "ours 2", "ours 3"]


def test_the_library_leaves_streams_and_logs_alone():
    code = "import sys, logging, warnings; before = sys.stderr, warnings.showwarning\nimport learngn.cli, learngn.io\n"
    code += "assert (sys.stderr, warnings.showwarning) == before and not logging.getLogger('learngn').handlers"
    assert process(code=code)[0] == 0


@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_commands_log_errors_alone(quiet, caplog):
    log = logging.getLogger("learngn")

    def speak(quiet: bool = False) -> None:
        log.warning("warned")
        log.error("failed")

    program = typer.Typer()
    program.command(cls=Command)(speak)
    before = log.level
    program(["--quiet"] if quiet else [], standalone_mode=False)
    assert log.level == before
    assert [record.message for record in caplog.records] == (["failed"] if quiet else ["warned", "failed"])


def commands():
    group = typer.main.get_command(app)
    found = {(name,): command for name, command in group.commands.items() if not hasattr(command, "commands")}
    for name, part in group.commands.items():
        found |= {(name, inner): command for inner, command in getattr(part, "commands", {}).items()}
    return found


@pytest.mark.parametrize("path", sorted(commands()), ids=" ".join)
def test_every_text_of_the_help_appears_whole(path, learngn, monkeypatch):
    """Units and names in brackets included."""
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 1000)
    shown = " ".join(learngn(*path, "--help").stdout.replace("│", " ").split())
    for parameter in commands()[path].params:
        # As it was written, before the markup was escaped.
        written = " ".join(re.sub(r"\\\[", "[", parameter.help or "").split())
        assert written in shown
        if parameter.metavar and parameter.metavar.startswith("NAME[:"):
            assert parameter.metavar in shown


def test_brackets_are_no_markup(learngn):
    program = typer.Typer(rich_markup_mode="rich")

    @program.command(cls=Command)
    def measure(length: float = typer.Option(1.0, help="Length [mm], [bold]not[/bold] more. [default: far]")) -> None:
        """Measure [voxel]."""

    from typer.testing import CliRunner

    shown = CliRunner().invoke(program, ["--help"], env={"COLUMNS": "200"}).stdout
    assert "Length [mm], [bold]not[/bold] more. [default: far]" in shown
    assert "Measure [voxel]." in shown
