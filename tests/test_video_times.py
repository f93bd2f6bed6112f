"""`forward`: strictly increasing seconds out of whatever time stamps there are."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfer.records import SourceCounts
from streamfer.video.times import forward


def run(times: list[float]) -> tuple[list[tuple[int, float, int]], SourceCounts]:
    counts = SourceCounts()
    return list(forward(enumerate(times), counts, 0.1)), counts


@pytest.mark.parametrize(
    ("times", "kept", "out", "segments", "dropped"),
    [
        pytest.param([], [], [], [], 0, id="nothing"),
        pytest.param([7.0], [0], [7.0], [0], 0, id="one"),
        pytest.param([0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 0, 0], 0, id="in-order"),
        pytest.param([0, 1, 1, 2], [0, 1, 3], [0, 1, 2], [0, 0, 0], 1, id="repeated"),
        pytest.param([0, 1, 0.5, 2], [0, 2, 3], [0, 0.5, 2], [0, 0, 0], 1, id="early-by-one"),
        pytest.param([0, 1, 900, 2, 3], [0, 1, 3, 4], [0, 1, 2, 3], [0] * 4, 1, id="one-lies-ahead"),
        pytest.param([900, 0, 1], [1, 2], [0, 1], [0, 0], 1, id="the-first-lies"),
        pytest.param([50, 51, 3, 52], [0, 1, 3], [50, 51, 52], [0] * 3, 1, id="one-lies-behind"),
        pytest.param([50, 51, 3], [0, 1], [50, 51], [0, 0], 1, id="the-last-lies-behind"),
        pytest.param([50, 51, 0, 1, 2], [0, 1, 2, 3, 4], [50, 51, 51.1, 52.1, 53.1], [0, 0, 1, 1, 1], 0, id="restart"),
        pytest.param(
            [9, 10, 0, 1, 0, 1], [0, 1, 2, 3], [9, 10, 10.1, 11.1], [0, 0, 1, 1], 2, id="a-step-back-of-1s-is-late"
        ),
        pytest.param(
            [9, 10, 0, 5, 0, 5], range(6), [9, 10, 10.1, 15.1, 15.2, 20.2], [0, 0, 1, 1, 2, 2], 0, id="two-restarts"
        ),
    ],
)
def test_truth(times, kept, out, segments, dropped) -> None:
    found, counts = run(times)
    assert [item for item, _, _ in found] == list(kept)
    assert [at for _, at, _ in found] == pytest.approx(out)
    assert [segment for _, _, segment in found] == segments
    assert counts.time_not_advancing == dropped
    assert counts.time_restarts == max(segments, default=0)


@given(st.lists(st.floats(0, 1e5, allow_nan=False).map(lambda t: round(t, 3)), max_size=60))
def test_any_times(times) -> None:
    found, counts = run(times)
    out = [at for _, at, _ in found]
    assert all(after > before for before, after in itertools.pairwise(out))
    assert len(found) + counts.time_not_advancing == len(times), "kept or counted"
    items = [item for item, _, _ in found]
    assert items == sorted(items)


@given(st.lists(st.floats(0.001, 10), min_size=1, max_size=60))
def test_times_in_order_pass_untouched(steps) -> None:
    times = [sum(steps[: i + 1]) for i in range(len(steps))]
    found, _ = run(times)
    assert [at for _, at, _ in found] == times
