"""The verdict on the pages: in words, before the numbers, and the pairs in its order."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learngn.evaluation import PairScores, summarise
from learngn.geometry.grid import Grid
from learngn.io import Pair, Subject
from learngn.report import html, write_cohort_report, write_pair_report
from learngn.report.score_tables import order_of

FLAT = Grid.from_spacing((40, 30), (1.0, 1.5))
MIRRORED = "the moving scan fits better mirrored <left and right>: by 0.20"


def page_of(result, **entries):
    metrics = json.loads((result / "metrics.json").read_text())
    (result / "metrics.json").write_text(json.dumps(metrics | entries))
    return write_pair_report(result).read_text(encoding="utf-8")


@pytest.mark.parametrize(("status", "reasons", "told"), [
    ("ok", [], "Nothing suggests that the result is wrong."),
    ("check", ["folds"], "Look at the result before you use it."),
    ("failed", [MIRRORED, "folds"], "The result is wrong, or the scans do not belong together."),
])  # fmt: skip
def test_banner_of_a_pair_comes_before_its_tiles(make_result, status, reasons, told):
    result, _ = make_result(FLAT)
    text = page_of(result, verdict=status, reasons=reasons)
    banner = re.search(rf'<div class="verdict {status}".*?</div>', text).group()
    assert text.index(banner) < text.index('class="tiles"')
    assert f"</i>{status}</span>" in banner  # a word, not a colour alone
    assert told in banner
    assert banner.count("<li>") == len(reasons)
    if MIRRORED in reasons:
        assert "<li>The moving scan fits better mirrored &lt;left and right&gt;: by 0.20.</li>" in banner


@pytest.mark.parametrize("entries", [{}, {"verdict": "unheard of"}])
def test_no_banner_without_a_verdict(make_result, entries):
    result, _ = make_result(FLAT)
    assert '<div class="verdict' not in page_of(result, **entries)


def cohort():
    """Pairs of one fixed scan: ok, failed, check, failed and worse, one with an error, ok and worse."""
    names = [f"Toy_{number:04d}_0000.nii.gz" for number in range(1, 8)]
    verdicts = [("ok", 0.9), ("failed", 0.6), ("check", 0.95), ("failed", 0.3), (None, None), ("ok", 0.8)]
    records, pairs = [], []
    for moving, (verdict, dice) in zip(names[1:], verdicts, strict=True):
        pairs.append(Pair(Subject(Path(names[0])), Subject(Path(moving))))
        record = {"pair": pairs[-1].id, "fixed": names[0], "moving": moving}
        if verdict is None:
            record["error"] = "no scan"
        else:
            record |= {"verdict": verdict, "dice": {"1": dice}, "dice_before": {"1": 0.2}, "folds_percent": 0.0}
            record["reasons"] = [] if verdict == "ok" else [MIRRORED, "folds"]
        records.append(record)
    return pairs, records


def summary_of(records):
    return summarise([PairScores.from_json(record) for record in records], np.random.default_rng(0))


def test_cohort_is_sorted_by_verdict_and_names_its_outliers(tmp_path):
    pairs, records = cohort()
    summary = summary_of(records)
    assert order_of(summary) == [4, 3, 1, 2, 5, 0]
    assert summary.verdicts == {"failed": 2, "check": 1, "ok": 2}
    text = write_cohort_report(tmp_path, pairs, records, summary, pictures=0).read_text(encoding="utf-8")
    banner = re.search(r'<div class="verdict failed".*?</div>', text).group()
    assert text.index(banner) < text.index('class="tiles"')
    words = re.sub(r"<[^>]*>", "", banner)
    assert [int(n) for n in re.findall(r"(\d+) (?:✕failed|\?check|✓ok)", words)] == [2, 1, 2]
    told = [re.sub(r"<[^>]*>", "", item) for item in re.findall(r"<li>.*?</li>", banner)]
    reason = MIRRORED.replace("<", "&lt;").replace(">", "&gt;")
    assert told == [f"{name}: {status}: {reason}; folds" for name, status in (
        ("0003 onto 0001", "failed"), ("0005 onto 0001", "failed"), ("0004 onto 0001", "check"))]  # fmt: skip
    rows = re.findall(r'<tr data-pair="(\d)" data-text="([^"]*)">', text)
    assert [int(index) for index, _ in rows] == [4, 3, 1, 2, 5, 0]
    assert rows[1][1].endswith(" failed")  # so that the filter finds the word
    assert 'data-key="verdict"' in text
    cells = re.findall(r'<td data-v="(\d)" title="[^"]*"><span class="badge (\w+)"', text)
    assert cells == [("0", "failed"), ("0", "failed"), ("1", "check"), ("2", "ok"), ("2", "ok")]


def test_cohort_without_verdicts_has_neither_banner_nor_column(tmp_path):
    pairs, records = cohort()
    records = [{k: v for k, v in record.items() if k not in ("verdict", "reasons")} for record in records]
    text = write_cohort_report(tmp_path, pairs, records, summary_of(records), pictures=0).read_text(encoding="utf-8")
    assert '<div class="verdict' not in text
    assert 'data-key="verdict"' not in text


def test_many_outliers_are_counted(tmp_path):
    pairs, records = cohort()
    many = [replace(pairs[1], moving=Subject(Path(f"Toy_{n:04d}_0000.nii.gz"))) for n in range(2, 27)]
    records = [records[1] | {"pair": pair.id, "moving": pair.moving.image.name} for pair in many]
    text = write_cohort_report(tmp_path, many, records, summary_of(records), pictures=0).read_text(encoding="utf-8")
    assert "<li>5 more: see the table of all pairs.</li>" in text


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_of_verdicts_can_be_read(scheme):
    """Contrast of 4.5 to 1, as WCAG asks for, of every badge on every banner and on cards."""
    block = re.findall(r":root \{(.*?)\}", html.asset("page.css"), re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", block))
    for tone in ("good", "warn", "bad", "ink"):
        for ground in ("good-tint", "warn-tint", "bad-tint", "card"):
            dark, light = sorted(luminance(colours[name]) for name in (tone, ground))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (tone, ground)
