"""The screener on streams whose movement is known exactly."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamfer.records import Event, from_json, to_json
from streamfer.screening.flow import REGIONS
from tests.screening_streams import DOWN, UP, Stream, make, screen

BROWS_INNER = ("brow_inner_L", "brow_inner_R")
CORNERS = ("mouth_corner_L", "mouth_corner_R")


def micro(stream: Stream, **options: object) -> list[Event]:
    return [event for event in screen(stream.readings(), **options) if event.kind == "micro"]


@pytest.mark.parametrize(
    ("regions", "direction", "au", "side"),
    [
        pytest.param(BROWS_INNER, UP, "AU01", "both", id="inner-brows-up"),
        pytest.param(("brow_outer_R",), UP, "AU02", "right", id="outer-brow-up-right"),
        pytest.param(BROWS_INNER, DOWN, "AU04", "both", id="brows-down"),
        pytest.param(("mouth_corner_L",), (0.7, -0.7), "AU12", "left", id="corner-up-left"),
        pytest.param(CORNERS, DOWN, "AU15", "both", id="corners-down"),
        pytest.param(("mouth_corner_R",), (-1.0, 0.0), "AU14", "right", id="corner-out-right"),
        pytest.param(("nose_wing_L", "nose_wing_R"), UP, "AU09", "both", id="nose-wings-up"),
        pytest.param(("lip_upper",), UP, "AU10", "both", id="upper-lip-up"),
        pytest.param(("lip_lower", "chin"), UP, "AU17", "both", id="chin-up"),
    ],
)
@pytest.mark.parametrize("fps", [25, 30, 60])
def test_a_planted_movement_is_found_and_named(regions, direction, au, side, fps):
    stream = Stream(fps=fps).move(regions, direction, 0.06, 2.8, 3.0, 3.2)
    events = micro(stream)
    assert len(events) == 1
    event = events[0]
    assert abs(event.apex.time_s - 3.0) <= 1.5 / 30
    assert abs(event.onset.time_s - 2.8) <= 2.5 / 30
    assert abs(event.offset.time_s - 3.2) <= 2.5 / 30
    assert event.apex.frame == round(event.apex.time_s * fps)
    assert event.aus[0].au == au
    assert event.aus[0].side == side
    assert event.motion[0].region in regions
    assert event.motion[0].distance == pytest.approx(0.06, rel=0.3)
    assert from_json(Event, to_json(event)).id == event.id


def test_nothing_happens_on_a_calm_face():
    assert screen(Stream(duration_s=20).readings()) == []


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(Stream(duration_s=12, blinks=[(t, t + 0.1, t + 0.3) for t in (2.0, 4.5, 8.0)]), id="blinks"),
        pytest.param(Stream(duration_s=12, speech=(2.0, 10.0, 0.1)), id="speech"),
        pytest.param(
            Stream(duration_s=12).move(BROWS_INNER, UP, 0.06, 3.0, 3.3, 3.6 + 4.0, release=7.0), id="long-brow-raise"
        ),
    ],
)
def test_no_micro_expression_in(stream):
    assert micro(stream) == []


def test_a_brow_raise_is_found_while_its_owner_talks():
    stream = Stream(duration_s=8, speech=(1.0, 7.0, 0.1)).move(BROWS_INNER, UP, 0.06, 3.8, 4.0, 4.2)
    events = micro(stream)
    assert [event.aus[0].au for event in events] == ["AU01"]
    assert "talking" in events[0].flags
    assert all("brow" in motion.region for motion in events[0].motion), "speech is no part of the event"


def test_a_blink_at_the_apex_lowers_the_score_and_one_beside_it_does_not():
    alone = Stream().move(BROWS_INNER, DOWN, 0.06, 2.8, 3.0, 3.2)
    blinking = replace(alone, blinks=[(2.85, 3.0, 3.15)])
    before = replace(alone, blinks=[(1.0, 1.1, 1.3)])

    def best(stream: Stream) -> float:
        return max((event.score for event in micro(stream, min_score=0.0)), default=0.0)

    assert best(blinking) < best(alone) - 0.2
    assert best(before) == pytest.approx(best(alone), abs=0.02)


def test_head_motion_is_flagged():
    stream = replace(Stream().move(BROWS_INNER, UP, 0.08, 2.8, 3.0, 3.2), heads=[(0.5, (2.7, 3.0, 3.4))])
    events = micro(stream, min_score=0.05)
    assert [event.flags for event in events] == [("head_motion",)]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"unusable": ((2.95, 3.05),)}, id="unusable"),
        pytest.param({"missing": ((2.95, 3.3),)}, id="gap"),
        pytest.param({"segment_from": (3.0,)}, id="segment"),
    ],
)
def test_no_event_spans_a_break(broken):
    stream = replace(Stream().move(BROWS_INNER, UP, 0.08, 2.8, 3.0, 3.2), **broken)
    at = 3.0
    for event in screen(stream.readings(), min_score=0.0):
        assert event.offset.time_s <= at + 0.35 or event.onset.time_s >= at - 0.05
        assert not (event.onset.time_s < 2.94 and event.offset.time_s > 3.31)


def test_events_near_the_ends_of_a_track_are_flagged():
    stream = Stream(duration_s=3.0).move(BROWS_INNER, UP, 0.08, 0.05, 0.25, 0.45).move(CORNERS, DOWN, 0.08, 2.6, 2.8, 2.95)
    events = micro(stream, min_score=0.2)
    assert events
    for event in events:
        assert "edge_of_track" in event.flags


@pytest.mark.parametrize(
    ("fps", "found", "flag"),
    [
        pytest.param(30, 1, None, id="full"),
        pytest.param(24.97, 1, None, id="ntsc-25"),
        pytest.param(20, 1, "low_fps", id="degraded"),
        pytest.param(12, 0, None, id="too-slow"),
    ],
)
def test_frame_rate_policy(fps, found, flag):
    stream = Stream(fps=fps, duration_s=6).move(BROWS_INNER, UP, 0.08, 2.8, 3.0, 3.25)
    events = micro(stream)
    assert len(events) == found
    if flag:
        assert all(flag in event.flags for event in events)
    screener = make(fps=fps)
    assert screener.micro_enabled == (fps > 15)
    assert ("frames per second" in screener.micro_reason) == (fps < 15)


def test_variable_frame_rate_is_timed_by_its_stamps():
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.choice([1 / 30, 1 / 30, 2 / 30], 150))
    events = micro(Stream(times_s=times).move(BROWS_INNER, UP, 0.07, 2.8, 3.0, 3.25))
    assert len(events) == 1
    assert abs(events[0].apex.time_s - 3.0) <= 2 / 30


@pytest.mark.parametrize("release", [2.8, 3.6], ids=["bump", "held"])
def test_a_lasting_movement_is_a_macro_expression(release):
    stream = Stream(duration_s=9).move(CORNERS, (0.0, -1.0), 0.12, 2.0, 2.8, release + 0.8, release=release)
    events = screen(stream.readings(), min_score=0.3)
    assert [event.kind for event in events] == ["macro"]
    assert events[0].onset.time_s == pytest.approx(2.0, abs=0.25)
    assert events[0].offset.time_s == pytest.approx(release + 0.8, abs=0.3)
    assert events[0].aus[0].au == "AU12"


@pytest.mark.parametrize(("direction", "aus"), [(UP, ["AU09"]), (DOWN, None)], ids=["up", "down-no-muscle-does-that"])
def test_a_lasting_movement_that_is_no_action_unit_is_no_expression(direction, aus):
    stream = Stream(duration_s=9).move(("nose_wing_L", "nose_wing_R"), direction, 0.12, 2.0, 2.8, 4.4, release=3.6)
    screener = make(min_score=0.3)
    events = [event for reading in stream.readings() for event in screener.push(reading)] + screener.flush()
    assert [[change.au for change in event.aus] for event in events] == ([aus] if aus else [])
    assert (screener.counts["macro_without_action"] > 0) == (aus is None)


def test_the_au_curve_gives_the_intensity_when_it_is_higher():
    stream = Stream().move(CORNERS, (0.0, -1.0), 0.05, 2.8, 3.0, 3.2)
    stream.aus["AU12_L"] = (3.5, (2.8, 3.0, 3.2))
    stream.aus["AU45"] = (5.0, (2.8, 3.0, 3.2))
    (event,) = micro(stream)
    assert event.aus[0].au == "AU12"
    assert event.aus[0].intensity == pytest.approx(3.5, abs=0.4)
    assert "AU45" not in {change.au for change in event.aus}


def test_both_halves_at_once_are_one_event():
    stream = Stream().move(BROWS_INNER, UP, 0.06, 2.8, 3.0, 3.2).move(CORNERS, DOWN, 0.06, 2.8, 3.0, 3.2)
    (event,) = micro(stream)
    assert {change.au for change in event.aus} == {"AU01", "AU15"}


def test_tracks_do_not_mix():
    one = Stream(track=1, person="P1").move(BROWS_INNER, UP, 0.06, 2.8, 3.0, 3.2).readings()
    two = Stream(track=2, person="P2", seed=3).move(CORNERS, DOWN, 0.06, 3.8, 4.0, 4.2).readings()
    mixed = list(itertools.chain.from_iterable(zip(one, two, strict=True)))
    got = {(e.person, e.id) for e in screen(mixed)}
    assert got == {(e.person, e.id) for e in screen(one) + screen(two)}
    assert {person for person, _ in got} == {"P1", "P2"}


def test_the_same_readings_give_the_same_events_and_the_config_is_part_of_the_id():
    readings = Stream().move(BROWS_INNER, UP, 0.06, 2.8, 3.0, 3.2).readings()
    first, again = screen(readings), screen(readings)
    assert first == again
    assert len(first[0].id) == 20


def test_a_limit_per_minute_is_kept():
    stream = Stream(duration_s=24)
    for i in range(8):
        stream.move(BROWS_INNER, UP, 0.05 + 0.005 * i, 2.8 + 2.5 * i, 3.0 + 2.5 * i, 3.2 + 2.5 * i)
    assert len(micro(stream)) == 8
    assert len(micro(stream, max_events_per_minute=3)) == 3


@settings(max_examples=15, deadline=None)
@example(apex=2.90625, rise=0.125, fall=0.15625, size=0.0625, fps=25, lasting=True)
@given(apex=st.floats(1.0, 6.0), rise=st.floats(0.1, 0.25), fall=st.floats(0.1, 0.25), size=st.floats(0.05, 0.09),
       fps=st.sampled_from([25, 30, 60]), lasting=st.booleans())  # fmt: skip
def test_events_come_out_within_the_look_back(apex, rise, fall, size, fps, lasting):
    longer = 5.0 if lasting else 1.0
    stream = Stream(duration_s=12, fps=fps).move(BROWS_INNER, UP, size, apex - rise, apex, apex + fall * longer)
    screener = make()
    for reading in stream.readings():
        for event in screener.push(reading):
            assert reading.time_s - event.apex.time_s <= screener.lookback_s + 1e-6
            # the last step of the fit may move the offset of a lasting one back by a tenth of a second
            assert reading.time_s - event.offset.time_s <= (1.05 if event.kind == "micro" else 1.2)
            assert event.onset.frame <= event.apex.frame <= event.offset.frame


def test_memory_stays_bounded_over_an_hour_of_one_track():
    screener = make()
    calm = Stream(duration_s=10.0).readings()
    sizes = []
    for k in range(30):  # five minutes, enough to see growth
        for reading in calm:
            moved = replace(reading, frame=reading.frame + 300 * k, time_s=reading.time_s + 10.0 * k)
            if k and reading.frame == 0:
                moved = replace(moved, motion=replace(moved.motion, valid=True, step_s=1 / 30))
            screener.push(moved)
        stretch = screener._tracks[1].stretch
        sizes.append(stretch.moves.capacity + stretch.states.capacity)
    assert sizes[-1] == sizes[5]
    assert len(screener._tracks) == 1
    screener.end_track(1)
    assert not screener._tracks


def test_every_stage_can_be_recorded():
    rows: list[dict[str, object]] = []
    screener = make(record=rows.append)
    for reading in Stream().move(BROWS_INNER, UP, 0.06, 2.8, 3.0, 3.2).readings():
        screener.push(reading)
    screener.flush()
    stages = {row["stage"] for row in rows}
    assert {"signal", "micro"} <= stages
    signal = next(row for row in rows if row["stage"] == "signal")
    assert {"frame", "time_s", "track", "brow_inner_L_y", "mouth_open"} <= set(signal)
    best = max((row for row in rows if row["stage"] == "micro"), key=lambda row: row["score"])
    assert best["time_s"] == pytest.approx(3.0, abs=0.05)
    assert screener.counts["micro"] == 1


def test_a_stream_without_flow_gives_no_micro_event_and_no_error():
    readings = [replace(reading, motion=None) for reading in Stream().readings()]
    assert screen(readings) == []


def test_region_names_are_those_that_the_text_understands():
    assert all(name.rsplit("_", 1)[-1] in {"L", "R"} or name in {"lip_upper", "lip_lower", "chin"} for name in REGIONS)
