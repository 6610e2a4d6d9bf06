import json
from html.parser import HTMLParser

import numpy as np
import pytest

from learngn.errors import DatasetError
from learngn.geometry.grid import Grid
from learngn.geometry.transform import DisplacementField
from learngn.report import write_pair_report

FLAT = Grid.from_spacing((40, 30), (1.0, 1.5))
VOID = {"meta", "br", "input", "wbr"}


class Page(HTMLParser):
    """Checks that every element is closed, and collects what the page holds."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.volumes, self.sources, self.words = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        identity = values.get("id", "")
        self.volumes += [identity.removeprefix("volume-")] if identity.startswith("volume-") else []
        self.sources += [values[name] for name in ("src", "href", "xlink:href") if name in values]
        self.ids += [values["id"]] if tag == "section" else []

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read(result):
    path = write_pair_report(result)
    assert path == result / "report.html"
    text = path.read_text(encoding="utf-8")
    return Page(text), text


VOLUMES = {"fixed", "before", "warped", "displacement", "jacobian"}
LABELS = {"fixed_labels", "before_labels", "warped_labels"}


def test_every_section_self_contained_and_small(make_result):
    result, _ = make_result()
    page, text = read(result)
    assert page.ids == ["pictures", "overlap", "convergence", "time", "settings", "provenance"]
    assert set(page.volumes) == VOLUMES | LABELS
    assert page.sources == []
    assert "://" not in text
    assert "url(" not in text
    assert len(text) < 10e6
    check_numbers(page, text, json.loads((result / "metrics.json").read_text()))
    assert read(result)[1] == text, "the same files give the same page"


def check_numbers(page, text, metrics):
    words = " ".join(page.words).replace("\N{NO-BREAK SPACE}", " ")
    assert "Dice 0.565 → 0.875 · 0.031 % folds · 3.2 s" in text.replace("\N{NO-BREAK SPACE}", " ")
    for expected in (
        "spleen & co",
        "+0.390",
        "label 3",
        "HD95 [mm]",
        "3.62",
        "2.75 voxel, Learn2Reg",
        "< 0.001 % of the body",
        "a fixed number of steps is the usual end",
        "before 0.565",
        "learngn 0.1.0",
        metrics["command"],
        "mind,intensity:0.5",
    ):
        assert expected in words
    assert all(source["sha256"] in words for source in metrics["inputs"].values())
    assert "spleen &amp; co" in text


def test_without_labels(make_result):
    result, _ = make_result(labels=False)
    page, _ = read(result)
    assert page.ids[:2] == ["pictures", "convergence"]
    assert set(page.volumes) == VOLUMES


def test_label_maps_as_inputs(make_result):
    result, _ = make_result(labels=False, features="organ-distance")
    page, text = read(result)
    assert "label 2" in text
    assert set(page.volumes) == VOLUMES


@pytest.mark.parametrize("labels", [True, False])
def test_2d(make_result, labels):
    result, _ = make_result(FLAT, labels=labels)
    page, _ = read(result)
    assert set(page.volumes) == VOLUMES | (LABELS if labels else set())


@pytest.mark.parametrize("role", ["fixed", "moving", "fixed_labels", "moving_labels"])
def test_an_input_that_has_moved_away_is_named_and_the_rest_shown(make_result, role):
    result, paths = make_result(FLAT)
    paths[role].unlink()
    page, _ = read(result)
    assert f"The {role.replace('_', ' ')}, {paths[role]}, is no longer there" in " ".join(page.words)
    assert set(page.volumes) == (VOLUMES | LABELS) - {role.replace("moving", "before")}


def test_an_input_that_has_changed_is_named(make_result):
    result, paths = make_result(FLAT)
    paths["moving"].write_bytes(paths["fixed"].read_bytes())
    page, _ = read(result)
    assert f"The moving, {paths['moving']}, has changed since the registration." in " ".join(page.words)


def test_missing_outputs_leave_a_note(make_result):
    result, _ = make_result(FLAT)
    (result / "displacement.nii.gz").unlink()
    (result / "warped_labels.nii.gz").unlink()
    page, _ = read(result)
    assert set(page.volumes) == (VOLUMES | LABELS) - {"displacement", "jacobian", "warped_labels"}
    assert "displacement.nii.gz" in " ".join(page.words)


def test_nothing_but_numbers(make_result):
    result, paths = make_result(FLAT)
    for path in (*paths.values(), *result.glob("*.nii.gz")):
        path.unlink()
    page, _ = read(result)
    assert page.volumes == []
    assert page.ids[0] == "overlap"


def test_warnings_are_shown(make_result):
    result, _ = make_result(FLAT)
    metrics = json.loads((result / "metrics.json").read_text())
    metrics["warnings"] = ["little overlap <20 %"]
    (result / "metrics.json").write_text(json.dumps(metrics))
    page, _ = read(result)
    assert "little overlap <20 %" in page.words


def test_folds_are_marked(make_result):
    grid = Grid.from_spacing((24, 20))
    field = np.zeros((1, 2, *grid.shape), np.float32)
    field[0, 0, 12:14] = np.array([3.0, -3.0])[:, None]
    result, _ = make_result(grid, field=DisplacementField(field, grid))
    assert "folds" in read(result)[0].volumes


def test_names_cannot_break_the_page(make_result):
    result, _ = make_result(FLAT)
    metrics = json.loads((result / "metrics.json").read_text())
    metrics["label_names"] = {"1": "</script><script>alert(1)</script>"}
    (result / "metrics.json").write_text(json.dumps(metrics))
    _, text = read(result)
    assert "<script>alert" not in text


def test_an_empty_history_leaves_the_curve_out(make_result):
    result, _ = make_result(FLAT)
    metrics = json.loads((result / "metrics.json").read_text())
    (result / "metrics.json").write_text(json.dumps(metrics | {"history": []}))
    assert "convergence" not in read(result)[0].ids


def test_energies_that_no_plot_can_show(make_result):
    result, _ = make_result(FLAT)
    metrics = json.loads((result / "metrics.json").read_text())
    metrics["history"][1] |= {"energy": "inf", "data_energy": None}
    (result / "metrics.json").write_text(json.dumps(metrics))
    _, text = read(result)
    assert "nan" not in text[text.index("<svg") : text.index("</svg>")]


@pytest.mark.parametrize("content", [None, "{"])
def test_a_folder_without_metrics(tmp_path, content):
    if content:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(DatasetError, match=r"metrics\.json"):
        write_pair_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
