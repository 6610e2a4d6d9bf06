"""The page of a cohort: pictures of the right slices, and a table that sorts and filters."""

import csv
import gzip
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Picture

from learngn.cohort import run_cohort
from learngn.evaluation import PairScores, summarise
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import DisplacementField
from learngn.io import Pair, Subject, choose_pairs, read_dataset, write_learn2reg
from learngn.registration import Request
from learngn.report import write_cohort_report
from learngn.report.thumbnails import thumbnail
from learngn.settings import Settings

SETTINGS = Settings("organ-distance", affine=False, strides=(8, 4), iterations=(3, 3), lam=(3.0, 0.5))


@pytest.fixture(scope="module")
def cohort(abdomen_files, tmp_path_factory):
    """Six pairs of four subjects: folder, pairs, records, the last of which has failed."""
    directory = tmp_path_factory.mktemp("cohort")
    pairs = choose_pairs(read_dataset(abdomen_files), "train")[:6]
    records = [dict(record) for record in run_cohort(pairs, directory, Request(settings=SETTINGS))]
    records[-1] = {key: records[-1][key] for key in ("pair", "fixed", "moving")} | {"error": "no such <file>"}
    return directory, pairs, records


@pytest.fixture(scope="module")
def report(cohort):
    """The page, and the scores that it is made of."""
    directory, pairs, records = cohort
    scores = [PairScores.from_json(record) for record in records]
    summary = summarise(scores, np.random.default_rng(0), names={1: "liver & co"})
    return write_cohort_report(directory, pairs, records, summary, title="Toy <b>"), summary, records


@pytest.fixture
def page(report, surfer):
    page = surfer.open(report[0])
    page.wait_for_selector("#cards[data-state=ready]")
    return page


def order(page):
    return [row.get_attribute("data-pair") for row in page.query_selector_all("#pairs tbody tr") if row.is_visible()]


@pytest.mark.slow
def test_everything_is_there_in_one_small_file(report):
    path, summary, records = report
    text = path.read_text(encoding="utf-8")
    assert len(text) < 1e6
    assert "://" not in text
    assert "Toy &lt;b&gt;" in text
    assert "liver &amp; co" in text
    assert "1 of 6 pairs could not be registered." in text
    assert "no such &lt;file&gt;" in text
    assert all(f">{record['pair']}</th>" in text for record in records)
    assert f"{summary.pairs[0].dice_mean:.3f}" in text


def test_worst_pairs_come_first(page, report):
    _, summary, _ = report
    keys = [(("failed", "check", "ok").index(pair.verdict), pair.dice_mean) for pair in summary.pairs[:5]]
    expected = [str(index) for index in sorted(range(5), key=keys.__getitem__)]
    assert order(page) == ["5", *expected]
    assert [card.get_attribute("data-pair") for card in page.query_selector_all(".card")] == expected


def test_a_click_on_a_heading_sorts(page, report):
    _, summary, _ = report
    folds = [pair.std_log_jacobian for pair in summary.pairs[:5]]
    head = page.locator("[data-key=std_log_jacobian]")
    head.click()
    assert order(page) == [*map(str, np.argsort(folds)), "5"]
    head.click()
    assert order(page) == [*map(str, np.argsort(folds)[::-1]), "5"]
    assert head.locator("..").get_attribute("aria-sort") == "descending"


def test_the_filter_takes_names_and_conditions(page, report):
    _, summary, records = report
    dice = [pair.dice_mean for pair in summary.pairs[:5]]
    limit = round(float(np.median(dice)), 4)
    page.locator("#filter").fill(f"dice > {limit}")
    assert set(order(page)) == {str(i) for i, value in enumerate(dice) if value > limit}
    assert page.locator("#count").inner_text() == f"{len(order(page))} of 6 pairs"
    assert page.locator(".card.out").count() == 5 - len(order(page))
    page.locator("#filter").fill(records[2]["pair"])
    assert order(page) == ["2"]
    page.locator("#filter").fill("nonsense<3")
    assert page.locator("#filter:invalid").count() == 1


def test_a_dot_leads_to_its_row(page):
    page.locator(".scatter circle[data-pair='1']").click()
    assert page.locator("#pairs tr[data-pair='1']").get_attribute("class") == "lit"


