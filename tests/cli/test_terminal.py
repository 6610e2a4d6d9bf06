"""The program on any terminal: help and messages in any encoding, whole, and no messages but its own."""

import json
import os
import subprocess
import sys

import pytest

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
    for options, ours in ((), ["warning: ours 1", "ours 3"]), (("-v",), ["warning: ours 1", "ours 2", "ours 3"]):
        status, out, err = process("info", *options, code=code)
        assert (status, out.split()) == (0, [b"a", b"b"])
        assert err.decode().splitlines() == ours


def test_the_library_leaves_streams_and_logs_alone():
    code = "import sys, logging, warnings; before = sys.stderr, warnings.showwarning\nimport learngn.cli, learngn.io\n"
    code += "assert (sys.stderr, warnings.showwarning) == before and logging.getLogger('learngn').level == 0\n"
    code += "(handler,) = logging.getLogger('learngn').handlers\nassert type(handler) is logging.NullHandler"
    assert process(code=code)[0] == 0
