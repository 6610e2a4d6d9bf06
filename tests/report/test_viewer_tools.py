"""Zoom, windows, flicker, single views, points, masks and tools of the viewer, in a real browser."""

import io

import numpy as np
import pytest
from PIL import Image as Picture

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import DisplacementField
from learngn.report import write_pair_report

pytestmark = pytest.mark.browser

SHAPE = (40, 32, 24)
PHONE = {"size": (390, 844), "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


def picture(page, view=0):
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate("(i) => document.querySelectorAll('.view canvas.picture')[i].toDataURL()", view)


def changed(page, seen, view=0):
    """Wait for a picture that differs from those seen, and return it; a loaded machine draws late."""
    for _ in range(40):
        if (shown := picture(page, view)) not in seen:
            return shown
        page.wait_for_timeout(50)
    raise AssertionError("the picture does not change")


def box_of(page, view=0):
    return page.locator("canvas.picture").nth(view).bounding_box()


def zoom(page):
    return int(page.locator("#zoom").inner_text().removesuffix(" %"))


def centre(page, view=0):
    """Pointer in the middle of a view."""
    box = box_of(page, view)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def readout(page):
    return page.locator("#readout").inner_text().replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


def told(page, test):
    """Wait until the readout passes a test, and return it; a loaded machine draws late."""
    for _ in range(40):
        if test(text := readout(page)):
            return text
        page.wait_for_timeout(50)
    raise AssertionError(readout(page))


def test_zoom_keeps_the_place_under_the_pointer(opened):
    page = opened()
    box = box_of(page)
    place = box["x"] + 0.25 * box["width"], box["y"] + 0.7 * box["height"]
    page.mouse.move(*place)
    before, seen = readout(page), [picture(page)]
    page.keyboard.down("Control")
    for _ in range(4):
        page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    changed(page, seen)
    assert zoom(page) > 200
    page.mouse.move(place[0] + 1, place[1])
    assert readout(page).partition("mm")[0] == before.partition("mm")[0]
    page.locator("#reset").click()
    assert zoom(page) == 100
    assert picture(page) == seen[0]
    page.locator("#zoom-in").click()
    page.locator("canvas.picture").first.dblclick()
    assert zoom(page) == 100


def test_all_views_zoom_by_keys_and_buttons_and_the_slice_is_moved(opened):
    page = opened()
    page.wait_for_timeout(100)
    seen = [picture(page, view) for view in range(3)]
    page.locator("canvas.picture").first.focus()
    page.keyboard.press("+")
    page.locator("#zoom-in").click()
    assert zoom(page) == 156
    for view in range(3):
        changed(page, seen, view)
    now = [picture(page)]
    page.locator("canvas.picture").first.focus()
    page.keyboard.press("d")
    now.append(changed(page, now))
    centre(page)
    page.mouse.down(button="middle")
    page.mouse.move(box_of(page)["x"] + 40, box_of(page)["y"] + 40, steps=3)
    page.mouse.up(button="middle")
    changed(page, now)
    page.locator("#zoom-out").click()
    page.locator("#zoom-out").click()
    page.locator("#zoom-out").click()
    assert zoom(page) == 100


def test_two_fingers_zoom(opened):
    page = opened(options=PHONE)
    box = box_of(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)

    def send(kind, gap):
        points = [] if gap is None else [{"x": x - gap, "y": y, "id": 0}, {"x": x + gap, "y": y, "id": 1}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", 30)
    for gap in (40, 50, 60):
        send("touchMove", gap)
    send("touchEnd", None)
    assert 180 <= zoom(page) <= 220


def ct(result, paths):
    """Both scans are CT: 40 HU in the left half, 60 HU in the right one, air at the border."""
    grid = Grid.from_spacing(SHAPE)
    right = np.arange(SHAPE[0])[:, None, None] + np.zeros(SHAPE) < SHAPE[0] / 2
    values = np.where(right, 60.0, 40.0)
    values[:, :3] = -1000
    values[:, -4:-2] = 700
    image = Image.from_array(values.astype(np.float32), grid)
    return {paths["fixed"]: image, paths["moving"]: image, result / "warped.nii.gz": image}


def greys(page, *places):
    content = page.locator("canvas.picture").first.screenshot()
    shown = Picture.open(io.BytesIO(content)).convert("L")
    return [shown.getpixel((int(x * shown.width), int(y * shown.height))) for x, y in places]


def test_soft_tissue_of_ct_has_a_window_with_numbers(opened):
    still = DisplacementField(np.zeros((1, 3, *SHAPE), np.float32), Grid.from_spacing(SHAPE))
    page = opened(Grid.from_spacing(SHAPE), labels=False, images=ct, field=still)
    numbers = page.locator("#contrast input")
    assert [numbers.nth(i).input_value() for i in range(2)] == ["-160", "240"]
    assert page.locator("#contrast output").inner_text() == "W 400 L 40"
    assert numbers.count() == 2, "both CT share a window"
    page.keyboard.press("5")  # the fixed scan alone
    picture(page)
    left, right = greys(page, (0.3, 0.5), (0.7, 0.5))
    assert 8 <= abs(left - right) <= 18
    numbers.nth(0).fill("40")
    numbers.nth(1).fill("60")
    numbers.nth(1).press("Enter")
    page.wait_for_timeout(100)
    left, right = greys(page, (0.3, 0.5), (0.7, 0.5))
    assert abs(left - right) > 180
    page.locator("#contrast button", has_text="Bone").click()
    assert page.locator("#contrast button[aria-pressed=true]").inner_text() == "Bone"
    assert page.locator("#contrast output").inner_text() == "W 1800 L 400"
    page.keyboard.press("v")
    assert page.locator("#contrast button[aria-pressed=true]").count() == 0, "the full range follows bone"
    box = box_of(page)
    page.locator("canvas.picture").first.click(position={"x": box["width"] * 0.3, "y": box["height"] / 2})
    values = {40 + error for error in range(-3, 4)} | {60 + error for error in range(-3, 4)}
    told(page, lambda text: any(f"fixed {value}" in text for value in values))


def test_a_wrong_window_is_put_back(opened):
    page = opened()
    first = page.locator("#contrast input").first
    before = first.input_value()
    first.fill("1e9")
    first.press("Enter")
    assert first.input_value() == before


def test_the_right_button_changes_the_windows(opened):
    page = opened(labels=False)
    seen, before = [picture(page)], page.locator("#contrast output").all_inner_texts()
    centre(page)
    page.mouse.down(button="right")
    page.mouse.move(box_of(page)["x"] + 30, box_of(page)["y"] + 100, steps=3)
    page.mouse.up(button="right")
    changed(page, seen)
    after = page.locator("#contrast output").all_inner_texts()
    assert len(after) == 2
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_flicker_alternates_and_single_views_stand_still(opened):
    page = opened(labels=False)
    alone = {}
    for key, name in (("5", "fixed"), ("6", "registered"), ("7", "moving, before")):
        page.keyboard.press(key)
        alone[name] = changed(page, list(alone.values()))
        assert page.locator(".tag.first").first.inner_text() == name
    page.wait_for_timeout(600)
    assert picture(page) == alone["moving, before"]
    page.keyboard.press("4")
    seen = set()
    for _ in range(40):
        seen.add(picture(page))
        page.wait_for_timeout(40)
    assert seen == {alone["fixed"], alone["registered"]}


def points(path, shift):
    rows = "\n".join(f"{i + shift},{j},{12}" for i, j in ((10, 12), (20, 16), (30, 9)))
    path.write_text(f"i,j,k\n{rows}\n")


def mask(path, shift):
    values = np.zeros(SHAPE, np.float32)
    values[6 + shift : 34 + shift, 5:25, 4:20] = 1
    Image.from_array(values, Grid.from_spacing(SHAPE, (1.0, 1.0, 2.5))).save(path)


GIVEN = {
    "fixed_landmarks": lambda path: points(path, 0),
    "moving_landmarks": lambda path: points(path, 3),
    "fixed_keypoints": lambda path: points(path, 1),
    "moving_keypoints": lambda path: points(path, 2),
    "fixed_mask": lambda path: mask(path, 0),
    "moving_mask": lambda path: mask(path, 4),
}


def test_landmarks_key_points_and_masks_are_drawn_with_their_errors(opened):
    page = opened(labels=False, files=GIVEN)
    page.locator("#next-landmark").click()
    text = told(page, lambda text: "landmark " in text and "3.0 →" in text)
    seen = [picture(page)]
    for key in ("l", "k", "m"):
        page.keyboard.press(key)
        seen.append(changed(page, seen))
    legend = page.locator("#legends").inner_text()
    assert "landmark, fixed" in legend
    assert "dashed: masks" in legend
    page.keyboard.press("e")
    told(page, lambda later: "landmark " in later and later != text)


def test_points_that_cannot_be_read_are_named(make_result):
    def broken(path):
        path.write_text("i,j,k\n1,2\n")

    result, _ = make_result(labels=False, files=GIVEN | {"fixed_landmarks": broken})
    text = write_pair_report(result).read_text(encoding="utf-8")
    assert "Not shown:" in text
    assert '"landmarks":' not in text
    assert '"keypoints":' in text


def test_the_cross_is_hidden_until_the_first_click(opened):
    page = opened()
    cross = page.locator("input[value=cross]")
    assert not cross.is_checked()
    page.locator("canvas.picture").first.click(position={"x": 30, "y": 30})
    assert cross.is_checked()


def test_the_scale_of_the_jacobian_can_be_that_of_all_pairs(opened):
    page = opened()
    page.keyboard.press("9")
    legend = page.locator(".legend[data-modes=jacobian]").first
    assert "moving tissue" in legend.inner_text()
    seen = [picture(page)]
    page.locator("#jacobian-scale").click()
    changed(page, seen)
    assert "÷ 2.0" in legend.inner_text()
    assert "× 2.0" in legend.inner_text()


def test_folds_inside_the_body_are_visited_first(opened):
    grid = Grid.from_spacing((40, 32, 24))
    field = np.zeros((1, 3, *grid.shape), np.float32)
    field[0, 0, 20:22, 16, 12] = np.array([3.0, -3.0])  # in the middle of the body
    field[0, 0, 1:5, 1:6, 1:3] = np.array([3.0, 3, -3, -3])[:, None, None]  # more folds, in a corner
    page = opened(grid, field=DisplacementField(field, grid))
    page.keyboard.press("n")
    told(page, lambda text: text.endswith("fold"))
    page.keyboard.press("n")
    told(page, lambda text: "fold outside the body" in text)


def test_a_picture_is_saved(opened):
    page = opened(options={"accept_downloads": True})
    page.locator("canvas.picture").nth(1).focus()
    with page.expect_download() as saved:
        page.locator("#save").click()
    download = saved.value
    assert download.suggested_filename.endswith("-swipe.png")
    assert "coronal" in download.suggested_filename
    shown = Picture.open(download.path())
    box = box_of(page, 1)
    assert shown.width == round(box["width"])
    assert shown.height > box["height"] + 20, "with lines of text below"
    assert len(set(shown.convert("L").tobytes())) > 50


def test_the_whole_screen(opened):
    page = opened()
    before = box_of(page)["width"]
    page.keyboard.press("z")
    page.wait_for_timeout(300)
    root = page.locator("#viewer").bounding_box()
    assert (root["x"], root["y"]) == (0, 0)
    assert box_of(page)["width"] > before
    page.keyboard.press("z")
    page.wait_for_timeout(300)
    assert page.locator("#viewer.whole").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_fits_a_phone(opened, scheme):
    page = opened(files=GIVEN, options=PHONE | {"color_scheme": scheme})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for control in page.query_selector_all(".toolbar label, .toolbar button, #contrast button, #contrast input"):
        if control.is_visible():
            box = control.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390, control.inner_text()
    cut = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth + 1).length"
    )
    assert cut == 0


