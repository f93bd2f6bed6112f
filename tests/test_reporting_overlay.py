"""What is drawn on a frame: each event on its own face, bars that stay in the picture, no numbers for unmeasured faces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamfer.records import Event, Frame
from streamfer.reporting.overlay import draw
from tests.analyses import EVENTS

MICRO, MACRO = (240, 80, 170), (40, 190, 210)


def row(track: int, x: float, usable: int = 1, **aus: float) -> dict[str, Any]:
    return {"face_id": track, "person": "", "box_x": x, "box_y": 100.0, "box_w": 80.0, "box_h": 100.0, "usable": usable,
            "reason": "" if usable else "small", **aus}  # fmt: skip


def picture(faces: list[dict[str, Any]], events: list[Event] = EVENTS, index: int = 33) -> np.ndarray:
    return draw(Frame(index, index / 30, np.full((360, 640, 3), 90, np.uint8)), faces, events)


def columns_of(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where there is the colour, or nearly: thin lines are smoothed."""
    return np.flatnonzero((np.abs(image.astype(int) - colour).sum(axis=2) < 60).any(axis=0))


def test_an_event_is_drawn_on_its_own_track_though_both_faces_are_unknown() -> None:
    assert EVENTS[0].track == 1 and EVENTS[0].onset.frame <= 33 <= EVENTS[0].offset.frame
    found = columns_of(picture([row(1, 60), row(2, 400)]), MICRO)
    assert found.size and found.max() < 300


@pytest.mark.parametrize("index", [29, 43], ids=["before", "after"])
def test_nothing_is_coloured_outside_an_event(index: int) -> None:
    assert columns_of(picture([row(1, 60)], EVENTS[:1], index), MICRO).size == 0


def test_a_micro_event_is_seen_through_a_macro_event_at_the_same_time() -> None:
    image = picture([row(1, 60)], [replace(EVENTS[1], onset=EVENTS[0].onset), EVENTS[0]])
    assert columns_of(image[140:160], MICRO).size and not columns_of(image[140:160], MACRO).size, "the box"
    assert columns_of(image, MACRO).size, "the words"


@pytest.mark.parametrize("x", [20, 540], ids=["left-edge", "right-edge"])
def test_bars_show_the_strength_and_stay_in_the_picture(x: float) -> None:
    weak, strong = (picture([row(1, x, AU12_r=v, AU12_L_r=5.0, AU17_r=0.1)], []) for v in (1.0, 4.0))
    white = [np.count_nonzero((image == 255).all(axis=2)) for image in (weak, strong)]
    assert white[1] > 2 * white[0]
    assert weak.shape == (360, 640, 3)


def test_a_face_that_cannot_be_measured_gets_its_reason_and_no_bars() -> None:
    np.testing.assert_array_equal(
        picture([row(1, 60, usable=0, AU12_r=4.0)]), picture([row(1, 60, usable=0, AU12_r=0.0)])
    )


def test_the_frame_itself_is_left_alone() -> None:
    image = np.full((360, 640, 3), 90, np.uint8)
    draw(Frame(33, 1.1, image), [row(1, 60, AU12_r=4.0)], EVENTS)
    assert (image == 90).all()
