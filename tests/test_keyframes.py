"""Key frames: the right picture for a moment, bounded memory, squares even at the border."""

import numpy as np
import pytest

from streamfer.keyframes import KeyFrames, face_crop
from streamfer.records import Box, Event, Face, Frame, HeadPose, Moment, Quality
from tests.test_records import EVENT


def face(box: Box = Box(20, 10, 40, 40), track: int = 1) -> Face:
    return Face(track, "", box, np.zeros((478, 3), np.float32), HeadPose(0, 0, 0), Quality(40, 99, 0, 0, True))


def frame(index: int, size: tuple[int, int] = (80, 100)) -> Frame:
    return Frame(index, index / 30, np.full((*size, 3), index % 250, np.uint8))


def event(onset: int, apex: int, offset: int) -> Event:
    from dataclasses import replace

    at = lambda i: Moment(i, i / 30)  # noqa: E731
    return replace(EVENT, onset=at(onset), apex=at(apex), offset=at(offset))


def test_pictures_are_those_of_the_moments() -> None:
    ring = KeyFrames(keep_s=10, image_px=64)
    for i in range(60):
        ring.push(frame(i), face())
    pictures = ring.of(event(10, 14, 20))
    assert [(key.role, key.frame) for key, _ in pictures] == [("onset", 10), ("apex", 14), ("offset", 20)]
    assert [int(image[30, 30, 0]) for _, image in pictures] == [10, 14, 20]


def test_old_pictures_go() -> None:
    ring = KeyFrames(keep_s=1, image_px=64)
    for i in range(90):
        ring.push(frame(i), face())
    assert ring.of(event(0, 1, 2))[0][0].frame >= 59


def test_memory_is_bounded_and_recent_moments_stay_exact() -> None:
    ring = KeyFrames(keep_s=1e9, image_px=64, max_bytes=100 * 64 * 64 * 3)
    for i in range(5000):
        ring.push(frame(i), face())
        assert ring._bytes <= 101 * 64 * 64 * 3
    assert [key.frame for key, _ in ring.of(event(4985, 4990, 4999))] == [4985, 4990, 4999]


def test_onset_and_apex_are_two_pictures_or_none() -> None:
    ring = KeyFrames(keep_s=10, image_px=64)
    assert ring.onset_and_apex(event(0, 1, 2)) == []
    for i in range(20):
        ring.push(frame(i), face())
    assert [int(image[30, 30, 0]) for image, _ in ring.onset_and_apex(event(10, 14, 20))] == [10, 14]
    assert ring.onset_and_apex(event(30, 34, 40)) == [], "the nearest picture of both is the same"


def test_forgotten_track_has_no_pictures() -> None:
    ring = KeyFrames(keep_s=1, image_px=64)
    ring.push(frame(0), face())
    ring.forget(1)
    assert ring.of(event(0, 0, 0)) == []
    assert ring._bytes == 0


@pytest.mark.parametrize(
    "box",
    [Box(-30, -30, 60, 60), Box(80, 60, 60, 60), Box(0, 0, 100, 80), Box(500, 500, 10, 10), Box(-400, 10, 900, 300)],
    ids=["top-left", "bottom-right", "whole-picture", "outside", "wider-than-picture"],
)
def test_crops_are_squares_of_at_most_image_px(box: Box) -> None:
    crop = face_crop(frame(7), face(box), 64)
    assert crop.shape[0] == crop.shape[1] <= 64
    assert crop.dtype == np.uint8


@pytest.mark.parametrize("scale", [0.5, 1, 3, 9], ids=["small", "as is", "resized", "shrunk by a whole factor first"])
def test_landmarks_lie_on_the_apex_picture(scale: float) -> None:
    height, width = round(400 * scale), round(500 * scale)
    image = np.zeros((height, width, 3), np.uint8)
    x, y = 210 * scale, 150 * scale
    image[round(y - 9 * scale) : round(y + 9 * scale), round(x - 9 * scale) : round(x + 9 * scale)] = 255
    points = np.zeros((478, 3), np.float32)
    points[7] = (x, y, 0)
    found = Face(
        1,
        "",
        Box(150 * scale, 100 * scale, 100 * scale, 100 * scale),
        points,
        HeadPose(0, 0, 0),
        Quality(40, 99, 0, 0, True),
    )
    ring = KeyFrames(keep_s=10, image_px=64)
    ring.push(Frame(14, 14 / 30, image), found)
    kept = ring.apex(event(10, 14, 20))
    assert kept is not None
    picture, landmarks = kept
    assert picture.shape == ring.of(event(10, 14, 20))[1][1].shape
    rows, columns = np.nonzero(picture[..., 0] > 127)
    middle = (columns.mean() + 0.5, rows.mean() + 0.5)
    assert landmarks[7, :2] == pytest.approx(middle, abs=0.6)
    assert ring.apex(event(0, 0, 0)) is not None
    ring.forget(1)
    assert ring.apex(event(10, 14, 20)) is None