def test_every_control_is_reached_by_the_keyboard(opened):
    page = opened(files=GIVEN)
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.id || document.activeElement.name || document.activeElement.className"
            )
        )
    assert {"modes", "against", "layers", "zoom-in", "zoom-out", "reset", "whole", "save", "next-landmark"} <= reached
    assert "picture" in reached


def test_functions_of_zoom_windows_and_hounsfield_units(opened):
    page = opened()
    inside = page.evaluate("Zoom.about({ zoom: 1, centre: [0.5, 0.5, 0.5] }, 4, [0, 1], [0, 0.5])")
    assert inside == {"zoom": 4, "centre": [0.125, 0.5, 0.5]}
    assert page.evaluate("Zoom.about({ zoom: 20, centre: [0.5, 0.5, 0.5] }, 9, [0, 1], [0.5, 0.5]).zoom") == 32
    assert page.evaluate("Zoom.panned({ zoom: 2, centre: [0.5, 0.5, 0.5] }, [0, 1], [0.2, -9]).centre") == [
        0.4,
        0.75,
        0.5,
    ]
    assert page.evaluate("Zoom.revealing({ zoom: 4, centre: [0.2, 0.5, 0.5] }, [0.9, 0.55, 0.5]).centre") == [
        0.875,
        0.5,
        0.5,
    ]
    assert page.evaluate("Contrast.text([-160, 240])") == "W 400 L 40"
    assert page.evaluate("Contrast.dragged([0, 100], 0.5, 0)") == [-50, 150]
    assert page.evaluate("Contrast.rounded([0.00123456, 0.0456789])") == [0.0012, 0.0457]
    ranges = [[-1024, -100], [-250, 350], [200, 1000], [800, 3071]]
    lung, soft, bone, metal = [0, 128, 240, 255, 255], [0, 0, 128, 255, 255], [0, 0, 0, 100, 255], [0, 0, 0, 0, 100]
    joined = page.evaluate("([g, r]) => [...Volumes.joined(g, r)]", [[lung, soft, bone, metal], ranges])
    assert joined == [-1024, -560, 51, 514, 1691]
