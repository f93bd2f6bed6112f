"""Decoded frames as pictures one can measure: RGB, upright, square pixels, one size from first to last.

The display matrix of the container is applied whole, turned and mirrored. Pixels that are not square (DV, HDV) are
made square, or every face would be too wide. A stream that changes its size (video calls) keeps the first one: later
frames are scaled to fit and padded with black, never distorted. Interlaced video is not deinterlaced.
"""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import VideoReformatter

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

log = logging.getLogger(__name__)


_QUARTER_TURNS = ((False, False, False), (True, False, True), (False, True, True), (True, True, False))
"""`orientation` for 0 to 3 quarter turns counter-clockwise, as `VideoFrame.rotation` counts."""


class ToRGB:
    """Call it with each frame: (height, width, 3) uint8, contiguous. For one thread at a time."""

    def __init__(self, first: VideoFrame, pixel_aspect: float = 1.0) -> None:
        self._stored = (first.width, first.height)
        self._coded = _square(first.width, first.height, pixel_aspect)
        self._transposed, self._flip_x, self._flip_y = orientation(first)
        width, height = self._coded
        self.width, self.height = (height, width) if self._transposed else (width, height)
        turned = self._transposed or self._flip_x or self._flip_y
        self.as_stored = not turned and self._coded == self._stored
        # One converter for all frames: a new one for each, as VideoFrame.to_ndarray makes, costs twice the time.
        # And one thread: decoding has the other cores.
        self._converter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        same = (frame.width, frame.height) == self._stored
        image = self._convert(frame, *self._coded) if same else self._fit(frame)
        if self._transposed or self._flip_x or self._flip_y:
            image = self._upright(image)
        return np.ascontiguousarray(image)

    def _convert(self, frame: VideoFrame, width: int, height: int) -> np.ndarray:
        return self._converter.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()

    def _fit(self, frame: VideoFrame) -> np.ndarray:
        width, height = self._coded
        scale = min(width / frame.width, height / frame.height)
        inner_w, inner_h = round(frame.width * scale), round(frame.height * scale)
        x, y = (width - inner_w) // 2, (height - inner_h) // 2
        image = np.zeros((height, width, 3), np.uint8)
        image[y : y + inner_h, x : x + inner_w] = self._convert(frame, inner_w, inner_h)
        return image

    def _upright(self, image: np.ndarray) -> np.ndarray:
        import cv2  # several times faster here than NumPy's views and a copy

        if self._transposed:
            image = cv2.transpose(image)
        if self._flip_x or self._flip_y:
            image = cv2.flip(image, -1 if self._flip_x and self._flip_y else int(self._flip_x))
        return image


def orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """(transposed, then mirrored left-right, mirrored top-bottom) that brings the stored picture upright.

    The display matrix (libavutil/display.h) maps stored x, y to x' = a x + c y, y' = b x + d y; other angles than
    quarter turns are rounded to the nearest.
    """
    side_data: Any
    try:
        side_data = frame.side_data
        matrix = side_data.get(SideData.DISPLAYMATRIX)
    except ValueError:  # PyAV < 19 gives up when there is side data it has no name for, such as EXIF
        return _QUARTER_TURNS[round(frame.rotation / 90) % 4]
    if matrix is None:
        return False, False, False
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def _square(width: int, height: int, pixel_aspect: float) -> tuple[int, int]:
    """Size with square pixels: the side that is too short grows. Aspects that no camera has are ignored."""
    if abs(pixel_aspect - 1) < 0.01 or not 0.25 <= pixel_aspect <= 4:
        return width, height
    return (round(width * pixel_aspect), height) if pixel_aspect > 1 else (width, round(height / pixel_aspect))
