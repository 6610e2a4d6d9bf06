"""What is said while a command runs: on the terminal by its verbosity, and all of it in a log beside the results."""

import logging

import pytest
import typer

from learngn.cli.command import add_command
from learngn.cli.log import Terminal

PAIR = ("register", "{fixed}", "{moving}", "-o", "{out}", "--no-report")


@pytest.fixture
def terminal():
    """The handler that the program installs."""
    own, handler = logging.getLogger("learngn"), Terminal()
    others = [other for other in own.handlers if isinstance(other, Terminal)]  # of programs run in this process
    for other in others:
        own.removeHandler(other)
    own.addHandler(handler)
    yield handler
    own.removeHandler(handler)
    for other in others:
        own.addHandler(other)


@pytest.mark.parametrize(
    ("options", "heard"),
    [
        (("--quiet",), ["failed"]),
        (("--quiet", "-vv"), ["failed"]),
        ((), ["compiled", "warned", "failed"]),
        (("-v",), ["chosen", "compiled", "warned", "failed"]),
        (("-vv",), ["stepped", "chosen", "compiled", "warned", "failed"]),
        (("-vvv",), ["stepped", "chosen", "compiled", "warned", "failed"]),
        (("--verbose", "--verbose"), ["stepped", "chosen", "compiled", "warned", "failed"]),
    ],
)
def test_verbosity(options, heard, terminal, capsys):
    def speak(quiet: bool = False) -> None:
        log = logging.getLogger("learngn.optimise")
        log.debug("stepped")
        log.info("chosen")
        logging.getLogger("learngn.kernels.warm").info("compiled")
        log.warning("warned")
        log.error("failed")

    program = typer.Typer()
    add_command(program, speak)
    own = logging.getLogger("learngn")
    level = own.level
    program(list(options), standalone_mode=False)
    assert (own.level, terminal.verbosity) == (level, 0)
    assert [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()] == heard


def test_register_says_what_it_chose(learngn, scans, tmp_path, fast, terminal):
    said = learngn(*(word.format(**scans, out=tmp_path / "out") for word in PAIR), *fast, "-v").stderr
    for part in ("fixed image: 24x20x16", "preset brain-mr: ", "linear alignment: started by", "level 1 of 2: "):
        assert part in said
    assert "level 2 of 2: " in said
    assert "verdict: " in said
    assert "step 1" not in said
    said = learngn(*(word.format(**scans, out=tmp_path / "out") for word in PAIR), *fast, "-vv").stderr
    assert "level 2, step 1: energy" in said


def test_log_of_a_result(learngn, scans, tmp_path, fast, terminal, monkeypatch):
    """Complete however quiet the command is, and of the last run alone."""
    monkeypatch.setattr("sys.argv", ["learngn", "register", "first"])
    arguments = [word.format(**scans, out=tmp_path / "out") for word in PAIR]
    assert learngn(*arguments, *fast, "-q").stderr == ""
    lines = (tmp_path / "out" / "learngn.log").read_text(encoding="utf-8").splitlines()
    assert lines[0].endswith("INFO    learngn: learngn register first")
    assert any("DEBUG   learngn.registration.messages: level 2, step 1" in line for line in lines)
    assert any("preset brain-mr" in line for line in lines)
    monkeypatch.setattr("sys.argv", ["learngn", "register", "again"])
    learngn(*arguments, *fast)
    text = (tmp_path / "out" / "learngn.log").read_text(encoding="utf-8")
    assert "register again" in text
    assert "register first" not in text


def test_no_log_of_a_run_that_fails(learngn, scans, tmp_path):
    scans["moving"].write_text("no image")
    assert learngn(*(word.format(**scans, out=tmp_path / "out") for word in PAIR)).exit_code == 2
    assert not (tmp_path / "out").exists()
    assert not [handler for handler in logging.getLogger("learngn").handlers if "RunLog" in type(handler).__name__]


def test_log_of_a_cohort_goes_on(learngn, dataset, tmp_path, fast):
    for _ in range(2):
        assert learngn("cohort", dataset, "-o", tmp_path / "out", "--no-report", *fast).exit_code == 0
    text = (tmp_path / "out" / "learngn.log").read_text(encoding="utf-8")
    assert "3 pairs, 0 of them registered before" in text
    assert "pair 0001_0003: " in text
    assert "level 2, step 1" in text
    assert "3 pairs, 3 of them registered before" in text.partition("3 pairs, 0")[2]


def test_lines_stay_lines(learngn, scans, tmp_path, fast, monkeypatch):
    monkeypatch.setattr("sys.argv", ["learngn", "register", "a\nINFO forged"])
    learngn(*(word.format(**scans, out=tmp_path / "out") for word in PAIR), *fast)
    assert "\nINFO forged" not in (tmp_path / "out" / "learngn.log").read_text(encoding="utf-8")
