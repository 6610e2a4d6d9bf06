"""Help of the commands: panels that fit on a screen, every text whole, names that people know."""

import pytest
import typer
from typer.testing import CliRunner

from learngn.cli import app
from learngn.cli.command import add_command
from learngn.cli.panels import PANELS

SCREEN = {"COLUMNS": "100"}


def commands():
    group = typer.main.get_command(app)
    found = {(name,): command for name, command in group.commands.items() if not hasattr(command, "commands")}
    for name, part in group.commands.items():
        found |= {(name, inner): command for inner, command in getattr(part, "commands", {}).items()}
    return found


def shown(*arguments, width=100, program=app):
    result = CliRunner().invoke(program, list(arguments), env={"COLUMNS": str(width)})
    assert result.exit_code == 0
    return result.stdout


def panels(text):
    return [line.split()[1] for line in text.splitlines() if line.startswith("╭")]


@pytest.mark.parametrize("path", sorted(commands()), ids=" ".join)
def test_every_command_fits_on_a_screen(path):
    assert len(shown(*path, "--help").splitlines()) <= 50


def test_register_fits_on_a_screen():
    text = shown("register", "--help")
    assert len(text.splitlines()) <= 50
    assert max(map(len, text.splitlines())) <= 100
    assert panels(text) == ["Input", "Output", "Registration", "Guidance", "Scores"]
    assert "--features" not in text.partition("╭")[0]  # in the example: the recognised preset


def test_all_options_of_register():
    text = shown("register", "--help-all")
    assert panels(text)[-1] == "Expert"
    command = commands()["register",]
    for parameter in command.params:
        assert parameter.param_type_name == "argument" or max(parameter.opts, key=len).lstrip("-") in text
    hidden = [p for p in command.params if getattr(p, "rich_help_panel", None) == "Expert"]
    short = shown("register", "-h")
    assert f"also {len(hidden)} options for experts" in short
    for parameter in hidden:
        assert parameter.opts[0] not in short


@pytest.mark.parametrize("path", sorted(commands()), ids=" ".join)
def test_panels_are_alike(path):
    """In one order, each option in one of them, with what stands for its value."""
    found = panels(shown(*path, "--help-all"))
    assert found == [panel for panel in PANELS if panel in found]
    for parameter in commands()[path].params:
        if parameter.name not in ("help", "help_all"):
            assert parameter.rich_help_panel in PANELS
            assert parameter.metavar or parameter.count or parameter.is_flag


@pytest.mark.parametrize("path", sorted(commands()), ids=" ".join)
def test_every_text_appears_whole(path):
    """Units and names in brackets included."""
    text = " ".join(shown(*path, "--help-all", width=1000).replace("│", " ").split())
    for parameter in commands()[path].params:
        if parameter.name not in ("help", "help_all") and not getattr(parameter, "hidden", False):
            assert " ".join((parameter.help or "").split()) in text
            assert (parameter.metavar or "") in text


@pytest.mark.parametrize("path", sorted(commands()), ids=" ".join)
def test_no_features_have_a_short_name(path):
    """`-f` is the fixed image, as in ANTs and elastix."""
    for parameter in commands()[path].params:
        assert ("-f" in parameter.opts) == ("--fixed" in parameter.opts)
        assert ("-m" in parameter.opts) == ("--moving" in parameter.opts)


def test_brackets_are_no_markup():
    program = typer.Typer(rich_markup_mode="rich")

    def measure(length: float = typer.Option(1.0, help="Length [mm], [bold]not[/bold] more. [default: far]")) -> None:
        """Measure [voxel]."""

    add_command(program, measure)
    text = shown("--help", width=200, program=program)
    assert "Length [mm], [bold]not[/bold] more. [default: far]" in text
    assert "Measure [voxel]." in text


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("{fixed}", "{moving}"), "as usual"),
        (("-f", "{fixed}", "-m", "{moving}"), "as usual"),
        (("--moving", "{moving}", "--fixed", "{fixed}"), "as usual"),
        (("-m", "{moving}", "{fixed}"), "as usual"),
        (("{moving}", "--fixed", "{fixed}"), "as usual"),
        (("{fixed}",), "moving image: got none"),
        (("-m", "{moving}"), "fixed image: got none"),
        (("-f", "{fixed}", "-m", "{moving}", "{fixed}"), "as well, expected a fixed and a moving image"),
    ],
)
def test_images_by_position_or_by_name(names, expected, learngn, tmp_path, monkeypatch):
    asked = []

    def register_files(fixed, moving, *others, **named):
        asked.append((fixed.image.name, moving.image.name))
        raise KeyboardInterrupt

    monkeypatch.setattr("learngn.cli.register.register_files", register_files)
    paths = [name.format(fixed="fixed.nii", moving="moving.nii") for name in names]
    result = learngn("register", *paths, "-o", tmp_path / "out")
    if expected == "as usual":
        assert asked == [("fixed.nii", "moving.nii")]
    else:
        assert (result.exit_code, asked) == (2, [])
        assert expected in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        (("--shrink-factors", "8,4"), {"strides": (8.0, 4.0)}),
        (("--shrink-factors", "8x4", "--iterations", "20x10"), {"strides": (8.0, 4.0), "iterations": (20, 10)}),
        (("--ignore-outside",), {"overlap": True}),
        (("--no-ignore-outside",), {"overlap": False}),
        (("--no-symmetric",), {"symmetric": False}),
        (("--one-sided",), {"symmetric": False}),
        (("--regularizer", "curvature"), {"regulariser": "curvature"}),
    ],
)
def test_names_of_other_programs(options, setting, learngn, tmp_path, monkeypatch):
    asked = []

    def register_files(fixed, moving, output, request, **named):
        asked.append(request.changes)
        raise KeyboardInterrupt

    monkeypatch.setattr("learngn.cli.register.register_files", register_files)
    learngn("register", "a.nii", "b.nii", "-o", tmp_path / "out", *options)
    assert asked == [setting]


def test_apply_and_convert_take_the_fixed_image_by_either_name(learngn, scans, tmp_path):
    fixed, moving = scans["fixed"], scans["moving"]
    for name in ("-r", "-f", "--reference", "--fixed"):
        out = tmp_path / f"out{name}.nii.gz"
        assert learngn("apply", moving, "--identity", name, fixed, "-m", moving, "-o", out).exit_code == 0
        assert out.exists()
