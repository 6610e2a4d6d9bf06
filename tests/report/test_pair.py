import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from learngn.errors import DatasetError
from learngn.grid import Grid
from learngn.report import write_pair_report
from learngn.transform import DisplacementField

FLAT = Grid.from_spacing((40, 30), (1.0, 1.5))
VOID = {"meta", "img", "br", "path", "use"}


class Page(HTMLParser):
    """Checks that every element is closed, and collects what the page holds."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.images, self.sources, self.words = [], [], 0, [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.images += tag == "img"
        values = dict(attrs)
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


def png_sizes(text):
    heads = [base64.b64decode(data[:64]) for data in re.findall(r"data:image/png;base64,([^\"]+)", text)]
    assert all(head[:8] == b"\x89PNG\r\n\x1a\n" for head in heads)
    return [(int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")) for head in heads]


def test_every_section_self_contained_and_small(make_result):
    result, _ = make_result()
    page, text = read(result)
    sections = ["before-and-after", "overlap", "displacement", "jacobian", "convergence", "run", "provenance"]
    assert page.ids == sections
    assert page.images == 3 * 3 + 3 + 3
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert "://" not in text
    assert "url(http" not in text
    assert len(text) < 10e6
    check_numbers(page, text, json.loads((result / "metrics.json").read_text()))
    check_proportions(text)
    assert read(result)[1] == text, "the same files give the same page"


def check_numbers(page, text, metrics):
    words = " ".join(page.words).replace("\N{NO-BREAK SPACE}", " ")
    assert "Dice 0.565 → 0.875 · 0.031 % folds · 3.2 s" in words
    for expected in (
        "spleen & co",
        "+0.390",
        "label 3",
        "HD95 [voxel]",
        "learngn 0.1.0",
        metrics["command"],
        "mind,intensity:0.5",
    ):
        assert expected in words
    assert all(source["sha256"] in words for source in metrics["inputs"].values())
    assert "spleen &amp; co" in text


def check_proportions(text):
    """Of a grid of 40 x 32 x 24 voxels of 1 x 1 x 2.5 mm."""
    ratios = [width / height for width, height in png_sizes(text)]
    np.testing.assert_allclose(ratios[:3], 40 / 32, rtol=0.01)
    np.testing.assert_allclose(ratios[3:6], 40 / 60, rtol=0.01)
    np.testing.assert_allclose(ratios[6:9], 32 / 60, rtol=0.01)


def test_without_labels_checkerboards(make_result):
    result, _ = make_result(labels=False)
    page, _ = read(result)
    assert page.ids[:2] == ["before-and-after", "checkerboard"]
    assert "overlap" not in page.ids
    assert page.images == 3 * 3 + 3 * 2 + 3 + 3


def test_label_maps_as_inputs(make_result):
    result, _ = make_result(labels=False, features="organ-distance")
    page, _ = read(result)
    assert "checkerboard" not in page.ids
    assert "label 2" in " ".join(page.words)


@pytest.mark.parametrize("labels", [True, False])
def test_2d(make_result, labels):
    result, _ = make_result(FLAT, labels=labels)
    page, text = read(result)
    assert page.images == 3 + (0 if labels else 2) + 2
    assert 'class="mark' not in text


@pytest.mark.parametrize("role", ["fixed", "moving", "fixed_labels", "moving_labels"])
def test_an_input_that_has_moved_away_is_named_and_the_rest_shown(make_result, role):
    result, paths = make_result(FLAT)
    paths[role].unlink()
    page, _ = read(result)
    words = " ".join(page.words)
    assert f"The {role.replace('_', ' ')}, {paths[role]}, is no longer there" in words
    assert page.ids[0] == "before-and-after"
    assert "displacement" in page.ids


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
    assert "displacement" not in page.ids
    assert "displacement.nii.gz" in " ".join(page.words)


def test_warnings_are_shown(make_result):
    result, _ = make_result(FLAT)
    metrics = json.loads((result / "metrics.json").read_text())
    metrics["warnings"] = ["little overlap <20 %"]
    (result / "metrics.json").write_text(json.dumps(metrics))
    page, _ = read(result)
    assert "little overlap <20 %" in page.words


def test_folds_are_marked(make_result):
    grid = Grid.from_spacing((24, 20))
    field = torch.zeros(1, 2, *grid.shape)
    field[0, 0, 12:14] = torch.tensor([3.0, -3.0])[:, None]
    result, _ = make_result(grid, field=DisplacementField(field, grid))
    _, text = read(result)
    assert "</i>fold</span>" in text


def test_an_empty_history_leaves_the_curve_out(make_result):
    result, _ = make_result(FLAT)
    metrics = json.loads((result / "metrics.json").read_text())
    (result / "metrics.json").write_text(json.dumps(metrics | {"history": []}))
    assert "convergence" not in read(result)[0].ids


@pytest.mark.parametrize("content", [None, "{"])
def test_a_folder_without_metrics(tmp_path, content):
    if content:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(DatasetError, match=r"metrics\.json"):
        write_pair_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
