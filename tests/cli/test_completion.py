"""The shell completes commands and options, at once."""

import os
import subprocess
import sys

import pytest


def complete(shell: str, **line: str) -> subprocess.CompletedProcess[str]:
    program = "from learngn.cli import main; main()"
    environment = os.environ | {"_LEARNGN_COMPLETE": f"complete_{shell}"} | line
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [("learngn reg", "register"), ("learngn convert --ref", "--reference"), ("learngn benchmark pa", "paper")],
)
def test_bash(line, expected):
    found = complete("bash", COMP_WORDS=line, COMP_CWORD=str(line.count(" ")))
    assert found.stdout.split() == [expected]
    assert found.stderr == ""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(shell):
    action = {"_TYPER_COMPLETE_ARGS": "learngn reg", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert "register" in complete(shell, **action).stdout


def test_what_it_installs(learngn, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    shown = learngn("--show-completion", "bash")
    assert shown.exit_code == 0
    assert "=complete_bash" in shown.stdout
