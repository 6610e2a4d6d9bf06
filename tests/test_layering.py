"""The one-way rule of imports (docs/architecture.md), read from the source, and words that do not belong there."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "learngn"

# Top to bottom. A part imports what stands in lower rows, never what stands in its own row or above.
LAYERS = (
    {"__main__"},
    {"cli"},
    {"atlas", "longitudinal", "paper", "testing", "workflow"},
    {"cohort", "learning", "phantom"},
    {"report"},
    {"results"},
    {"evaluation", "radiotherapy", "series"},
    {"registration"},
    {"model", "quality", "uncertainty"},
    {"optimise"},
    {"features", "interop", "linearise", "solve"},
    {"settings"},
    {"io", "regularise"},
    {"memory"},
    {"geometry"},
    {"kernels"},
    {"arrays"},
    {"clock", "errors", "threads", "_version"},
)
RANK = {part: row for row, parts in enumerate(LAYERS) for part in parts}

# Narrower than their row allows.
ONLY = {
    "io": {"arrays", "geometry", "kernels", "errors", "threads"},
    "phantom": {"arrays", "geometry", "errors"},
}
# What lies below them, but is none of their business: numbers come from tensors there, not from files.
NEVER = {"optimise": {"io"}, "linearise": {"io"}, "solve": {"io"}}
# Upwards, but inside a function or for types alone: methods by which objects are read, written and shown.
INSIDE_FUNCTIONS = {
    "geometry": {"interop", "io", "report"},
    "registration": {"evaluation", "report", "workflow"},
    "series": {"workflow"},
}


class Import(NamedTuple):
    part: str
    target: str
    inside_function: bool
    place: str


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def files() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def is_part(name: str) -> bool:
    return (SOURCE / name).is_dir() or (SOURCE / f"{name}.py").is_file()


def targets(node: ast.AST) -> Iterator[str]:
    """Parts of learngn that an import statement names; "" is the front door, `learngn` itself."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        if node.level:
            yield "relative import"
            return
        inside = node.module == "learngn"
        names = [f"learngn.{a.name}" if inside and is_part(a.name) else str(node.module) for a in node.names]
    else:
        return
    for name in names:
        package, _, rest = name.partition(".")
        if package == "learngn":
            yield rest.split(".")[0]


def for_types(node: ast.AST) -> bool:
    """Whether a node is a block `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(path: Path) -> Iterator[Import]:
    def visit(node: ast.AST, inside: bool) -> Iterator[Import]:
        for target in targets(node):
            place = f"{path.relative_to(SOURCE.parents[1])}:{getattr(node, 'lineno', 0)}"
            yield Import(part_of(path), target, inside, place)
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or for_types(node)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    return visit(ast.parse(path.read_text(encoding="utf-8")), False)


def allowed(found: Import) -> bool:
    part, target = found.part, found.target
    if target == part:
        return True
    if target in INSIDE_FUNCTIONS.get(part, set()):
        return found.inside_function
    if (part in ONLY and target not in ONLY[part]) or target in NEVER.get(part, set()):
        return False
    return target in RANK and RANK[target] > RANK[part]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_one_way(path):
    assert part_of(path) in RANK, f"{part_of(path)} is new: give it a row in LAYERS and a line in docs/architecture.md"
    wrong = [found for found in imports(path) if not allowed(found)]
    assert not wrong, "\n".join(f"{w.place}: {w.part} imports {w.target or 'the package itself'}" for w in wrong)


def modules() -> dict[str, Path]:
    """Files by the name under which they are imported."""
    return {".".join(("learngn", *path.relative_to(SOURCE).with_suffix("").parts)): path for path in files()}


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Modules that a file imports when it is imported, or for types alone; not inside functions."""

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else str(node.module) for name in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for child in ast.iter_child_nodes(node):
                yield from visit(child)

    yield from (name for name in visit(ast.parse(path.read_text(encoding="utf-8"))) if name in known)


def test_no_circle_of_imports():
    """Within the parts too; what a package offers at its door (__init__) is left out: its own files do not use it."""
    known = modules()
    left = {name: set(imported(path, known)) - {name} for name, path in known.items() if path.stem != "__init__"}
    while left:
        free = [name for name, targets in left.items() if not targets & left.keys()]
        assert free, f"a circle of imports among {sorted(left)}"
        left = {name: targets for name, targets in left.items() if name not in free}


def test_few_loose_files():
    loose = {path.stem for path in SOURCE.glob("*.py")} - {"__init__", "__main__", "_version", "errors"}
    assert loose == {"clock", "memory", "threads"}


@pytest.mark.parametrize(
    "path",
    [path for path in files() if part_of(path) not in ("kernels", "cli")],
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_no_function_has_many_parameters(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            # `learngn.register` is the call behind a command: what are options there are keywords here.
            most = 20 if (path.name, node.name) == ("pipeline.py", "register") else 12
            assert len([*given.posonlyargs, *given.args, *given.kwonlyargs]) <= most, node.name


def words(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assert):
            yield f"line {node.lineno}: assert (raise an exception of learngn.errors)"
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id == "print":
                yield f"line {node.lineno}: print (return it, or show it in learngn.cli)"
            if isinstance(node.func, ast.Attribute) and node.func.attr == "cuda":
                yield f"line {node.lineno}: .cuda() (follow the device of the inputs)"


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_words_that_do_not_belong_in_the_library(path):
    assert list(words(path)) == []


@pytest.mark.parametrize(
    ("part", "source", "fine"),
    [
        ("solve", "from learngn.kernels import warp", True),
        ("solve", "from learngn import kernels", True),
        ("solve", "from learngn.solve.operator import NormalOperator", True),
        ("solve", "import numpy", True),
        ("solve", "from learngn.linearise import Analytic", False),
        ("solve", "def f():\n    from learngn.registration import register", False),
        ("solve", "from learngn import Image", False),
        ("solve", "from . import pcg", False),
        ("geometry", "from learngn.io import write_transform", False),
        ("geometry", "def f():\n    from learngn.io import write_transform", True),
        ("geometry", "if TYPE_CHECKING:\n    from learngn.interop.types import ImageLike", True),
        ("geometry", "def f():\n    from learngn.features import Mind", False),
        ("optimise", "from learngn.io import read_image", False),
        ("features", "from learngn.io import read_scores", True),
        ("io", "from learngn.features import mind", False),
        ("io", "import learngn.geometry.transform", True),
        ("phantom", "from learngn.geometry.image import Image", True),
        ("phantom", "from learngn import kernels", False),
    ],
)
def test_the_rule_itself(part, source, fine, tmp_path, monkeypatch):
    for name in RANK:
        (tmp_path / name).mkdir()
    path = tmp_path / part / "module.py"
    path.write_text(source)
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    assert all(allowed(found) for found in imports(path)) is fine
