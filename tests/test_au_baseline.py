"""The neutral level: found, kept through held expressions, drifting slowly, stated, and rebuilt by replaying."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfer.action_units.baseline import Baseline, parse_spans
from streamfer.config import ActionUnits
from streamfer.errors import UsageError

FPS = 30.0


def play(
    baseline: Baseline, seconds: float, value: Callable[[float], float], *, start_s: float = 0.0, person: str = "P1",
    noise: float = 0.05, usable: bool = True, fps: float = FPS,
) -> np.ndarray:  # fmt: skip
    """Push one AU that follows `value(time_s)`; returns the corrected values."""
    rng = np.random.default_rng(int(start_s * 10))
    out = []
    for i in range(int(seconds * fps)):
        time_s = start_s + i / fps
        raw = np.clip(value(time_s) + rng.normal(0, noise), 0, 5)
        out.append(baseline.push(person, time_s, np.array([raw], np.float32), usable)[0][0])
    return np.array(out)


def baseline_of(**options: object) -> Baseline:
    return Baseline(ActionUnits(**options), ("AU12_L",))  # type: ignore[arg-type]


@pytest.mark.parametrize("level", [0.0, 0.4, 1.3, 2.8])
def test_neutral_level_is_taken_off(level: float) -> None:
    baseline = baseline_of()
    corrected = play(baseline, 10, lambda t: level)
    assert corrected[60:].mean() < 0.12
    assert baseline.level("P1")[0] == pytest.approx(level, abs=0.12)


@pytest.mark.parametrize("held_s", [1, 5, 20])
def test_held_expression_keeps_its_height(held_s: float) -> None:
    baseline = baseline_of()
    play(baseline, 4, lambda t: 0.8)
    held = play(baseline, held_s, lambda t: 3.8, start_s=4)
    assert held.mean() == pytest.approx(3.0, abs=0.25)
    assert held[-30:].mean() == pytest.approx(3.0, abs=0.4)
    after = play(baseline, 3, lambda t: 0.8, start_s=4 + held_s)
    assert after[-30:].mean() < 0.15


def test_micro_expression_keeps_its_height() -> None:
    baseline = baseline_of()
    play(baseline, 5, lambda t: 0.5)
    micro = play(baseline, 0.3, lambda t: 1.3, start_s=5, noise=0)
    assert micro.mean() == pytest.approx(0.8, abs=0.1)


def test_face_that_starts_in_an_expression_is_put_right_when_it_relaxes() -> None:
    baseline = baseline_of()
    play(baseline, 5, lambda t: 3.0)
    play(baseline, 4, lambda t: 0.5, start_s=5)
    assert baseline.level("P1")[0] == pytest.approx(0.5, abs=0.15)
    again = play(baseline, 1, lambda t: 3.0, start_s=9)
    assert again.mean() == pytest.approx(2.5, abs=0.2)


def test_level_follows_a_lasting_change_within_a_few_windows() -> None:
    baseline = baseline_of(baseline_window_s=10.0)
    play(baseline, 5, lambda t: 0.5)
    corrected = play(baseline, 60, lambda t: 1.5, start_s=5)
    assert corrected[0] == pytest.approx(1.0, abs=0.25)
    assert corrected[-30:].mean() < 0.15


def test_first_frames_use_the_best_guess_and_say_so() -> None:
    baseline = baseline_of(baseline_min_s=2.0)
    corrected, seconds = baseline.push("P1", 0.0, np.array([1.5], np.float32), True)
    assert corrected[0] < 0.1 and 0 < seconds < 0.1
    play(baseline, 3, lambda t: 1.5, start_s=0.1)
    assert baseline.push("P1", 3.2, np.array([1.5], np.float32), True)[1] == pytest.approx(3.2, abs=0.2)


def test_frames_that_are_not_usable_teach_nothing_but_are_corrected() -> None:
    baseline = baseline_of()
    unknown = play(baseline, 1, lambda t: 3.0, usable=False, noise=0)
    assert unknown == pytest.approx(3.0) and baseline.level("P1") is None
    play(baseline, 4, lambda t: 1.0, start_s=1)
    level = baseline.level("P1")
    assert play(baseline, 2, lambda t: 0.2, start_s=5, usable=False).max() == 0.0
    np.testing.assert_array_equal(baseline.level("P1"), level)
    corrected, _ = baseline.push("P1", 8.0, np.array([np.nan], np.float32), True)
    assert np.isnan(corrected[0])
    np.testing.assert_array_equal(baseline.level("P1"), level)


def test_people_do_not_share_levels() -> None:
    baseline = baseline_of()
    play(baseline, 4, lambda t: 0.3)
    play(baseline, 4, lambda t: 2.0, person="P2")
    assert baseline.level("P1")[0] == pytest.approx(0.3, abs=0.12)
    assert baseline.level("P2")[0] == pytest.approx(2.0, abs=0.12)
    assert baseline.level("P3") is None


def test_level_does_not_depend_on_the_frame_rate() -> None:
    levels = []
    for fps in (10.0, 30.0, 200.0):
        baseline = baseline_of()
        play(baseline, 4, lambda t: 2.5, fps=fps, noise=0)
        play(baseline, 3, lambda t: 0.5, start_s=4, fps=fps, noise=0)
        levels.append(baseline.level("P1")[0])
    assert max(levels) - min(levels) < 0.06


def test_stated_neutral_segment_overrides() -> None:
    baseline = baseline_of(neutral={"P1": "0:10-0:12"})
    smiling = play(baseline, 10, lambda t: 3.0)
    assert smiling[-30:].mean() < 0.2  # nothing better is known yet
    assert baseline.unmet == ("P1",)
    play(baseline, 2, lambda t: 1.0, start_s=10)
    assert baseline.unmet == ()
    after = play(baseline, 120, lambda t: 3.0, start_s=12.1)
    assert after.mean() == pytest.approx(2.0, abs=0.05)
    assert after[-30:].mean() == pytest.approx(2.0, abs=0.05)  # and stays


def test_off_gives_raw_values() -> None:
    baseline = baseline_of(baseline="off")
    assert play(baseline, 3, lambda t: 2.0, noise=0) == pytest.approx(2.0)


def test_memory_does_not_grow() -> None:
    baseline = baseline_of()
    play(baseline, 10, lambda t: 0.5)
    size = _bytes(baseline)
    play(baseline, 600, lambda t: 0.5, start_s=10, fps=10)
    assert _bytes(baseline) == size
    for track in range(1000):
        baseline.push(f"track {track}", 700.0, np.array([0.5], np.float32), True)
    assert len(baseline._people) <= 256


def _bytes(baseline: Baseline) -> int:
    return sum(
        value.nbytes for p in baseline._people.values() for value in vars(p).values() if isinstance(value, np.ndarray)
    )


frames = st.lists(
    st.tuples(st.sampled_from(["P1", "P2"]), st.floats(0.001, 3.0), st.floats(0, 5, width=32), st.booleans()), max_size=60
)


@settings(max_examples=40, deadline=None)
@given(frames)
def test_replaying_the_same_frames_gives_the_same_answers(rows: list[tuple[str, float, float, bool]]) -> None:
    def run(baseline: Baseline, part: Iterable[tuple[str, float, float, bool]], start_s: float) -> list[float]:
        out, time_s = [], start_s
        for person, step_s, raw, usable in part:
            time_s += step_s
            out += list(baseline.push(person, time_s, np.array([raw], np.float32), usable)[0])
        return out

    options = {"neutral": {"P1": "2-4"}}
    whole = run(baseline_of(**options), rows, 0.0)
    assert run(baseline_of(**options), rows, 0.0) == whole
    assert all(0 <= value <= 5 for value in whole)
    for value, (_, _, raw, _) in zip(whole, rows, strict=True):
        assert value <= raw + 1e-6  # never more than measured


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("0:10-0:20", ((10.0, 20.0),), id="minutes"),
        pytest.param("1:02:03.5-1:02:09", ((3723.5, 3729.0),), id="hours"),
        pytest.param("5-7.25", ((5.0, 7.25),), id="seconds"),
        pytest.param("90-2:00", ((90.0, 120.0),), id="mixed"),
        pytest.param(" 0:10 - 0:20 , 0:40-0:41", ((10.0, 20.0), (40.0, 41.0)), id="several"),
    ],
)
def test_time_spans(text: str, expected: tuple[tuple[float, float], ...]) -> None:
    assert parse_spans(text) == expected


@pytest.mark.parametrize("text", ["", "10", "20-10", "5-5", "a-b", "0:10–0:20", "-5-10", "1:2:3:4-9"])
def test_bad_time_spans_name_the_person_and_the_form(text: str) -> None:
    with pytest.raises(UsageError, match=r"neutral of P1.*START-END"):
        Baseline(ActionUnits(neutral={"P1": text}), ("AU12_L",))
