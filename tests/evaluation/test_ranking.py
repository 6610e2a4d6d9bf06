"""Ranking and comparison of methods: what they mean, in cases that can be counted by hand."""

import numpy as np
import pytest

from learngn.errors import OutputError, ShapeError
from learngn.evaluation import PairScores, compare_methods, rank, summarise
from learngn.evaluation.comparison import holm
from learngn.evaluation.plot import draw_methods
from learngn.evaluation.ranking import count, score_of_losses


def method(dice: float, sdlogj: float, tre: float | None = None, seed: int = 0, pairs: int = 20) -> list[PairScores]:
    """Scores about some means; the start is the same for all methods."""
    rng, start = np.random.default_rng(seed), np.random.default_rng(99)
    scores = []
    for number in range(pairs):
        before = {label: float(start.uniform(0.2, 0.5)) for label in (1, 2)}
        points = {}
        if tre is not None:
            points["tre_landmarks"] = tuple(rng.normal(tre, 0.1, 10).tolist())
            points["tre_landmarks_before"] = tuple(start.uniform(5, 9, 10).tolist())
            points["tre"] = float(np.mean(points["tre_landmarks"]))
        scores.append(
            PairScores(
                f"f{number}",
                f"m{number}",
                {label: float(rng.normal(dice, 0.02)) for label in (1, 2)},
                before,
                {label: float(rng.normal(3, 0.01)) for label in (1, 2)},
                sdlogj=float(rng.normal(sdlogj, 0.001)),
                **points,
            )
        )
    return scores


def test_best_of_three():
    ranking = rank(
        {"poor": method(0.5, 0.08, seed=1), "good": method(0.8, 0.06, seed=2), "fair": method(0.7, 0.07, seed=3)}
    )
    assert ranking.metrics == ("dice", "dice30", "hd95", "sdlogj")
    assert [ranking.methods[index] for index in ranking.order] == ["good", "fair", "poor"]
    np.testing.assert_array_equal(ranking.wins[:, 0], [0, 2, 1])
    np.testing.assert_array_equal(ranking.losses[:, 0], [2, 0, 1])
    np.testing.assert_allclose(ranking.scores[:, 0], [0.1, 1.0, 0.55])
    # HD95 is alike: all share the mean of .1, .55 and 1.
    np.testing.assert_allclose(ranking.scores[:, 2], 0.55)
    assert ranking.overall[1] == pytest.approx((1 * 1 * 0.55 * 1) ** 0.25)
    assert ranking.to_json()["methods"][0]["name"] == "good"


def test_landmarks_and_lower_is_better():
    ranking = rank({"far": method(0.7, 0.07, 3.0, seed=1), "near": method(0.7, 0.07, 1.0, seed=1)})
    assert ranking.metrics == ("dice", "dice30", "hd95", "tre", "tre30", "sdlogj")
    np.testing.assert_allclose(ranking.scores[:, 3:5], [[0.1, 0.1], [1, 1]])


def test_the_signed_rank_test_sees_small_steady_gains():
    values = np.random.default_rng(0).normal(size=50)
    entries = np.stack([values, values + 0.05 + 0.01 * np.random.default_rng(1).random(50)])
    assert count(entries, higher_is_better=True)[0].tolist() == [0, 0]
    wins, losses = count(entries, higher_is_better=True, test="signed-rank")
    assert (wins.tolist(), losses.tolist()) == ([0, 1], [1, 0])
    wins, losses = count(entries, higher_is_better=False, test="signed-rank")
    assert (wins.tolist(), losses.tolist()) == ([1, 0], [0, 1])
    same = count(np.stack([values, values]), higher_is_better=True, test="signed-rank")
    assert not same[0].any()


def test_ties_share_their_mean():
    np.testing.assert_allclose(score_of_losses([0, 3, 1, 1]), [1.0, 0.1, 0.55, 0.55])


def test_what_cannot_be_ranked():
    scores = method(0.7, 0.07)
    with pytest.raises(ShapeError, match="1 methods"):
        rank({"alone": scores})
    with pytest.raises(ShapeError, match="2 lists of pairs"):
        rank({"a": scores, "b": scores[:-1]})
    with pytest.raises(ShapeError, match="no pair that all"):
        rank({"a": scores[:1], "b": [PairScores("f0", "m0", error="no file")]})


def test_pairs_that_failed_are_left_out_for_all():
    better, worse = method(0.8, 0.07, seed=1), method(0.6, 0.07, seed=2)
    broken = [PairScores("f0", "m0", error="no file"), *worse[1:]]
    assert rank({"a": better, "b": broken}).scores.tolist() == rank({"a": better[1:], "b": worse[1:]}).scores.tolist()


def test_holm():
    # Smallest times three, the next times two, but never below it.
    assert holm([0.04, 0.01, 0.015]) == pytest.approx([0.04, 0.03, 0.03])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([float("nan"), 0.03])[1] == 0.03


def summaries():
    rng = np.random.default_rng(0)
    methods = {
        "ours": method(0.8, 0.06, seed=2),
        "theirs": method(0.7, 0.07, seed=3),
        "third": method(0.8, 0.06, seed=2),
    }
    return {name: summarise(pairs, rng) for name, pairs in methods.items()}


def test_paired_comparison():
    comparison = compare_methods(summaries())
    assert comparison.differences["theirs"]["dice_mean"].mean_difference == pytest.approx(-0.1, abs=0.02)
    assert comparison.differences["theirs"]["dice_mean"].p_value < 1e-4
    assert comparison.adjusted["theirs"]["dice_mean"] == 2 * comparison.differences["theirs"]["dice_mean"].p_value
    assert comparison.differences["third"]["dice_mean"].p_value == 1
    assert "dice_mean_before" not in comparison.differences["theirs"]
    assert comparison.to_json()["compared_with"] == "ours"


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_plot(suffix, tmp_path):
    for name in ("a", "b"):
        draw_methods(summaries(), tmp_path / f"{name}{suffix}")
    first = (tmp_path / f"a{suffix}").read_bytes()
    assert first == (tmp_path / f"b{suffix}").read_bytes()
    assert len(first) > 10_000
    with pytest.raises(OutputError, match=r"one of \.png, \.svg, \.pdf"):
        draw_methods(summaries(), tmp_path / "a.bmp")