def test_cards_are_swiped_and_switched(page):
    # The best pair: of the worst, whose displacement may be left out, both scans can be the same before and after.
    picture = "() => [...document.querySelectorAll('.card canvas')].pop().toDataURL()"
    settle = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    page.locator(".card canvas").last.scroll_into_view_if_needed()
    page.evaluate(settle)
    seen = [page.evaluate(picture)]
    box = page.locator(".card canvas").last.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 3, box["y"] + box["height"] / 2, steps=3)
    page.mouse.up()
    for action in ("", "checker", "before", "outlines"):
        if action:
            page.locator(f"#tools input[value={action}] + span").click()
        page.evaluate(settle)
        assert page.evaluate(picture) not in seen
        seen.append(page.evaluate(picture))


@pytest.fixture(scope="module")
def with_pages(cohort, tmp_path_factory):
    """A report of the same pairs, two of which have a page, and the first of which gains little."""
    _, pairs, records = cohort
    directory = tmp_path_factory.mktemp("with pages")
    for name in {pair.field_name for pair in pairs}:
        (directory / name).write_bytes((cohort[0] / name).read_bytes())
    run = [replace(pair, name=f"visit {number} & more") for number, pair in enumerate(pairs[:5])]
    for pair, files in zip(run, pairs, strict=False):
        (directory / pair.field_name).write_bytes((cohort[0] / files.field_name).read_bytes())
        if pair.name[6] in "01":
            (directory / "pairs" / pair.id).mkdir(parents=True)
            (directory / "pairs" / pair.id / "report.html").write_text(f"<title>{pair.name[6]}</title>")
    made = [dict(record) | {"pair": pair.id} for record, pair in zip(records, run, strict=False)]
    for number, record in enumerate(made):
        low = 0.1 if number == 1 else 0.5 + 0.01 * number
        record |= {"dice": {"1": low + 0.2}, "dice_before": {"1": 0.2}, "folds_percent": 3.0 * (number == 2)}
    summary = summarise([PairScores.from_json(record) for record in made], np.random.default_rng(0))
    return write_cohort_report(directory, run, made, summary), run, summary


def test_outliers_are_named_in_words(with_pages):
    text = with_pages[0].read_text(encoding="utf-8")
    section = text[text.index('<section id="outliers">') :].partition("</section>")[0]
    assert "visit 1 &amp; more</a></strong>: Dice gain 0.10, median 0.52 (z −" in section
    assert "visit 2 &amp; more</strong>: folds 3.00 %, median 0.00 %" in section
    assert section.count("<li>") == 2


def test_no_outliers_no_section(report):
    assert '<section id="outliers">' not in report[0].read_text(encoding="utf-8")


def test_the_worst_pair_of_a_label(with_pages):
    text = with_pages[0].read_text(encoding="utf-8")
    assert '>0.3 (<a href="pairs/visit%201%20%26%20more/report.html">visit 1 &amp; more</a>)' in text


def test_a_pair_has_a_page_of_its_own(with_pages, surfer):
    for place in (".card h3", "#pairs th", ".outliers", ".scores.labels"):
        page = surfer.open(with_pages[0])
        page.wait_for_selector("#cards[data-state=ready]")
        page.locator(f"{place} a", has_text="visit 1").first.click()
        page.wait_for_url("**/report.html")
        assert page.title() == "1"
        page.context.close()
    page = surfer.open(with_pages[0])
    assert page.locator(".card h3 a").count() == 2
    assert page.locator(".card h3").count() == 5


def test_scores_are_saved_as_csv(with_pages, surfer):
    page = surfer.open(with_pages[0], accept_downloads=True)
    with page.expect_download() as caught:
        page.get_by_text("Download CSV").click()
    assert caught.value.suggested_filename == "scores.csv"
    rows = list(csv.DictReader(caught.value.path().read_text(encoding="utf-8").splitlines()))
    assert [row["pair"] for row in rows] == [pair.id for pair in with_pages[1]]
    assert float(rows[1]["dice_1"]) == pytest.approx(0.3)


def test_settings_look_as_those_of_a_pair(report):
    """Also those of records in memory, which have tuples."""
    text = report[0].read_text(encoding="utf-8")
    assert "<dt>strides</dt><dd>8, 4</dd>" in text
    assert "<dt>lam</dt><dd>3, 0.5</dd>" in text


