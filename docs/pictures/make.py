"""Make the pictures of the documentation from phantoms: ``python docs/pictures/make.py [--browser PATH] [NAME ...]``.

Names are those of `FIGURES` in `figures` and `applications`, or ``reports`` for the pictures of reports, which need
Playwright; all by default.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import applications
import figures
import screens
from PIL import Image as Picture

IMAGES = Path(__file__).parents[1] / "images"
_DPI = 110
_QUALITY = 82


def main() -> None:
    """Read the arguments and make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="pictures to make; all by default")
    parser.add_argument("--browser", help="Chromium, if Playwright has none of its own")
    arguments = parser.parse_args()
    drawn = {**figures.FIGURES, **applications.FIGURES}
    names = arguments.names or [*drawn, "reports"]
    with tempfile.TemporaryDirectory() as folder:
        work, made = Path(folder), Path(folder) / "images"
        made.mkdir()
        for name in names:
            if name == "reports":
                with screens.browser(arguments.browser) as opened:
                    screens.pictures(opened, made, work)
            else:
                drawn[name]().savefig(made / f"{name}.png", dpi=_DPI)
        for path in sorted(made.iterdir()):
            small(path, IMAGES / path.name)


def small(source: Path, target: Path) -> None:
    """Write a picture as WebP, a quarter of a PNG."""
    with Picture.open(source) as picture:
        picture.convert("RGB").save(target.with_suffix(".webp"), quality=_QUALITY, method=6)


if __name__ == "__main__":
    main()
