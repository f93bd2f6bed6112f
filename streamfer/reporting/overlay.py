"""overlay.mp4: the source with boxes, people, their strongest AUs and events drawn in, decoded a second time.

Frames are matched by number, so the picture and the row always agree. Sound is not copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from streamfer import config
from streamfer.errors import SourceDamaged
from streamfer.records import Event, Frame
from streamfer.reporting.events_csv import annotation
from streamfer.reporting.faces_csv import read_chunks
from streamfer.reporting.folder import FACES, Analysis
from streamfer.video import open_video

_TICKS = 90_000
_WHITE, _GREY = (255, 255, 255), (150, 150, 150)
_COLOURS = {"micro": (240, 80, 170), "macro": (40, 190, 210)}
_BARS = 5
"""AUs drawn beside a face: the strongest of the frame, from `_TRACE` on."""
_TRACE = 0.5


def write(analysis: Analysis, path: Path) -> None:
    source = analysis.run["source"]
    options = config.Video(**{**analysis.run["config"]["video"], "threads": 0})
    rows = _Rows(analysis.folder / FACES)
    with open_video(source["path"], options) as video, av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(source["fps"] or 25.0).limit_denominator(1001))
        stream.width, stream.height = video.info.width_px // 2 * 2, video.info.height_px // 2 * 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, _TICKS)
        stream.options = {"crf": "20", "preset": "veryfast"}
        for frame in _until_damage(video):
            image = draw(frame, rows.of(frame.index), analysis.events)
            picture = av.VideoFrame.from_ndarray(image[: stream.height, : stream.width], format="rgb24")
            picture.pts, picture.time_base = round(frame.time_s * _TICKS), stream.time_base
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def draw(frame: Frame, faces: list[dict[str, Any]], events: list[Event]) -> np.ndarray:
    """A copy of the frame's picture with everything drawn in, (H, W, 3) uint8 RGB."""
    image = frame.image.copy(order="C")
    size = max(0.4, image.shape[0] / 900)
    for face in faces:
        # by track, not by name: two faces may both be unknown, and a name may come later than the first rows
        now = [e for e in events if e.track == face["face_id"] and e.onset.frame <= frame.index <= e.offset.frame]
        now.sort(key=lambda e: e.kind, reverse=True)  # micro first
        colour = _COLOURS[now[0].kind] if now else _WHITE if face["usable"] else _GREY
        left, top = round(face["box_x"]), round(face["box_y"])
        right, bottom = round(face["box_x"] + face["box_w"]), round(face["box_y"] + face["box_h"])
        cv2.rectangle(image, (left, top), (right, bottom), colour, 2 if now else 1, cv2.LINE_AA)
        lines = [(face["person"] or f"track {face['face_id']}", colour)]
        lines += [(f"{event.kind} {annotation(event)}", _COLOURS[event.kind]) for event in now]
        height = round(26 * size)
        first = max(height, top - 6 - height * (len(lines) - 1))
        for i, (text, own) in enumerate(lines):
            _text(image, text, (left, first + i * height), size, own)
        if face["usable"]:
            _bars(image, face, left, top, right, size, colour)
        else:
            _text(image, str(face["reason"]), (left, bottom + height), size * 0.8, _GREY)
    return image


def _bars(
    image: np.ndarray, face: dict[str, Any], left: int, top: int, right: int, size: float, colour: tuple[int, int, int]
) -> None:
    """The strongest AUs of a face on a dark ground beside its box, each as a bar of 0-5."""
    units = sorted(((v, name[:4]) for name, v in face.items() if _is_unit(name) and v >= _TRACE), reverse=True)[:_BARS]
    if not units:
        return
    row, label, full = round(24 * size), round(62 * size), round(90 * size)
    width, height = label + full + 10, row * len(units) + 6
    x = right + 6 if right + 6 + width <= image.shape[1] else max(0, left - 6 - width)
    y = max(0, min(top, image.shape[0] - height))
    ground = image[y : y + height, x : x + width]
    ground[:] = ground // 3
    for i, (value, name) in enumerate(units):
        base = y + (i + 1) * row
        _text(image, name, (x + 4, base - 2), size * 0.8, _WHITE)
        begin = (x + 4 + label, base - round(13 * size))
        cv2.rectangle(image, begin, (begin[0] + full, base - 2), _GREY, 1)
        cv2.rectangle(image, begin, (begin[0] + max(1, round(full * min(value, 5) / 5)), base - 2), colour, -1)


def _is_unit(name: str) -> bool:
    return name.startswith("AU") and name.endswith("_r") and name.count("_") == 1


def _text(image: np.ndarray, text: str, at: tuple[int, int], scale: float, colour: tuple[int, int, int]) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), max(2, round(4 * scale)), cv2.LINE_AA)
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, max(1, round(1.6 * scale)), cv2.LINE_AA)


class _Rows:
    """The rows of faces.csv frame by frame, read in parts; ask in rising order."""

    def __init__(self, path: Path) -> None:
        self._chunks = self._read(path)
        self._next = next(self._chunks, None)

    def of(self, frame: int) -> list[dict[str, Any]]:
        found = []
        while self._next is not None and self._next["frame"] <= frame:
            if self._next["frame"] == frame and self._next["success"] == 1:
                found.append(self._next)
            self._next = next(self._chunks, None)
        return found

    @staticmethod
    def _read(path: Path) -> Iterator[dict[str, Any]]:
        for chunk in read_chunks(path, rows=2000):
            yield from chunk.to_dict("records")  # type: ignore[misc]


def _until_damage(video: Any) -> Iterator[Frame]:
    try:
        yield from video
    except SourceDamaged:  # told and counted by the analysis; the picture ends where the rows end
        return
