"""The pictures of an event's onset, apex and offset, cut in the same pass that finds it.

Seeking back in a video is wrong on some containers and impossible on a live one, so recent face crops are
kept in memory until the screener can no longer ask for them. The memory is bounded: when it is full, every
second picture of the older half goes, so that recent moments stay exact and older ones come from the
nearest frame kept (a key frame always names the frame it really shows).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from streamfer.records import Event, Face, Frame, KeyFrame, Moment

_MARGIN = 0.25
"""Added on each side of the face box: forehead, chin and ears give a reader (and a model) context."""


@dataclass(slots=True)
class _Crop:
    """The part of the square around a face that lies in the picture. It is completed only when it is asked for:
    scaling every frame to an odd size costs more than finding its landmarks."""

    frame: int
    time_s: float
    image: np.ndarray  # (h, w, 3) uint8 RGB, a copy
    left: int  # where it lies in the square
    top: int
    side: int  # of the square, in pixels of `image`
    landmarks: np.ndarray  # (478, 3) float32 in the square, in pixels of `image`

    @property
    def nbytes(self) -> int:
        return self.image.nbytes + self.landmarks.nbytes


class KeyFrames:
    """Recent crops of every track. `keep_s` must cover the screener's look-back and its longest event."""

    def __init__(self, keep_s: float, image_px: int, max_bytes: int = 160 * 2**20) -> None:
        self._keep_s = keep_s
        self._image_px = image_px
        self._max_bytes = max_bytes
        self._bytes = 0
        self._tracks: dict[int, deque[_Crop]] = {}

    def push(self, frame: Frame, face: Face) -> None:
        crop = _cut(frame, face, self._image_px)
        crops = self._tracks.setdefault(face.track, deque())
        crops.append(crop)
        self._bytes += crop.nbytes
        while crops and frame.time_s - crops[0].time_s > self._keep_s:
            self._bytes -= crops.popleft().nbytes
        if self._bytes > self._max_bytes:
            self._thin()

    def forget(self, track: int) -> None:
        for crop in self._tracks.pop(track, ()):
            self._bytes -= crop.nbytes

    def of(self, event: Event) -> list[tuple[KeyFrame, np.ndarray]]:
        """Onset, apex and offset pictures, each from the nearest frame kept; empty when the track is gone."""
        crops = self._tracks.get(event.track)
        if not crops:
            return []
        found = []
        for role, moment in (("onset", event.onset), ("apex", event.apex), ("offset", event.offset)):
            crop = _nearest(crops, moment)
            picture = _square(crop, self._image_px)
            found.append((KeyFrame(role, crop.frame, crop.time_s), picture))  # type: ignore[arg-type]
        return found

    def apex(self, event: Event) -> tuple[np.ndarray, np.ndarray] | None:
        """The apex picture as `of` gives it, and the face's landmarks (478, 3) in its pixels."""
        crops = self._tracks.get(event.track)
        return self._face(_nearest(crops, event.apex)) if crops else None

    def onset_and_apex(self, event: Event) -> list[tuple[np.ndarray, np.ndarray]]:
        """Both pictures with their landmarks, as `apex` gives them; empty when they would be one and the same picture."""
        crops = self._tracks.get(event.track)
        if not crops:
            return []
        onset, apex = _nearest(crops, event.onset), _nearest(crops, event.apex)
        return [] if onset.frame == apex.frame else [self._face(onset), self._face(apex)]

    def _face(self, crop: _Crop) -> tuple[np.ndarray, np.ndarray]:
        picture = _square(crop, self._image_px)
        return picture, crop.landmarks * np.float32(len(picture) / crop.side)

    def _thin(self) -> None:
        for track, crops in self._tracks.items():
            half = len(crops) // 2
            self._tracks[track] = deque(c for i, c in enumerate(crops) if i >= half or i % 2 == 0)
        self._bytes = sum(c.nbytes for crops in self._tracks.values() for c in crops)


def _nearest(crops: deque[_Crop], moment: Moment) -> _Crop:
    return min(crops, key=lambda c: abs(c.frame - moment.frame))


def face_crop(frame: Frame, face: Face, image_px: int) -> np.ndarray:
    """A square around the face, (S, S, 3) uint8 RGB, S <= image_px; black where the square leaves the picture."""
    return _square(_cut(frame, face, image_px), image_px)


def _cut(frame: Frame, face: Face, image_px: int) -> _Crop:
    """Copy the part of the picture around the face; a very large face is shrunk by a whole factor, which is cheap."""
    box, image = face.box, frame.image
    height, width = image.shape[:2]
    side = max(8, round(max(box.w, box.h) * (1 + 2 * _MARGIN)))
    left, top = round(box.x + box.w / 2 - side / 2), round(box.y + box.h / 2 - side / 2)
    x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + side), min(height, top + side)
    if x1 <= x0 or y1 <= y0:  # the face has left the picture: its upper left corner stands for it
        left = top = x0 = y0 = 0
        x1, y1, side = min(width, 8), min(height, 8), 8
    part = image[y0:y1, x0:x1]
    factor = min(side // image_px, part.shape[0], part.shape[1])
    landmarks = np.divide(
        face.landmarks - np.array([left, top, 0]), max(1, factor), dtype=np.float32, casting="same_kind"
    )
    if factor < 2:
        return _Crop(frame.index, frame.time_s, part.copy(), x0 - left, y0 - top, side, landmarks)
    whole = part[: part.shape[0] // factor * factor, : part.shape[1] // factor * factor]
    size = (whole.shape[1] // factor, whole.shape[0] // factor)
    small = cv2.resize(np.ascontiguousarray(whole), size, interpolation=cv2.INTER_AREA)
    return _Crop(
        frame.index, frame.time_s, small, (x0 - left) // factor, (y0 - top) // factor, side // factor, landmarks
    )


def _square(crop: _Crop, image_px: int) -> np.ndarray:
    height, width = crop.image.shape[:2]
    square = np.zeros((crop.side, crop.side, 3), np.uint8)
    height, width = min(height, crop.side - crop.top), min(width, crop.side - crop.left)
    square[crop.top : crop.top + height, crop.left : crop.left + width] = crop.image[:height, :width]
    if crop.side <= image_px:
        return square
    return cv2.resize(square, (image_px, image_px), interpolation=cv2.INTER_AREA)
