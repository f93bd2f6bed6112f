"""The hand-labelled frames and the numbers taken from them: the file itself, AUC within clips, kappa."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.hand_labels import AUS, LABELS, SECOND, agreement, kappa, pooled, read_labels, within_clips


def test_the_labels_are_whole() -> None:
    labels = read_labels(LABELS)
    assert len(labels) >= 200
    assert len({(one.file, one.frame, one.place) for one in labels}) == len(labels)
    for k, au in enumerate(AUS):
        told = [one.present[k] for one in labels if one.present[k] is not None]
        assert any(told) and not all(told), au


def test_the_second_labels_are_forty_of_the_first() -> None:
    first = {(one.file, one.frame, one.place) for one in read_labels(LABELS)}
    second = {(one.file, one.frame, one.place) for one in read_labels(SECOND)}
    assert len(second) == 40 and second <= first
    assert agreement().count("\n") == 1 + len(AUS)


def test_within_clips_forgives_a_persons_level() -> None:
    present = np.array([True, False, True, False])
    read = np.array([1.0, 0.5, 4.0, 3.0])  # the second clip reads three higher, each clip is right by itself
    clip, once = np.array([0, 0, 1, 1]), np.array([1, 1])
    assert within_clips(present, read, clip, once) == 1
    assert pooled(present, read, clip, once) == pytest.approx(0.75)
    assert within_clips(present, read, clip, np.array([2, 0])) == 1
    assert np.isnan(within_clips(present, read, np.array([0, 1, 2, 3]), np.ones(4, int)))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1.0),
        ([1, 1, 0, 0], [1, 0, 1, 0], 0.0),
        ([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 1, 0, 0, 0, 0, 0, 0], (0.8 - 0.58) / 0.42),
    ],
    ids=["alike", "chance", "by hand"],
)
def test_kappa(first: list[int], second: list[int], expected: float) -> None:
    assert kappa([bool(a) for a in first], [bool(b) for b in second]) == pytest.approx(expected)


def test_kappa_of_one_thing_said_always_is_undefined() -> None:
    assert np.isnan(kappa([False] * 3, [False] * 3))
