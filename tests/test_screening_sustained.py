"""Strong expressions in AU curves."""

from __future__ import annotations

import pytest

from streamfer.records import Event
from tests.screening_streams import UP, Stream, screen


def macros(stream: Stream, **options: object) -> list[Event]:
    return [event for event in screen(stream.readings(), **options) if event.kind == "macro"]


def smiling(onset: float = 2.0, apex: float = 3.0, offset: float = 4.5, size: float = 3.0, **more: object) -> Stream:
    stream = Stream(duration_s=9.0, **more)  # type: ignore[arg-type]
    stream.aus |= dict.fromkeys(("AU12_L", "AU12_R"), (size, (onset, apex, offset)))
    stream.aus["AU06_L"] = (size / 3, (onset, apex, offset))
    return stream


def test_a_smile_is_one_macro_expression_with_its_aus():
    (event,) = macros(smiling())
    assert event.onset.time_s == pytest.approx(2.2, abs=0.15)  # a tenth of a raised cosine lies a fifth in
    assert event.apex.time_s == pytest.approx(3.0, abs=0.07)
    assert event.offset.time_s == pytest.approx(4.2, abs=0.15)
    assert (event.aus[0].au, event.aus[0].side) == ("AU12", "both")
    assert event.aus[0].intensity == pytest.approx(3.0, abs=0.1)
    assert event.score > 0.9


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(smiling(size=0.8), id="too-weak"),
        pytest.param(smiling(onset=2.8, apex=3.0, offset=3.3), id="too-short"),
    ],
)
def test_no_macro_expression(stream):
    assert macros(stream) == []


def test_one_that_is_just_too_long_for_a_micro_expression_is_not_lost():
    events = macros(smiling(onset=2.6, apex=2.9, offset=3.26))  # a tenth of the peak lies a fifth in: 0.53 s
    assert [event.duration_s for event in events] == [pytest.approx(0.53, abs=0.05)]


@pytest.mark.parametrize(
    ("fade_s", "options", "kinds"),
    [
        pytest.param(0.36, {}, ["micro"], id="one-movement-is-one-event"),
        pytest.param(0.36, {"micro": False}, ["macro"], id="without-micro-expressions"),
        pytest.param(1.5, {}, ["micro", "macro"], id="a-lasting-one-stays"),
    ],
)
def test_a_micro_expression_is_not_told_again_by_its_slower_curves(fade_s, options, kinds):
    stream = Stream(duration_s=7.0).move(("brow_inner_L", "brow_inner_R"), UP, 0.06, 2.74, 2.9, 3.06)
    stream.aus |= dict.fromkeys(("AU01_L", "AU01_R"), (1.9, (2.6, 2.9, 2.9 + fade_s)))
    events = screen(stream.readings(), **options)
    assert sorted((e.kind for e in events), reverse=True) == kinds
    assert [e.apex.time_s for e in events] == pytest.approx([2.9] * len(kinds), abs=0.1)


def test_a_raised_brow_that_ends_in_a_smile_is_two_expressions():
    stream = smiling(onset=3.2, apex=4.2, offset=5.5, size=2.5)
    stream.aus |= dict.fromkeys(("AU01_L", "AU01_R"), (3.0, (2.0, 3.0, 3.8)))
    brows, smile = macros(stream)
    assert (brows.aus[0].au, brows.apex.time_s) == ("AU01", pytest.approx(3.0, abs=0.07))
    assert (smile.aus[0].au, smile.apex.time_s) == ("AU12", pytest.approx(4.2, abs=0.07))
    assert brows.offset.time_s <= smile.onset.time_s


@pytest.mark.parametrize("apex", [3.0, 3.2, 3.4], ids=["together", "a little later", "later"])
def test_an_au_that_goes_on_for_longer_is_no_second_expression(apex):
    stream = smiling()
    stream.aus["AU10_L"] = (2.5, (2.0, apex, 6.0))
    assert len(macros(stream)) == 1


def test_speech_asks_for_more_of_the_mouth():
    quiet, talking = smiling(size=1.6), smiling(size=1.6, speech=(0.5, 8.5, 0.15))
    assert len(macros(quiet)) == 1
    assert macros(talking) == []
    assert len(macros(smiling(size=3.5, speech=(0.5, 8.5, 0.15)))) == 1


@pytest.mark.parametrize("column", ["AU25", "AU26", "AU43_L", "AU18"])
def test_lips_and_lids_alone_are_no_expression(column):
    stream = Stream(duration_s=9.0)
    stream.aus[column] = (4.0, (2.0, 3.0, 4.5))
    assert macros(stream) == []


def test_a_smile_that_does_not_end_is_cut_and_told_once():
    stream = smiling(onset=1.0, apex=2.0, offset=60.0)
    stream.duration_s = 20.0
    events = macros(stream, macro_max_s=4.0)
    assert len(events) == 1
    assert "cut_short" in events[0].flags
    assert events[0].duration_s <= 4.5


def test_a_smile_cut_off_by_a_gap_ends_there():
    stream = smiling()
    stream.missing = ((3.5, 4.2),)
    for event in macros(stream):
        assert event.offset.time_s <= 3.5 or event.onset.time_s >= 4.2
    assert "edge_of_track" in macros(stream)[0].flags
