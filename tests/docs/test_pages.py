"""Every command and every example of the pages runs, in a folder of small phantoms under the names that the pages use.

A block that cannot run here says why in a comment above it, ``<!-- not run: needs Slurm -->``, or, if it runs where a
package is installed, ``<!-- not run without torchio -->``. Its commands are read by the program's parser all the same.
"""

import ast
import doctest
import json
import re
import shlex
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from packaging.requirements import Requirement
from typer.testing import CliRunner

from learngn.cli import app

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DATA = ("text", "json", "toml", "yaml")  # to look at: nothing to run
MOST_NOT_RUN = 30
AFTER = {"own-network.md": "training.md"}  # pages that use the data set which another one's first example writes

# Options that come last and so take the place of the page's own: a test need not do the whole work.
LAST = {
    "train": ("--steps", "2"),
    "benchmark": ("--steps", "2", "--curve-pairs", "1"),
    "cohort": ("--workers", "1"),
    "propagate": ("--workers", "1", "--atlases", "2"),
    "template": ("--workers", "1", "--rounds", "1", "--limit", "2"),
    "tune": ("--pairs", "1", "--rounds", "1"),
}
# The same for Python.
LESS = {
    "steps=20": "steps=2",
    "steps=30": "steps=2",
    "workers=4": "workers=1",
    "abdomen((144, 100)": "abdomen((48, 40)",
    "range(1, 35)": "range(1, 9)",
    "names[:30]": "names[:6]",
    "names[30:]": "names[6:]",
}
# Two subjects of page and test: the numbers of what LESS makes.
NAMES = {"Phantoms_0031": "Phantoms_0007", "Phantoms_0032": "Phantoms_0008"}

_FENCE = re.compile(r"^(?:<!-- not run(?P<why>.*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, what it is, and why it is not run, "" if it is."""

    place: str
    language: str
    text: str
    why: str

    @property
    def commands(self) -> list[list[str]]:
        """Words of each command of a shell block."""
        lines = self.text.replace("\\\n", " ").replace("&&", "\n").splitlines()
        return [words for words in (shlex.split(line, comments=True) for line in lines) if words]

    @property
    def runs(self) -> bool:
        without = re.match(r" without (\w+)$", self.why)
        return find_spec(without[1]) is not None if without else not self.why


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            f"{page.name}:{text.count(chr(10), 0, found.start('text'))}",
            found["language"],
            found["text"],
            found["why"] or "",
        )
        for found in _FENCE.finditer(text)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.slow
def test_blocks_run(page, prepare, tmp_path):
    names = prepare(page.read_text())
    if page.name in AFTER:
        run_python(next(b for b in blocks(page.with_name(AFTER[page.name])) if b.language == "python"), names)
    for block in blocks(page):
        if block.language not in ("bash", "python", "pycon", *DATA):
            pytest.fail(f"{block.place}: nothing knows how to run a block of {block.language!r}")
        try:
            if block.language in DATA:
                look_at(block, tmp_path)
            elif block.runs:
                {"bash": run_commands, "python": run_python, "pycon": run_doctest}[block.language](block, names)
        except Exception as error:
            raise AssertionError(f"{block.place}: {type(error).__name__}: {error}\n\n{block.text}") from error


def run_commands(block: Block, names: dict[str, object]) -> None:
    for words in block.commands:
        if words[0] == "learngn":
            arguments = [_fewer(word, NAMES) for word in words[1:]]
            result = CliRunner().invoke(app, [*arguments, *LAST.get(words[1], ())])
            said = f"{shlex.join(words)} ended with status {result.exit_code}: {result.output[-2000:]}"
            assert result.exit_code == 0, said if result.exception is None else f"{said} {result.exception!r}"
        elif words[:2] == ["pip", "install"]:
            check_installable(words[2:])
        else:
            pytest.fail(f"nothing knows how to run {shlex.join(words)}: say `<!-- not run: WHY -->` above it")


def run_python(block: Block, names: dict[str, object]) -> None:
    text = _fewer(block.text, LESS | NAMES)
    exec(compile(text, block.place, "exec"), names)


def run_doctest(block: Block, names: dict[str, object]) -> None:
    example = doctest.DocTestParser().get_doctest(block.text, names, block.place, block.place, 0)
    shown: list[str] = []
    failed, tried = doctest.DocTestRunner().run(example, out=shown.append, clear_globs=False)
    assert tried
    assert not failed, "".join(shown)
    names.update(example.globs)


def look_at(block: Block, folder: Path) -> None:
    """JSON and TOML are what they say they are; a file that the block names in its first line is there from then on."""
    if block.language == "json":
        json.loads(block.text)
    elif block.language == "toml":
        tomllib.loads(block.text)
        (folder / block.text.splitlines()[0].removeprefix("# ")).write_text(block.text)


def check_installable(words: list[str]) -> None:
    """What pip is told to install is this project, with extras that it has, or what these need; constraints exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    if words[0] == "-c":
        assert (ROOT / words[1]).is_file()
        words = words[2:]
    needed = {Requirement(text).name for extra in project["optional-dependencies"].values() for text in extra}
    for word in words[: words.index("--index-url")] if "--index-url" in words else words:
        requirement = Requirement(re.sub(r"^\.", "learngn", word))
        assert requirement.name in {"learngn", *needed}
        assert requirement.extras <= set(project["optional-dependencies"])


def _fewer(text: str, changes: dict[str, str]) -> str:
    for before, after in changes.items():
        text = text.replace(before, after)
    return text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_do_not_run_are_well_formed(page):
    program = typer.main.get_command(app)
    for block in blocks(page):
        if block.runs:
            continue
        if block.language == "python":
            ast.parse(block.text)
        for words in block.commands if block.language == "bash" else []:
            if words[0] == "learngn":
                parse(program, words[1:])
            elif words[0] == "python":
                source = (ROOT / words[1]).read_text()
                assert not [word for word in words if word.startswith("--") and f'"{word}"' not in source], block.place


def parse(program, words: list[str]) -> None:
    """Read arguments as the program does, without doing anything; raises for an unknown option or a wrong value."""
    command = program
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, list(words)).close()


def test_few_blocks_are_not_run():
    found = [block for page in PAGES for block in blocks(page) if block.why]
    odd = [block.place for block in found if not re.match(r": \w|" r" without \w+$", block.why)]
    assert not odd, "say why: `<!-- not run: needs Slurm -->` or `<!-- not run without torchio -->`"
    assert len(found) <= MOST_NOT_RUN, [block.place for block in found]


def test_every_comment_belongs_to_a_block():
    for page in PAGES:
        assert page.read_text().count("<!-- not run") == sum(bool(block.why) for block in blocks(page)), page.name


def test_what_is_made_smaller_is_on_the_pages():
    text = "".join(page.read_text() for page in PAGES)
    assert not [before for before in (LESS | NAMES) if before not in text]
