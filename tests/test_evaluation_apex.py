"""Apex error and success, and average precision over IoU, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfer.evaluation.apex import IOUS, apex_scores, ranking
from streamfer.evaluation.spotting import Spot, evaluate
from streamfer.records import Moment


def spot(onset: int, offset: int, apex: int | None = None, score: float = 1.0, video: str = "v", fps: int = 100) -> Spot:
    def moment(frame: int) -> Moment:
        return Moment(frame, frame / fps)

    return Spot(video, "micro", moment(onset), moment(offset), None if apex is None else moment(apex), score)


def test_apex_by_hand() -> None:
    truths = [spot(0, 9, 4), spot(20, 29, 25), spot(40, 49, 45), spot(60, 69)]
    found = [spot(0, 9, 6), spot(20, 29, 20), spot(60, 69, 65)]  # 2 late; 5 early, on the onset; truth without apex
    result = evaluate(truths, found)
    scores = apex_scores(result.pairs, truths).scores()
    assert scores["mae_frames"] == pytest.approx((2 + 5) / 2)
    assert scores["mae_ms"] == pytest.approx(35)
    assert scores["asr"] == 1 / 2
    assert scores["asr_all"] == 1 / 4
    assert math.isnan(apex_scores([], []).scores()["asr"])
    assert apex_scores([], truths).scores()["asr_all"] == 0


def test_iou_thresholds_are_coco_s() -> None:
    assert IOUS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def test_ap_of_perfect_and_of_nothing() -> None:
    truths = [spot(0, 9), spot(20, 29)]
    assert ranking(truths, truths).average_precision() == 1.0
    assert ranking(truths, []).average_precision() == 0.0
    assert math.isnan(ranking([], [spot(0, 9)]).average_precision())


def test_ap_by_hand() -> None:
    """Hit, false alarm, hit of three: precision 1 up to recall 1/3, 2/3 up to 2/3, nothing beyond."""
    truths = [spot(0, 9), spot(20, 29), spot(40, 49)]
    found = [spot(0, 9, score=0.9), spot(80, 89, score=0.8), spot(20, 29, score=0.7)]
    expected = (34 * 1 + 33 * 2 / 3) / 101  # recalls .00 to .33, then .34 to .66
    assert ranking(truths, found).average_precision() == pytest.approx(expected)


def test_ap_over_thresholds() -> None:
    # 10 frames against 13: IoU 10/13 = .77, right at .50 to .75 and wrong from .80 on: six of ten thresholds
    assert ranking([spot(0, 9)], [spot(0, 12)]).average_precision() == pytest.approx(0.6)


def test_a_second_detection_is_a_false_alarm() -> None:
    truths = [spot(0, 9), spot(20, 29)]
    found = [spot(0, 9, score=0.9), spot(0, 9, score=0.8), spot(20, 29, score=0.7)]
    assert ranking(truths, found).hits[0].tolist() == [True, False, True]


def test_equal_scores_are_one_step() -> None:
    truths = [spot(0, 9)]
    right, wrong = spot(0, 9, score=0.5), spot(50, 59, score=0.5)
    assert ranking(truths, [right, wrong]).average_precision() == pytest.approx(0.5)
    assert ranking(truths, [wrong, right]).average_precision() == pytest.approx(0.5)


def test_weights_are_people_drawn_again() -> None:
    truths = [spot(0, 9, video="a"), spot(0, 9, video="b")]
    found = [spot(0, 9, video="a", score=0.9), spot(40, 49, video="b", score=0.8)]
    ranked = ranking(truths, found, {"a": "A", "b": "B"})
    assert ranked.average_precision(np.array([1, 0])) == 1.0
    assert ranked.average_precision(np.array([0, 1])) == 0.0
    twice = [*truths, replace(truths[0], video="a2")]
    doubled = ranking(twice, [*found, replace(found[0], video="a2")])
    assert ranked.average_precision(np.array([2, 1])) == pytest.approx(doubled.average_precision())
    assert ranked.interval() == (0.0, 1.0)


_spots = st.lists(
    st.builds(
        lambda start, length, score, video: spot(start, start + length, start, score / 4, video),
        st.integers(0, 80), st.integers(0, 20), st.integers(0, 4), st.sampled_from("ab"),
    ),
    max_size=10,
)  # fmt: skip


@given(_spots, _spots)
def test_bounds(truths: list[Spot], found: list[Spot]) -> None:
    value = ranking(truths, found).average_precision()
    assert math.isnan(value) if not truths else 0 <= value <= 1
    scores = apex_scores(evaluate(truths, found).pairs, truths).scores()
    known = {name: v for name, v in scores.items() if not math.isnan(v)}
    assert all(v >= 0 for v in known.values())
    assert known.get("asr", 0) <= 1 and known.get("asr_all", 0) <= known.get("asr", 0) + 1e-12
