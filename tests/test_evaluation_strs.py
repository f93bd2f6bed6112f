"""STRS: the golden example, the published baseline, the official script's errors one by one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfer.evaluation.spotting import Counts, Spot
from streamfer.evaluation.strs import Labelled, strs
from streamfer.records import Moment


def at(video: str, onset: int, label: str | None, subject: str | None = None, length: int = 10) -> Labelled:
    spot = Spot(video, "micro", Moment(onset, onset / 30), Moment(onset + length - 1, (onset + length - 1) / 30))
    return Labelled(spot, subject or f"s-{video}", label)


def test_golden_example() -> None:
    """Five true and five predicted: TP 3, FP 2, FN 2; one of three classes right -> 0.6 * 1/3 = 0.2."""
    truths = [at("a", 0, "negative"), at("b", 0, "positive"), at("c", 0, "surprise"), at("d", 0, "negative"), at("e", 0, "positive")]
    found = [at("a", 0, "negative"), at("b", 1, "surprise"), at("c", 2, "positive"), at("d", 50, "negative"), at("e", 60, "surprise")]
    result = strs(truths, found)
    assert (result.counts.hits, result.counts.false_alarms, result.counts.missed) == (3, 2, 2)
    scores = result.scores()
    assert scores["f1_spot"] == pytest.approx(0.6)
    assert scores["f1_analysis"] == pytest.approx(1 / 3)
    assert scores["strs"] == pytest.approx(0.2)
    assert strs(truths, found, official=True).scores()["strs"] == pytest.approx(0.2)


# organisers' baseline of MEGC 2025 (arXiv 2506.15298): every spotted one called the same, one class of three
BASELINE = {
    # name: (TP, FP, FN, F1 spotting, STRS)
    "samm": (6, 217, 202, 0.0278, 0.0062),
    "casme3": (3, 115, 34, 0.0387, 0.0086),
}


@pytest.mark.parametrize(("tp", "fp", "fn", "f1", "expected"), BASELINE.values(), ids=BASELINE)
def test_megc_2025_baseline(tp: int, fp: int, fn: int, f1: float, expected: float) -> None:
    right = tp // 2  # half of the spotted ones are of the class that is always given: P = .5 / 3, R = 1 / 3
    spotted = ["negative"] * right + ["positive", "surprise", "positive"][: tp - right]
    if tp == 3:  # 1.5 of 3 cannot be: one of them has no class
        spotted = ["negative", "positive", None]
    truths = [at(f"t{i}", 0, label) for i, label in enumerate(spotted)]
    truths += [at(f"t{i + tp}", 0, ["negative", "positive", "surprise"][i % 3]) for i in range(fn)]
    found = [at(f"t{i}", 0, "negative") for i in range(tp)] + [at(f"x{i}", 0, "negative") for i in range(fp)]
    scores = strs(truths, found).scores()
    assert scores["f1_spot"] == pytest.approx(f1, abs=5e-5)
    assert scores["precision_analysis"] == pytest.approx(1 / 6)
    assert scores["recall_analysis"] == pytest.approx(1 / 3)
    assert scores["strs"] == pytest.approx(expected, abs=5e-5)


def test_f1_is_of_the_means_not_the_mean_of_f1() -> None:
    # a: 2 spotted, both called a. b: 2 spotted, one called b, one a. P_a 2/3, P_b 1, R_a 1, R_b 1/2
    truths = [at("1", 0, "a"), at("2", 0, "a"), at("3", 0, "b"), at("4", 0, "b")]
    found = [at("1", 0, "a"), at("2", 0, "a"), at("3", 0, "b"), at("4", 0, "a")]
    scores = strs(truths, found).scores()
    p, r = (2 / 3 + 1) / 2, (1 + 1 / 2) / 2
    assert scores["f1_analysis"] == pytest.approx(2 * p * r / (p + r))
    assert scores["uf1_analysis"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert scores["uar_analysis"] == pytest.approx(r)
    assert strs(truths, found, official=True).scores()["uar_analysis"] == pytest.approx(p)  # the script's error


def test_a_truth_without_a_class_counts_for_spotting_only() -> None:
    result = strs([at("1", 0, "a"), at("2", 0, None)], [at("1", 0, "a"), at("2", 0, "a")])
    assert result.counts == Counts(2, 2, 2)
    assert result.confusion.sum() == 1
    assert result.scores()["strs"] == 1.0


def test_a_prediction_without_a_label_is_wrong() -> None:
    scores = strs([at("1", 0, "a"), at("2", 0, "a")], [at("1", 0, "a"), at("2", 0, None)]).scores()
    assert (scores["precision_analysis"], scores["recall_analysis"]) == (1.0, 0.5)


OFFICIAL = {
    # name: (truths, predictions, correct counts, the script's counts)
    "subjects_of_the_predictions": (
        [at("1", 0, "a"), at("2", 0, "a")], [at("1", 0, "a")], Counts(1, 1, 2), Counts(1, 1, 1)),
    "videos_of_the_truth": (
        [at("1", 0, "a", "s")], [at("1", 0, "a", "s"), at("2", 0, "a", "s")], Counts(1, 2, 1), Counts(1, 1, 1)),
    "one_prediction_matches_two": (  # frames 0-9 and 5-14 against 2-12: IoU 8/13 and 8/13
        [at("1", 0, "a"), at("1", 5, "a")], [at("1", 2, "a", length=11)], Counts(1, 1, 2), Counts(2, 2, 2)),
    "two_predictions_match_one": (
        [at("1", 0, "a")], [at("1", 0, "a"), at("1", 1, "a")], Counts(1, 2, 1), Counts(2, 2, 2)),
}  # fmt: skip


@pytest.mark.parametrize(("truths", "found", "correct", "official"), OFFICIAL.values(), ids=OFFICIAL)
def test_errors_of_the_official_script(truths, found, correct: Counts, official: Counts) -> None:
    assert strs(truths, found).counts == correct
    assert strs(truths, found, official=True).counts == official


def test_nothing_right() -> None:
    truths, found = [at("1", 0, "a")], [at("1", 0, "b")]
    assert strs(truths, found).scores()["strs"] == 0.0
    assert math.isnan(strs(truths, found, official=True).scores()["strs"])
    assert strs(truths, []).scores()["strs"] == 0.0
    assert math.isnan(strs([], []).scores()["f1_spot"])
    assert math.isnan(strs([], []).interval("strs")[0])


def test_interval_holds_the_score() -> None:
    truths = [at(f"v{i}", 0, "ab"[i % 2]) for i in range(12)]
    found = [at(f"v{i}", 0, "abba"[i % 4]) for i in range(9)]
    result = strs(truths, found)
    low, high = result.interval("strs")
    assert low < result.scores()["strs"] < high
    assert result.interval("strs") == (low, high)


_items = st.lists(
    st.builds(at, st.sampled_from("uvw"), st.integers(0, 60), st.sampled_from(["a", "b", None])), max_size=10
)


@given(_items, _items, st.randoms())
def test_bounds_and_order(truths, found, random) -> None:
    result = strs(truths, found)
    scores = {k: v for k, v in result.scores().items() if not math.isnan(v)}
    assert all(0 <= value <= 1 for value in scores.values())
    assert scores.get("strs", 0) <= scores.get("f1_spot", 0) + 1e-12
    # which of several predictions of one place is taken depends on nothing but the intervals
    places = {(p.spot.video, p.spot.onset.frame) for p in found}
    if len(places) == len(found):
        shuffled = list(found)
        random.shuffle(shuffled)
        assert strs(truths, shuffled).counts == result.counts
