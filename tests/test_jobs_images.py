"""Key frames: little is lost on the way, and nothing odd gets in."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfer.errors import PayloadInvalid
from streamfer.jobs.images import decode, encode, size_px


def picture(height: int = 60, width: int = 80) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 3 % 256, y * 4 % 256, (x + y) % 256], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("quality", [92, 95, 100])
def test_colours_stay_in_place(quality: int) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, :, 0] = 200  # red stays red: RGB on both sides
    image[20:40, 20:40] = (0, 0, 220)
    back = decode(encode(image, quality))
    assert back.shape == image.shape and back.dtype == np.uint8
    assert np.abs(back.astype(int) - image).mean() < 2.0
    assert tuple(back[30, 30] > 110) == (False, False, True)


def test_chroma_is_not_subsampled() -> None:
    # sampling factors of the three components in the frame header: 1x1 each
    data = encode(picture())
    at = data.index(b"\xff\xc0")
    assert [data[at + 11 + 3 * i] for i in range(3)] == [0x11, 0x11, 0x11]
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2, 0], stripes[:, 1::2, 2] = 255, 255  # one pixel red, one blue: 4:2:0 makes it purple
    assert np.abs(decode(encode(stripes)).astype(int) - stripes).mean() < 12


@pytest.mark.parametrize("bad", [
    np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32),
    np.zeros((0, 4, 3), np.uint8),
], ids=["grey", "rgba", "float", "empty"])  # fmt: skip
def test_only_rgb_pictures_are_encoded(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8 RGB"):
        encode(bad)


@pytest.mark.parametrize("quality", [0, 91, 101])
def test_a_poor_quality_is_refused(quality: int) -> None:
    with pytest.raises(ValueError, match="92-100"):
        encode(picture(), quality)


def test_the_header_tells_the_size() -> None:
    assert size_px(encode(picture(60, 80))) == (80, 60)
    progressive = cv2.imencode(".jpg", picture(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert size_px(progressive) == (80, 60)


def bomb() -> bytes:
    data = bytearray(encode(picture()))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    return bytes(data)


@pytest.mark.parametrize("data, says", [
    (b"", "no JPEG"), (b"\xff\xd8", "no JPEG"), (b"GIF89a" + b"x" * 50, "no JPEG"),
    (cv2.imencode(".png", picture())[1].tobytes(), "no JPEG"), (bomb(), "65535x65535"),
    (encode(picture())[:160], "no JPEG"),
], ids=["empty", "cut", "gif", "png", "bomb", "half a header"])  # fmt: skip
def test_what_is_no_picture_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(PayloadInvalid, match=says):
        decode(data)


@given(st.binary(max_size=300), st.integers(0, 600))
def test_any_bytes_are_a_picture_or_an_error(junk: bytes, at: int) -> None:
    good = encode(picture(16, 16))
    for data in (junk, b"\xff\xd8" + junk, good[:at] + junk + good[at:]):
        try:
            assert decode(data).ndim == 3
        except PayloadInvalid:
            pass
