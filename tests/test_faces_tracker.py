"""Tracker: exact truth on moving shapes, in seconds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfer.faces.tracker import Tracker, pair_cost
from tests.face_shapes import face_at


def follow(tracker: Tracker, times_s: list[float], *paths) -> list[list[int]]:
    """Ids of the faces at each time; a path is a function of time giving a shape, or None while it is hidden."""
    return [tracker.update(t, [p(t) for p in paths if p(t) is not None])[0] for t in times_s]


def every(step_s: float, until_s: float) -> list[float]:
    return [round(i * step_s, 6) for i in range(int(until_s / step_s) + 1)]


def test_first_face_is_track_one_and_stays():
    assert follow(Tracker(0.5), every(1 / 30, 2), lambda t: face_at(100 + 80 * t, 100)) == [[1]] * 61


@pytest.mark.parametrize("step_s", [1 / 60, 1 / 25, 1 / 15], ids=["60 fps", "25 fps", "15 fps"])
def test_crossing_faces_keep_their_ids(step_s):
    # two faces pass each other at 200 px/s, each given first in half of the frames
    right, left = (lambda t: face_at(100 + 200 * t, 100)), (lambda t: face_at(500 - 200 * t, 130))
    tracker = Tracker(0.5)
    for i, t in enumerate(every(step_s, 2)):
        order = [right, left] if i % 2 == 0 else [left, right]
        ids, ended = tracker.update(t, [path(t) for path in order])
        assert ids == ([1, 2] if i % 2 == 0 else [2, 1])
        assert ended == []


@pytest.mark.parametrize(
    ("gap_s", "ids_after"),
    [(0.3, [1]), (0.48, [1]), (0.6, [2])],
    ids=["short occlusion", "just within lost_s", "longer than lost_s"],
)
def test_occlusion(gap_s, ids_after):
    tracker = Tracker(0.5)
    follow(tracker, every(0.02, 1), lambda t: face_at(100 + 50 * t, 100))
    ended = [tracker.update(t, [])[1] for t in np.arange(1.02, 1 + gap_s - 0.001, 0.02)]
    ids, last = tracker.update(1 + gap_s, [face_at(100 + 50 * (1 + gap_s), 100)])
    assert ids == ids_after
    assert [t for e in [*ended, last] for t in e] == ([] if ids == [1] else [1])


def test_velocity_carries_a_track_over_a_gap():
    # 600 px/s for 0.4 s: 240 px, more than twice the face's width. Without a velocity this is another face
    path = lambda t: face_at(100 + 600 * t, 100)  # noqa: E731
    tracker = Tracker(0.5)
    follow(tracker, every(1 / 30, 1), path)
    assert tracker.update(1.4, [path(1.4)])[0] == [1]
    still = Tracker(0.5)
    follow(still, every(1 / 30, 1), lambda t: face_at(700, 100))
    assert still.update(1.4, [path(1.4)])[0] == [2]


def test_variable_frame_times_change_nothing():
    rng = np.random.default_rng(3)
    times = list(np.cumsum(rng.choice([0.008, 0.033, 0.1, 0.25], 80)))
    ids = follow(Tracker(0.5), times, lambda t: face_at(200 + 60 * np.sin(t), 100), lambda t: face_at(500, 100 + 5 * t))
    assert ids == [[1, 2]] * 80


def test_lost_is_counted_in_seconds_not_frames():
    tracker = Tracker(0.5)
    tracker.update(0.0, [face_at(100, 100)])
    for i in range(1, 100):  # a hundred empty frames within 0.4 s
        assert tracker.update(i * 0.004, [])[1] == []
    assert tracker.update(0.41, [face_at(100, 100)])[0] == [1]
    assert tracker.update(1.0, []) == ([], [1])


def test_ids_are_never_used_again():
    tracker = Tracker(0.1)
    seen = [tracker.update(float(i), [face_at(100, 100)]) for i in range(5)]
    assert seen == [([1], []), ([2], [1]), ([3], [2]), ([4], [3]), ([5], [4])]


def test_end_all_ends_every_track_once():
    tracker = Tracker(0.5)
    tracker.update(0.0, [face_at(100, 100), face_at(400, 100)])
    assert tracker.end_all() == [1, 2]
    assert tracker.end_all() == []
    assert tracker.update(0.04, [face_at(100, 100)]) == ([3], [])


def test_a_new_face_beside_a_known_one_is_not_confused_with_it():
    tracker = Tracker(0.5)
    tracker.update(0.0, [face_at(100, 100)])
    assert tracker.update(0.04, [face_at(260, 100), face_at(101, 100)])[0] == [2, 1]


def test_resumed_numbering():
    assert Tracker(0.5, next_track=8).update(0.0, [face_at(1, 1)])[0] == [8]


def test_negative_lost_s_is_refused():
    with pytest.raises(ValueError, match="lost_s must be 0 or more, not -1"):
        Tracker(-1)


def test_pair_cost_ends():
    assert pair_cost(face_at(0, 0)[:, :2], face_at(0, 0)[:, :2]) == 0
    assert pair_cost(face_at(0, 0)[:, :2], face_at(900, 0)[:, :2]) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.001, 0.7), st.lists(st.floats(0, 2000), max_size=4)), max_size=20))
def test_every_face_has_one_id_and_an_ended_one_never_returns(steps):
    tracker, time_s, gone, highest = Tracker(0.3), 0.0, set(), 0
    for step_s, places in steps:
        time_s += step_s
        ids, ended = tracker.update(time_s, [face_at(x, 100) for x in places])
        gone |= set(ended)
        assert len(ids) == len(places) == len(set(ids))
        assert not gone & set(ids)
        new = [i for i in ids if i > highest]
        assert sorted(new) == list(range(highest + 1, highest + 1 + len(new)))
        highest = max([highest, *ids])
