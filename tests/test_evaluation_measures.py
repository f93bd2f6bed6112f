"""Measures with published or hand-worked values: ICC, PCC, F1 and AUC of AUs, confusion scores, bootstrap, FER+ votes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamfer.evaluation import agreement, aus, bootstrap, confusion, expression
from streamfer.records import LABELS

SHROUT_FLEISS = np.array(  # Shrout & Fleiss 1979, table 2: six targets, four judges
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)


def test_icc31_of_shrout_and_fleiss() -> None:
    assert agreement.icc31(*(SHROUT_FLEISS[:, [j]] for j in range(4))) == pytest.approx([0.71], abs=0.005)


def test_icc31_is_consistency_and_pcc_is_not() -> None:
    truth = np.array([[0.0], [1], [2], [3], [4]])
    assert agreement.icc31(truth + 1, truth) == pytest.approx([1])  # an offset does not matter
    assert agreement.icc31(truth * 2, truth)[0] == pytest.approx(2 * 20 / (40 + 10))  # 2 C / (S_xx + S_yy), C = 2 * 10
    assert agreement.correlation(truth * 2, truth) == pytest.approx([1])
    assert agreement.mse(truth + 2, truth) == pytest.approx([4])
    assert agreement.mae(truth - 2, truth) == pytest.approx([2])


def test_nothing_varies() -> None:
    flat = np.ones((5, 1))
    assert agreement.icc31(flat, flat) == [0]
    assert math.isnan(agreement.correlation(flat, flat)[0])


def test_auc_by_hand() -> None:
    # pairs: 3 > 1, 3 > 2, 2 > 1, 2 = 2 (half) of four
    assert agreement.auc(np.array([3.0, 2]), np.array([1.0, 2])) == 3.5 / 4
    assert math.isnan(agreement.auc(np.array([]), np.array([1.0])))


def table(people: str, predicted, present, intensity=None) -> aus.AUTable:
    predicted = np.array(predicted, float)
    return aus.AUTable(
        tuple(range(1, predicted.shape[1] + 1)), tuple(people), predicted, np.array(present, float),
        None if intensity is None else np.array(intensity, float),
    )  # fmt: skip


def test_au_f1_by_hand() -> None:
    nan = math.nan
    # AU1: TP (row 0), FN (row 1), FP (row 2), unknown (row 3); AU2 is never there; AU3: one hit
    made = table("aabb", [[1, 2, 1], [0, 0, 0], [1, 0, 0], [5, 0, 0]], [[1, 0, 1], [1, 0, 0], [0, 0, 0], [nan, 0, 0]])
    measured = aus.measure(made)
    assert measured["f1"].per_au[1] == pytest.approx(2 / 4)
    assert math.isnan(measured["f1"].per_au[2])
    assert measured["f1"].average == pytest.approx((0.5 + 1) / 2)
    assert measured["auc"].per_au[1] == pytest.approx(0.25)  # 1 = 1 a half, 0 < 1
    assert "icc" not in measured
    assert aus.measure(made, threshold=3)["f1"].per_au[1] == 0  # at 3 nothing is present


_values = arrays(np.float64, st.tuples(st.integers(2, 12), st.just(2)), elements=st.integers(0, 50).map(lambda v: v / 10))


@given(_values, st.randoms())
def test_sums_say_the_same_as_the_plain_forms(predicted: np.ndarray, random) -> None:
    truth = np.array([[random.randrange(6) for _ in row] for row in predicted], float)
    found = aus.agreement(table("p" * len(truth), predicted, truth > 0, truth).intensity_sums().sum(axis=0))
    assert found["icc"] == pytest.approx(agreement.icc31(predicted, truth), abs=1e-6)
    assert found["pcc"] == pytest.approx(agreement.correlation(predicted, truth), abs=1e-6, nan_ok=True)
    assert found["mae"] == pytest.approx(agreement.mae(predicted, truth), abs=1e-9)
    assert found["mse"] == pytest.approx(agreement.mse(predicted, truth), abs=1e-6)
    for name, low in (("icc", -1), ("mae", 0), ("mse", 0)):
        assert (found[name] >= low - 1e-9).all()
    swapped = aus.agreement(table("p" * len(truth), truth, truth > 0, predicted).intensity_sums().sum(axis=0))
    assert all(swapped[name] == pytest.approx(found[name], abs=1e-6, nan_ok=True) for name in found)  # symmetric


def test_au_intervals_are_over_people() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 4, (60, 2)).astype(float)
    made = table("abcdef" * 10, truth + rng.normal(0, 0.7, truth.shape), truth > 0, truth)
    for measured in aus.measure(made).values():
        low, high = measured.interval
        assert low <= measured.average <= high
    one = aus.measure(table("a" * 60, truth, truth > 0, truth))
    assert all(math.isnan(m.interval[0]) for m in one.values())
    assert one["auc"].average == 1.0


def test_table_of_the_wrong_shape() -> None:
    with pytest.raises(ValueError, match="2 rows and 1 AUs cannot hold an array of"):
        aus.AUTable((1,), ("a", "b"), np.zeros((2, 1)), np.zeros((1, 1)))


def test_confusion_by_hand() -> None:
    matrix = confusion.confusion("aaabbc", ["a", "a", "b", "b", None, "?"], "abc")
    assert matrix.tolist() == [[2, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]]
    assert confusion.accuracy(matrix) == pytest.approx(3 / 6)
    assert confusion.f1s(matrix) == pytest.approx([4 / 5, 2 / 4, 0])
    assert confusion.uf1(matrix) == pytest.approx((0.8 + 0.5 + 0) / 3)
    assert confusion.uar(matrix) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    with pytest.raises(ValueError, match="true class 'd' is none of a, b, c"):
        confusion.confusion("d", "a", "abc")


_answers = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc-")), min_size=1, max_size=40)


@given(_answers, st.permutations("abc"), st.randoms())
def test_confusion_properties(pairs, order, random) -> None:
    def scores(items, classes):
        matrix = confusion.confusion([t for t, _ in items], [g for _, g in items], classes)
        return [float(f(matrix)) for f in (confusion.uf1, confusion.uar, confusion.accuracy)]

    found = scores(pairs, "abc")
    assert all(0 <= value <= 1 for value in found)
    shuffled = list(pairs)
    random.shuffle(shuffled)
    assert scores(shuffled, order) == pytest.approx(found)
    assert scores([(t, t) for t, _ in pairs], "abc") == pytest.approx([1, 1, 1])


def test_bootstrap_is_over_subjects_not_items() -> None:
    """Two subjects with a hundred items each, one all right, one all wrong: nothing but 0, .5 and 1 can be drawn."""
    low, high = bootstrap.interval(np.array([[100.0, 100], [0, 100]]), lambda s: bootstrap.ratio(s[..., 0], s[..., 1]))
    assert (low, high) == (0.0, 1.0)
    one = bootstrap.interval(np.array([[100.0, 100]]), lambda s: bootstrap.ratio(s[..., 0], s[..., 1]))
    assert all(math.isnan(v) for v in one)


def test_bootstrap_agrees_with_the_binomial() -> None:
    rows = np.column_stack([np.arange(100) < 30, np.ones(100)]).astype(float)
    low, high = bootstrap.interval(rows, lambda s: bootstrap.ratio(s[..., 0], s[..., 1]))
    assert (low, high) == pytest.approx((0.21, 0.39), abs=0.02)  # .3 -+ 1.96 sqrt(.3 * .7 / 100)
    slow = bootstrap.interval_of(100, lambda w: float((w * rows[:, 0]).sum() / w.sum()), draws=2000)
    assert slow == pytest.approx((low, high))


# ------------------------------------------------------------------------------------------------- FER+

VOTES = {
    # name: votes in FER+'s order (neutral happiness surprise sadness anger disgust fear contempt unknown NF), label
    "clear": ([0, 10, 0, 0, 0, 0, 0, 0, 0, 0], "happiness"),
    "more_than_half": ([4, 6, 0, 0, 0, 0, 0, 0, 0, 0], "happiness"),
    "exactly_half_is_dropped": ([5, 5, 0, 0, 0, 0, 0, 0, 0, 0], None),
    "half_against_two": ([5, 3, 2, 0, 0, 0, 0, 0, 0, 0], None),
    "single_votes_do_not_count": ([5, 1, 1, 1, 1, 1, 0, 0, 0, 0], "neutral"),  # 5 of 5, not of 10
    "single_votes_break_a_half": ([5, 4, 1, 0, 0, 0, 0, 0, 0, 0], "neutral"),  # 5 of 9
    "unknown": ([2, 0, 0, 0, 0, 0, 0, 0, 8, 0], None),
    "no_face": ([0, 0, 0, 0, 0, 0, 0, 0, 0, 10], None),
    "all_single": ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], None),
    "contempt": ([0, 0, 0, 0, 2, 0, 0, 8, 0, 0], "contempt"),
    "sadness_is_fourth": ([0, 0, 0, 9, 0, 0, 0, 0, 1, 0], "sadness"),
    "nobody_voted": ([0] * 10, None),
}


@pytest.mark.parametrize(("votes", "label"), VOTES.values(), ids=VOTES)
def test_majority_of_fer_plus(votes: list[int], label: str | None) -> None:
    found = int(expression.majority(np.array([votes]))[0])
    assert (LABELS[found] if found >= 0 else None) == label


def test_expression_scores_by_hand() -> None:
    votes = np.array([VOTES[name][0] for name in ("clear", "more_than_half", "contempt", "no_face", "sadness_is_fourth")])
    given = ["happiness", "neutral", "contempt", "neutral", "fear"]
    scores = expression.evaluate(np.eye(8)[[LABELS.index(name) for name in given]], votes)  # type: ignore[arg-type]
    assert (scores.pictures, scores.dropped) == (4, 1)
    assert scores.accuracy == pytest.approx(2 / 4)
    assert scores.mean_recall == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert scores.recall["happiness"] == 0.5
    assert math.isnan(scores.recall["anger"])
    assert scores.confusion[LABELS.index("sadness"), LABELS.index("fear")] == 1
    assert scores.accuracy_interval[0] < 0.5 < scores.accuracy_interval[1]


def test_expression_refuses_wrong_shapes() -> None:
    with pytest.raises(ValueError, match=r"votes must be \(N, 10\)"):
        expression.majority(np.zeros((3, 8)))
    with pytest.raises(ValueError, match=r"must be \(3, 8\), they are \(3, 7\)"):
        expression.evaluate(np.zeros((3, 7)), np.zeros((3, 10)))
