"""Notebooks as pages: a hook of MkDocs that makes a page of every ``.ipynb``, with the outputs stored in it."""

import json
import re
from pathlib import Path
from typing import Any

_SHOWN = ("text/html", "image/png", "image/jpeg", "text/plain")  # the first that an output has
_COLOUR = re.compile("\x1b" + r"\[[0-9;]*m")


def on_files(files: Any, config: Any) -> Any:
    """Add a page for every notebook, beside the notebook itself."""
    from mkdocs.structure.files import File

    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        name = Path(file.src_uri).name
        text = page(json.loads(Path(file.abs_src_path).read_text(encoding="utf-8")), name)
        files.append(File.generated(config, file.src_uri.removesuffix(".ipynb") + ".md", content=text))
    return files


def page(notebook: dict[str, Any], name: str) -> str:
    """Return a notebook as Markdown: its text, its code, and below each cell what it shows."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif source:
            parts.append(_fence("python", source))
            parts += [shown for output in cell["outputs"] if (shown := _output(output))]
    title, *rest = parts
    return "\n\n".join([title, f"[Download this notebook]({name})", *rest]) + "\n"


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return _fence("text", "".join(output["text"]))
    data = output.get("data", {})
    kind = next((kind for kind in _SHOWN if "".join(data.get(kind, "")).strip()), None)
    if kind is None or (kind == "text/plain" and "text/html" in data):  # a progress bar, removed at its end
        return ""
    content = "".join(data[kind]).strip()
    if kind == "text/html":
        return f'<div class="output">{content}</div>'
    if kind.startswith("image/"):
        picture = content.replace("\n", "")
        return f'<div class="output"><img alt="Output of the cell above" src="data:{kind};base64,{picture}"></div>'
    return _fence("text", content)


def _fence(language: str, text: str) -> str:
    return f"```{language}\n{_COLOUR.sub('', text).rstrip()}\n```"
