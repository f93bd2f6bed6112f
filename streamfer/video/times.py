"""True times out of what containers store: strictly increasing seconds, and a new segment where the clock restarts.

Four kinds of trouble, each seen in real files. A picture that lies about its time (damaged MPEG-TS) is alone in its
error: the next one is back in line, so the liar is dropped. A repeated time is dropped. A clock that jumps back and
runs on from there (two recordings joined, a recorder that was switched off) begins a new segment, and time goes on
without running back. AVI stores no display times at all, see `seconds_of`. Everything dropped is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from streamfer.records import SourceCounts

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

T = TypeVar("T")

RESTART_S = 1.0
"""A clock that falls back by more than this, and goes on from there, was restarted."""


def forward(timed: Iterable[tuple[T, float]], counts: SourceCounts, step_s: float) -> Iterator[tuple[T, float, int]]:
    """(item, seconds, restarts) with strictly increasing seconds. `step_s` is put between two segments."""
    last: float | None = None
    shift = 0.0
    restarts = 0
    for item, at, following in _with_next(timed):
        now = at + shift
        then = None if following is None else following + shift
        if last is None or now > last:
            if then is not None and then < now and (last is None or then > last):
                counts.time_not_advancing += 1  # the next one is in line without this one
                continue
        elif then is not None and last - now > RESTART_S and now < then <= last:
            shift += last + step_s - now
            now = last + step_s
            restarts += 1
            counts.time_restarts += 1
        else:
            counts.time_not_advancing += 1
            continue
        last = now
        yield item, now, restarts


def _with_next(timed: Iterable[tuple[T, float]]) -> Iterator[tuple[T, float, float | None]]:
    before: tuple[T, float] | None = None
    for item, at in timed:
        if before is not None:
            yield *before, at
        before = (item, at)
    if before is not None:
        yield *before, None


def seconds_of(container_format: str, time_base: float) -> Callable[[VideoFrame], float | None]:
    """How to read the time of a decoded frame, in seconds on the stream's clock; None when it has none.

    PTS; where it is missing DTS, which for a decoded frame is that of the packet that pushed it out (old Matroska).
    In AVI the place in the file is the time, one place for each picture as they are shown: that is what the DTS of
    decoded frames count, while the PTS that FFmpeg makes up are in coding order for H.264 with B-frames. The last
    frames come out with no packet pushing: each is one step later.
    """
    last: float | None = None
    step = 0.0

    def presentation(frame: VideoFrame) -> float | None:
        ticks = frame.dts if frame.pts is None else frame.pts
        return None if ticks is None else ticks * time_base

    def place(frame: VideoFrame) -> float | None:
        nonlocal last, step
        if frame.dts is not None:
            now = frame.dts * time_base
            step = now - last if last is not None else 0.0
            last = now
        elif last is not None:
            last += step
        return last

    return place if container_format == "avi" else presentation


def counted(rate: float) -> Callable[[VideoFrame], float | None]:
    """Times of a stream that stores none, at the rate that the user stated."""
    place = -1

    def next_place(_: VideoFrame) -> float:
        nonlocal place
        place += 1
        return place / rate

    return next_place
