"""The site: its groups, its colours, its pictures; and, in a browser, that it opens and is searched from a folder."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONFIGURATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
LARGEST = 200_000  # bytes of a picture


def hook(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / "extensions" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_four_groups():
    assert re.findall(r"^  - ([\w ]+):$", CONFIGURATION.partition("\nnav:")[2], re.M) == [
        "Start",
        "How to",
        "Background",
        "Reference",
    ]


def test_what_users_need_comes_first_in_the_reference():
    pages = re.findall(r"api/(\w+)\.md", CONFIGURATION)
    assert pages[:5] == ["registration", "geometry", "settings", "io", "interop"]


def test_colours_are_those_of_the_reports():
    module = hook("palette")
    styles = module.STYLES.read_text(encoding="utf-8")
    light, dark = module.palette(styles).splitlines()[0], module.palette(styles).partition("slate")[2]
    accents = re.findall(r"--accent: (#\w+)", styles)
    assert len(accents) == 2
    made = re.findall(r"--accent: (#\w+)", module.palette(styles))
    assert made == accents
    assert '"default"' in light
    assert accents[1] in dark


def test_a_stylesheet_without_dark_colours_is_refused():
    with pytest.raises(ValueError, match="unpack"):
        hook("palette").palette(":root { --accent: #000000; }")


def test_every_colour_of_the_site_exists():
    used = set(re.findall(r"var\((--(?!md-)[\w-]+)\)", (DOCS / "stylesheets" / "site.css").read_text(encoding="utf-8")))
    defined = hook("palette").palette(hook("palette").STYLES.read_text(encoding="utf-8"))
    assert used
    assert not [name for name in used if defined.count(f"{name}:") != 2]


def test_pictures_are_used_and_small():
    text = CONFIGURATION + "".join(
        page.read_text(encoding="utf-8") for page in [*DOCS.glob("*.md"), ROOT / "README.md"]
    )
    for path in (DOCS / "images").iterdir():
        assert f"images/{path.name}" in text, f"no page shows {path.name}"
        assert path.stat().st_size < LARGEST, path.name


def test_pictures_have_a_description():
    for page in DOCS.glob("*.md"):
        for text in re.findall(r"!\[([^]]*)\]\(", page.read_text(encoding="utf-8")):
            assert len(text) > 10, f"{page.name}: {text!r}"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")}
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture
def opened(site, surfer):
    """Open a page of the site from its folder, without a network; what it asks of the network fails the test."""

    def open_page(name, **options):
        page = surfer.open(site / name, **options)
        page.wait_for_load_state()
        page.wait_for_timeout(300)
        return page

    return open_page


@pytest.mark.browser
def test_search_from_a_folder(opened):
    page = opened("index.html")
    page.locator(".md-search__input").click()
    page.keyboard.type("inverse")
    page.wait_for_selector(".md-search-result__item", timeout=30_000)
    assert page.locator(".md-search-result__link").count() > 3


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "gallery", "scans", "migrate", "api/registration"])
def test_pages_fit_a_phone_in_both_schemes(opened, name, scheme):
    page = opened(f"{name}.html", size=(390, 800), color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expected = {"light": "default", "dark": "slate"}[scheme]
    assert page.evaluate("document.body.dataset.mdColorScheme") == expected


@pytest.mark.browser
def test_the_first_picture_follows_the_scheme(opened):
    for scheme, name in (("light", "report-pair.webp"), ("dark", "report-pair-dark.webp")):
        page = opened("index.html", color_scheme=scheme)
        shown = [image.get_attribute("src") for image in page.locator("article img").all() if image.is_visible()]
        assert [Path(source.partition("#")[0]).name for source in shown] == [name]
