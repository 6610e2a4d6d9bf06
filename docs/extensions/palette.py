"""Colours of the reports for these pages: a hook of MkDocs that takes them from the reports' stylesheet."""

import re
from pathlib import Path
from typing import Any

STYLES = Path(__file__).parents[2] / "src" / "learngn" / "report" / "page" / "page.css"
SCHEMES = ("default", "slate")  # Material's light and dark scheme
TARGET = "stylesheets/palette.css"

_ROOT = re.compile(r":root\s*\{([^}]*)\}")


def on_files(files: Any, config: Any) -> Any:
    """Add the stylesheet with the colours."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, TARGET, content=palette(STYLES.read_text(encoding="utf-8"))))
    return files


def palette(styles: str) -> str:
    """Return the colours of the reports as variables of both schemes.

    Parameters
    ----------
    styles : str
        Stylesheet of the reports, whose first ``:root`` has the light colours, and the second the dark ones.

    Raises
    ------
    ValueError
        If there are not two.
    """
    light, dark = _ROOT.findall(styles)
    rules = (
        f'[data-md-color-scheme="{scheme}"] {{{colours}}}\n'
        for scheme, colours in zip(SCHEMES, (light, dark), strict=True)
    )
    return "".join(rules)
