"""The pictures of an event's onset, apex and offset, cut in the same pass that finds it.

Seeking back in a video is wrong on some containers and impossible on a live one, so recent face crops are
kept in memory until the screener can no longer ask for them. The memory is bounded: when it is full, every
second picture of the older half goes, so that recent moments stay exact and older ones come from the
nearest frame kept (a key frame always names the frame it really shows).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2

from streamfer.records import Event, Face, Frame, KeyFrame

if TYPE_CHECKING:
    import numpy as np

_MARGIN = 0.25
"""Added on each side of the face box: forehead, chin and ears give a reader (and a model) context."""


@dataclass(slots=True)
class _Crop:
    frame: int
    time_s: float
    image: np.ndarray  # (S, S, 3) uint8 RGB, S <= image_px


class KeyFrames:
    """Recent crops of every track. `keep_s` must cover the screener's look-back and its longest event."""

    def __init__(self, keep_s: float, image_px: int, max_bytes: int = 160 * 2**20) -> None:
        self._keep_s = keep_s
        self._image_px = image_px
        self._max_bytes = max_bytes
        self._bytes = 0
        self._tracks: dict[int, deque[_Crop]] = {}

    def push(self, frame: Frame, face: Face) -> None:
        image = face_crop(frame.image, face, self._image_px)
        crops = self._tracks.setdefault(face.track, deque())
        crops.append(_Crop(frame.index, frame.time_s, image))
        self._bytes += image.nbytes
        while crops and frame.time_s - crops[0].time_s > self._keep_s:
            self._bytes -= crops.popleft().image.nbytes
        if self._bytes > self._max_bytes:
            self._thin()

    def forget(self, track: int) -> None:
        for crop in self._tracks.pop(track, ()):
            self._bytes -= crop.image.nbytes

    def of(self, event: Event) -> list[tuple[KeyFrame, np.ndarray]]:
        """Onset, apex and offset pictures, each from the nearest frame kept; empty when the track is gone."""
        crops = self._tracks.get(event.track)
        if not crops:
            return []
        found = []
        for role, moment in (("onset", event.onset), ("apex", event.apex), ("offset", event.offset)):
            crop = min(crops, key=lambda c: abs(c.frame - moment.frame))
            found.append((KeyFrame(role, crop.frame, crop.time_s), crop.image))  # type: ignore[arg-type]
        return found

    def _thin(self) -> None:
        for track, crops in self._tracks.items():
            half = len(crops) // 2
            self._tracks[track] = deque(c for i, c in enumerate(crops) if i >= half or i % 2 == 0)
        self._bytes = sum(c.image.nbytes for crops in self._tracks.values() for c in crops)


def face_crop(image: np.ndarray, face: Face, image_px: int) -> np.ndarray:
    """A square around the face, (S, S, 3), S <= image_px; black where the square leaves the picture."""
    box = face.box
    side = max(box.w, box.h) * (1 + 2 * _MARGIN)
    left = round(box.x + box.w / 2 - side / 2)
    top = round(box.y + box.h / 2 - side / 2)
    size = max(8, round(side))
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + size), min(height, top + size)
    if x1 <= x0 or y1 <= y0:
        x0, y0, x1, y1 = 0, 0, min(width, 8), min(height, 8)
        left, top, size = 0, 0, 8
    crop = image[y0:y1, x0:x1]
    if size > image_px:
        scale = image_px / size
        crop = cv2.resize(
            crop, (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))), interpolation=cv2.INTER_AREA
        )
        x0, y0, left, top, size = (
            round(x0 * scale),
            round(y0 * scale),
            round(left * scale),
            round(top * scale),
            image_px,
        )
    right = max(0, size - (x0 - left) - crop.shape[1])
    bottom = max(0, size - (y0 - top) - crop.shape[0])
    padded = cv2.copyMakeBorder(crop, y0 - top, bottom, x0 - left, right, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return padded[:size, :size]
