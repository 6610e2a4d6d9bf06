"""The verdict: how doubts add up, and what its reasons say."""

import pytest

from learngn.quality import Measures, Reason, judge
from learngn.quality.thresholds import MODELS, Term
from learngn.quality.verdict import _SENTENCES, contributions

GOOD = {"patterns": 0.7, "local": 0.6, "information": 0.3, "bodies": 0.95, "covered": 1.0}
CALM = {"agreement": 0.8, "turned": -0.1, "both_ways": 0.02, "spread": 0.3, "bending": 0.4, "displacement": 0.1}


def measures(kind="ct", after=None, **others):
    values = CALM | {"stretch": 0.05, "scale": 0.02, "body": 0.02} | others
    return Measures(kind, GOOD, GOOD, GOOD | (after or {}), values, "mirrored (left and right exchanged)")


@pytest.mark.parametrize("kind", ["ct", "other", "across", "planar"])
def test_good_pair(kind):
    verdict = judge(measures(kind))
    assert verdict.status == "ok"
    assert verdict.reasons == ()
    assert verdict.line == "ok"


def test_mirrored_scan():
    verdict = judge(measures(turned=0.2))
    assert verdict.status == "failed"
    assert [reason.measure for reason in verdict.reasons] == ["turned"]
    assert "mirrored (left and right exchanged): by 0.20" in verdict.reasons[0].text
    assert verdict.line.startswith("failed: the moving scan fits better mirrored")


def test_weightiest_reason_first():
    verdict = judge(measures(after={"patterns": 0.55}, bending=3.0))
    assert verdict.status == "failed"
    assert verdict.reasons[0].measure == "bending"


def test_what_was_left_out_is_to_be_checked():
    verdict = judge(measures(), (Reason("local_after", "the displacement is left out"),))
    assert verdict.status == "check"
    assert verdict.left_out
    assert verdict.to_json()["reasons"] == ["the displacement is left out"]


def test_unknown_measures_add_nothing():
    assert contributions({"spread": Term(0.5, 2.0, 1.0)}, {"spread": float("nan")}) == {}
    assert contributions({"spread": Term(0.5, 2.0, 1.0)}, {}) == {}


@pytest.mark.parametrize(("term", "value", "doubt"), [
    (Term(0.5, 2.0, 1.0), 0.4, 0.0),
    (Term(0.5, 2.0, 1.0), 0.7, 0.4),
    (Term(0.5, 2.0, 1.0), 9.0, 1.0),
    (Term(0.5, -2.0, 1.0), 0.7, 0.0),
    (Term(0.5, -2.0, 1.0), 0.2, 0.6),
])  # fmt: skip
def test_doubt_beyond_the_limit(term, value, doubt):
    assert contributions({"spread": term}, {"spread": value}) == {"spread": pytest.approx(doubt)}


def test_every_measure_has_a_sentence():
    for kind, model in MODELS.items():
        assert set(model) <= set(_SENTENCES), kind
