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
_MICRO, _MACRO = (240, 80, 170), (40, 190, 210)
_BARS = 4
"""AUs drawn beside a face: the strongest of the frame."""


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
    image = np.ascontiguousarray(frame.image)
    if image is frame.image:
        image = image.copy()
    scale = max(0.4, image.shape[0] / 900)
    for face in faces:
        # by track, not by name: two faces may both be unknown, and a name may come later than the first rows
        now = [e for e in events if e.track == face["face_id"] and e.onset.frame <= frame.index <= e.offset.frame]
        colour = {"micro": _MICRO, "macro": _MACRO}[now[0].kind] if now else _WHITE if face["usable"] else _GREY
        left, top = round(face["box_x"]), round(face["box_y"])
        right, bottom = round(face["box_x"] + face["box_w"]), round(face["box_y"] + face["box_h"])
        cv2.rectangle(image, (left, top), (right, bottom), colour, 2 if now else 1, cv2.LINE_AA)
        title = face["person"] or f"track {face['face_id']}"
        if now:
            title += f"  {now[0].kind} {annotation(now[0])}"
        _text(image, title, (left, top - 6), scale, colour)
        units = sorted(
            ((value, name) for name, value in face.items() if _is_unit(name) and value == value), reverse=True
        )
        for i, (value, name) in enumerate(units[:_BARS]):
            y = top + round((i + 1) * 26 * scale)
            cv2.rectangle(
                image, (right + 6, y - round(12 * scale)), (right + 6 + round(value * 16 * scale), y), colour, -1
            )
            _text(image, f"{name[:4]} {value:.1f}", (right + 8, y - 1), scale * 0.8, _WHITE)
    return image


def _is_unit(name: str) -> bool:
    return name.startswith("AU") and name.endswith("_r") and name.count("_") == 1


def _text(image: np.ndarray, text: str, at: tuple[int, int], scale: float, colour: tuple[int, int, int]) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), max(2, round(3 * scale)), cv2.LINE_AA)
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)


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
