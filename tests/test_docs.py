"""The documentation keeps its word: its examples run, and every part of the library has its page."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if "```pycon" in page.read_text()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_of_a_page(page):
    text = "\n".join(re.findall(r"^```pycon\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL))
    example = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    shown: list[str] = []
    failed, tried = doctest.DocTestRunner().run(example, out=shown.append)
    assert tried
    assert not failed, "".join(shown)


def test_every_part_has_a_reference_page():
    parts = {path.stem for path in (ROOT / "src" / "learngn").iterdir() if not path.name.startswith("_")} - {"py"}
    pages = {page.stem for page in (ROOT / "docs" / "api").glob("*.md")}
    remedy = "give each part docs/api/<part>.md and a line in mkdocs.yml (commands: docs/cli.md)"
    assert parts - {"cli"} == pages, remedy
