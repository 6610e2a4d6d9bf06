"""What the pages say is so: options exist and are described, defaults are the code's, every part has its page."""

import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from learngn.cli import app
from learngn.learning import TrainingConfig
from learngn.learning.config import AugmentationConfig, LossConfig
from learngn.model import LineariserConfig, NetworkConfig, VoxelMorphConfig

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
THEIRS = {"--save_probabilities", "--save_npz", "--roi_subset", "--nthreads", "--nworkers"}  # of other programs
OF_ALL = {"--help", "--json", "--quiet", "--output", "--version", "--install-completion", "--show-completion"}
KEYS = {
    "All keys": TrainingConfig(features="organ-distance"),
    "`[network]`": NetworkConfig(),
    "`[lineariser]`": LineariserConfig(),
    "`[losses]`": LossConfig(),
    "`[augmentation]`": AugmentationConfig(),
    "`[voxelmorph]`": VoxelMorphConfig(),
}


def options(command, name="") -> dict[str, list[set[str]]]:
    """Names of every option by command; those of its sub-commands in its place."""
    if hasattr(command, "commands"):
        children = [options(child, f"{name} {child.name}".strip()) for child in command.commands.values()]
        return {key: found for child in children for key, found in child.items()}
    return {name: [{*p.opts, *p.secondary_opts} for p in command.params if p.opts[0].startswith("-")]}


OPTIONS = options(typer.main.get_command(app))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_are_named_exist(page):
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    named = {option for code in re.findall(r"`([^`]+)`", prose) for option in re.findall(r"(?<!\S)--[\w-]+", code)}
    known = THEIRS | OF_ALL | {name for command in OPTIONS.values() for names in command for name in names}
    assert not {option for option in named if option not in known}


@pytest.mark.parametrize("command", OPTIONS)
def test_every_option_is_described(command):
    text = (ROOT / "docs" / "cli.md").read_text()
    missing = [
        names
        for names in OPTIONS[command]
        if not names & OF_ALL and not any(re.search(rf"[`\s]{name}(?![\w-])", text) for name in names)
    ]
    assert not missing, f"describe them in docs/cli.md, under {command}"


@pytest.mark.parametrize("heading", KEYS)
def test_defaults_of_a_training_are_those_of_the_code(heading):
    table = (ROOT / "docs" / "training.md").read_text().split(heading)[-1].split("| key |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    described = {key for keys, *_ in rows for key in re.findall(r"`(\w+)`", keys)}
    defaults = KEYS[heading].model_dump(mode="json")
    assert described == set(defaults)
    for keys, values, *_ in rows:
        names = re.findall(r"`(\w+)`", keys)
        try:
            numbers = json.loads(f"[{values.replace('`', '').rstrip(' *')}]")
        except ValueError:
            continue  # in words
        assert numbers == [defaults[name] for name in names]


def test_keys_of_a_result_are_described(prepare):
    prepare("")
    labels = ("--fixed-labels", "f.nii.gz", "--moving-labels", "m.nii.gz")
    arguments = ("fixed.nii.gz", "moving.nii.gz", "-o", "result", *labels, "--symmetric", "--no-report")
    assert CliRunner().invoke(app, ["register", *arguments]).exit_code == 0
    described = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "formats.md").read_text()))
    assert set(json.loads(Path("result/metrics.json").read_text())) <= described


def test_every_part_has_a_reference_page():
    parts = {path.stem for path in (ROOT / "src" / "learngn").iterdir() if not path.name.startswith("_")} - {"py"}
    pages = {page.stem for page in (ROOT / "docs" / "api").glob("*.md")}
    remedy = "give each part docs/api/<part>.md and a line in mkdocs.yml (commands: docs/cli.md)"
    assert parts - {"cli"} == pages, remedy