def test_a_phone(report, surfer):
    page = surfer.open(report[0], size=(390, 844), is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator(".scores.labels svg").first.bounding_box()["width"] > 80


def test_a_pair_that_cannot_be_shown_is_named(cohort, tmp_path):
    _, pairs, records = cohort
    summary = summarise([PairScores.from_json(record) for record in records], np.random.default_rng(0))
    text = write_cohort_report(tmp_path, pairs, records, summary, pictures=1).read_text(encoding="utf-8")
    assert "is not shown:" in text
    assert "Worst pairs" not in text


def test_a_cohort_without_scores(cohort, tmp_path):
    _, pairs, records = cohort
    summary = summarise([PairScores.from_json(records[-1])], np.random.default_rng(0))
    text = write_cohort_report(tmp_path, pairs[-1:], records[-1:], summary).read_text(encoding="utf-8")
    assert "1 of 1 pairs could not be registered." in text


@pytest.mark.parametrize("codes", ["RAS", "PIL"])
def test_a_thumbnail_cuts_the_largest_view_where_the_labels_are(tmp_path, codes):
    """The moving scan is the fixed one three voxels further along every axis: registered, both look the same."""
    rows = {"R": (0, 1), "A": (1, 1), "S": (2, 1), "P": (1, -1), "I": (2, -1), "L": (0, -1)}
    direction = np.zeros((3, 3))
    for axis, code in enumerate(codes):
        direction[rows[code][0], axis] = rows[code][1]
    sizes = {"R": 40, "L": 40, "A": 16, "P": 16, "S": 48, "I": 48}  # the coronal view is the largest
    shape = tuple(sizes[code] for code in codes)
    grid = Grid.from_spacing(shape, (1.0, 1.0, 1.0), direction=direction)
    axis = next(a for a, code in enumerate(codes) if code in "AP")
    axes = np.meshgrid(*[np.linspace(0, 3, n) for n in shape], indexing="ij")
    scan = np.sin(axes[0]) * np.cos(axes[1]) + axes[2]
    labels = np.zeros(shape, dtype=np.int16)
    core = [slice(12, 20)] * 3
    core[axis] = slice(4, 5)
    labels[tuple(core)] = 3
    subjects = []
    for name, shift in (("0001", 0), ("0002", 3)):
        moved = [np.roll(values, (shift,) * 3, axis=(0, 1, 2)) for values in (scan, labels)]
        paths = [tmp_path / f"{folder}_{name}_0000.nii.gz" for folder in ("T", "L")]
        Image.from_array(moved[0].astype(np.float32), grid).save(paths[0])
        Image.from_array(moved[1], grid, labels=True).save(paths[1])
        subjects.append(Subject(paths[0], paths[1], None, None))
    pair = Pair(*subjects)
    field = DisplacementField(np.full((1, 3, *shape), 3.0, np.float32), grid)
    write_learn2reg(field, tmp_path / pair.field_name, grid, grid)
    description, parts = thumbnail(pair, tmp_path, "mind", {3: "heart"})
    assert description["views"][0]["name"] == "coronal"
    assert description["views"][0]["marks"] == "RLSI"
    assert description["shape"] == [1, 48, 40]
    assert [label["name"] for label in description["labels"]] == ["heart"]
    codes_of = {n: np.frombuffer(gzip.decompress(parts[n].data), np.uint8).reshape(48, 40) for n in parts if "_l" in n}
    assert codes_of["fixed_labels"].sum() == 64
    np.testing.assert_array_equal(codes_of["warped_labels"], codes_of["fixed_labels"])
    assert codes_of["before_labels"].sum() == 0  # it lies three slices further
    fixed, warped = (np.asarray(Picture.open(io.BytesIO(parts[name].data)), dtype=int) for name in ("fixed", "warped"))
    inside = np.abs(fixed - warped)[4:-4, 4:-4]
    assert np.median(inside) <= 4


def test_a_2d_pair_is_shown_whole(cohort):
    directory, pairs, _ = cohort
    description, parts = thumbnail(pairs[0], directory, SETTINGS.features, {})
    assert description["shape"] == [1, 40, 48]
    assert set(parts) >= {"fixed", "before", "warped"}


def test_a_missing_label_map_leaves_the_scans(cohort):
    directory, pairs, _ = cohort
    pair = Pair(*(replace(subject, labels=None) for subject in (pairs[0].fixed, pairs[0].moving)))
    _, parts = thumbnail(pair, directory, SETTINGS.features, {})
    assert set(parts) == {"fixed", "before", "warped"}
