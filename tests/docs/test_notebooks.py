"""The notebooks of docs/notebooks run from an empty folder, and become pages with the outputs stored in them."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
LARGEST = 500_000  # bytes of a notebook with its outputs
LONGEST = 300  # seconds of a cell, on a busy machine; alone, a whole notebook takes less than thirty

names = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == ["cohort", "pair", "training"]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of Jupyter's own libraries
@names
def test_notebooks_run(path, tmp_path, monkeypatch):
    """In a kernel, as users run them; what their cells show is of the kinds that are stored."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    notebook = nbformat.read(path, as_version=4)
    stored = [kinds(cell) for cell in notebook.cells]
    client = nbclient.NotebookClient(notebook, timeout=LONGEST, resources={"metadata": {"path": str(work)}})
    client.execute()
    assert [kinds(cell) for cell in notebook.cells] == stored, "run it again, and store its outputs"
    assert list(work.iterdir()) == [], "files belong into a temporary folder"


def kinds(cell) -> set[str]:
    """Kinds of what a cell shows: text, pictures, HTML."""
    outputs = cell.get("outputs", [])
    return {kind for output in outputs for kind in output.get("data", {output.get("name", ""): ""})}


@names
def test_stored_outputs(path):
    """There are some, none is an error, none names a folder of the machine, and files stay small."""
    text = path.read_text(encoding="utf-8")
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] == number for number, cell in enumerate(cells, 1)), "run all cells in order"
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert not re.search(r"/tmp/|/home/|/root/|C:\\\\", text)
    assert len(text) < LARGEST


@names
def test_pages(path):
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / "docs" / "extensions" / "notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    text = module.page(notebook, path.name)
    assert text.startswith("# ")
    assert f"]({path.name})" in text
    assert text.count("```python\n") == sum(cell["cell_type"] == "code" for cell in notebook["cells"])
    assert "base64," in text
    assert "\x1b" not in text
    for line in text.splitlines():
        assert not line.startswith('<div class="output">') or line.endswith("</div>"), "HTML with a break in it ends"
    assert f"notebooks/{path.stem}.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
