"""The viewer, in a real browser."""

import base64
import io

import numpy as np
import pytest
from PIL import Image as Picture

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import DisplacementField
from learngn.report import write_pair_report

pytestmark = pytest.mark.browser

FLAT = Grid.from_spacing((40, 30), (1.0, 1.5))


def frame(page):
    """Wait until the page has drawn what was asked for."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def wheres(page):
    """Where the views are cut, by name."""
    return {
        figure.query_selector(".name").inner_text().lower(): figure.query_selector(".where").inner_text()
        for figure in page.query_selector_all(".view")
    }


def picture(page, view=0):
    frame(page)
    return page.evaluate("(i) => document.querySelectorAll('.view canvas.picture')[i].toDataURL()", view)


def changed(page, seen, view=0):
    """Wait for a picture that differs from those seen, and return it; a loaded machine draws late."""
    for _ in range(40):
        shown = picture(page, view)
        if shown not in seen:
            return shown
        page.wait_for_timeout(50)
    raise AssertionError("the picture does not change")


def test_a_slider_goes_through_the_slices(opened):
    page = opened()
    page.wait_for_timeout(200)
    before, pictures = wheres(page), [picture(page, view) for view in range(3)]
    assert set(before) == {"axial", "coronal", "sagittal"}
    page.locator(".view input[type=range]").first.fill("3")
    changed(page, pictures)
    assert [picture(page, view) == pictures[view] for view in range(3)] == [False, True, True]
    assert wheres(page)["axial"].startswith("4 / 24")
    assert wheres(page)["coronal"] == before["coronal"]


def brightness(page, x, y):
    """Of the first view at a place, in fractions of its size."""
    content = base64.b64decode(picture(page).partition(",")[2])
    shown = Picture.open(io.BytesIO(content)).convert("L")
    return shown.getpixel((int(x * shown.width), int(y * shown.height)))


def halves(result, paths):
    """The fixed scan is bright on the left of the page, the registered one on the right."""
    left = (np.arange(FLAT.shape[0]) < FLAT.shape[0] / 2)[:, None] * np.ones(FLAT.shape)
    left = left if FLAT.axis_codes[0] == "L" else left[::-1]
    scans = {paths["fixed"]: left, paths["moving"]: 1 - left, result / "warped.nii.gz": 1 - left}
    return {path: Image.from_array(values.astype(np.float32), FLAT) for path, values in scans.items()}


def test_a_swipe_shows_the_fixed_scan_on_its_left(opened):
    page = opened(FLAT, labels=False, images=halves)
    frame(page)
    assert brightness(page, 0.3, 0.25) > 240
    assert brightness(page, 0.7, 0.25) > 240
    box = page.locator("canvas.picture").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    frame(page)
    assert brightness(page, 0.3, 0.25) < 15
    assert brightness(page, 0.7, 0.25) > 240
    page.locator("canvas.picture").focus()
    for _ in range(5):
        page.keyboard.press("Shift+ArrowRight")
    frame(page)
    assert brightness(page, 0.7, 0.25) < 15


def test_the_cross_links_the_views(opened):
    page = opened()
    canvas = page.locator("canvas.picture").first
    canvas.click(position={"x": 20, "y": 30})
    found = wheres(page)
    # The axial view is 40 mm wide and 32 mm high, of voxels of 1 mm.
    box = canvas.bounding_box()
    x, y = int(20 / box["width"] * 40), int(30 / box["height"] * 32)
    assert found["sagittal"].startswith(f"{x + 1} / 40")
    assert found["coronal"].startswith(f"{y + 1} / 32")


def test_every_key_changes_the_picture(opened):
    page = opened()
    page.locator("canvas.picture").first.focus()
    seen = [picture(page)]
    for key in ("2", "3", "5", "6", "7", "8", "9", "j", "g", "o", "x", "+", "d", "s", "ArrowUp", "1", "b"):
        page.keyboard.press(key)
        seen.append(changed(page, seen))
    assert page.locator("input[name=against]:checked").get_attribute("value") == "before"


def test_the_readout_says_what_lies_there(opened):
    page = opened()
    page.locator("canvas.picture").first.click(position={"x": 4, "y": 4})
    text = page.locator("#readout").inner_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "mm" in text
    assert "moves" in text
    assert "det J" in text
    label = page.locator("#labels button").first
    assert label.inner_text() == "liver"
    before = picture(page)
    label.click()
    assert label.get_attribute("aria-pressed") == "false"
    assert picture(page) != before


def test_a_view_is_enlarged(opened):
    page = opened()
    page.locator("[aria-label='Enlarge the coronal view']").click()
    assert page.locator(".view.first .name").inner_text().lower() == "coronal"
    widths = [figure.bounding_box()["width"] for figure in page.query_selector_all(".view")]
    assert widths[0] == max(widths)


def test_folds_are_counted_and_visited(opened):
    grid = Grid.from_spacing((24, 20, 16))
    field = np.zeros((1, 3, *grid.shape), np.float32)
    field[0, 0, 12:14, 5, 6] = np.array([3.0, -3.0])
    page = opened(grid, field=DisplacementField(field, grid))
    page.locator("#next-fold").click()
    page.locator("#readout", has_text="fold").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_scheme(opened, scheme):
    page = opened(FLAT, options={"color_scheme": scheme})
    paper, ink = page.evaluate(
        "() => [0, 1].map((i) => +getComputedStyle(document.body)[['backgroundColor', 'color'][i]].match(/\\d+/)[0])"
    )
    assert (paper > ink) == (scheme == "light")


def test_a_phone(opened):
    page = opened(options={"size": (390, 844), "has_touch": True, "is_mobile": True, "device_scale_factor": 2})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    first, *others = [figure.bounding_box() for figure in page.query_selector_all(".view")]
    assert first["width"] > 1.5 * max(box["width"] for box in others)
    before = wheres(page)
    box = page.locator("canvas.picture").first.bounding_box()
    page.touchscreen.tap(box["x"] + 30, box["y"] + 30)
    frame(page)
    after = wheres(page)
    assert after["axial"] == before["axial"]
    assert after["coronal"] != before["coronal"]


def test_2d_has_one_view_and_no_slider(opened):
    page = opened(FLAT)
    assert page.locator(".view").count() == 1
    assert page.locator(".view input").count() == 0


def test_a_browser_without_scripts_shows_the_numbers(make_result, surfer):
    result, _ = make_result()
    page = surfer.open(write_pair_report(result), java_script_enabled=False)
    assert page.locator("#overlap").is_visible()
    assert page.locator("#provenance").is_visible()
