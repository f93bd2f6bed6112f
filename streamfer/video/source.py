"""What every source of frames is: one forward pass, times from the stream, everything odd counted.

Sources do not seek: seeking is wrong on some containers in every library tried, and impossible on a live stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from streamfer.records import Frame, SourceCounts, SourceInfo

if TYPE_CHECKING:
    import numpy as np


class Source(Protocol):
    """One pass over the frames of a file, a folder or a camera. A context manager; iterate it once.

    While iterating it may raise SourceDamaged, after every frame that could be read has been delivered.
    """

    info: SourceInfo
    counts: SourceCounts

    def __iter__(self) -> Iterator[Frame]: ...
    def __enter__(self) -> Source: ...
    def __exit__(self, *_: object) -> None: ...
    def close(self) -> None: ...


class FrameClock:
    """Decides which frames are delivered and keeps the counts: time must advance, duplicates are noticed.

    `start_s` and `end_s` bound what is delivered; time stays the source's own.
    """

    def __init__(self, counts: SourceCounts, start_s: float, end_s: float | None) -> None:
        self._counts = counts
        self._start_s = start_s
        self._end_s = end_s
        self._last_s: float | None = None
        self._sample: bytes | None = None

    def ended(self, time_s: float) -> bool:
        return self._end_s is not None and time_s > self._end_s

    def accept(self, time_s: float | None) -> bool:
        """True when a frame of this time is to be delivered."""
        counts = self._counts
        if time_s is None:
            counts.without_time += 1
            return False
        if self._last_s is not None:
            step = time_s - self._last_s
            if step <= 0:
                counts.time_not_advancing += 1
                return False
            counts.min_step_s = step if counts.min_step_s == 0 else min(counts.min_step_s, step)
            counts.max_step_s = max(counts.max_step_s, step)
        self._last_s = time_s
        return time_s >= self._start_s

    def deliver(self, index: int, time_s: float, image: np.ndarray) -> Frame:
        """The frame, counted. A sparse sample of pixels tells a repeated picture at almost no cost."""
        sample = image[::16, ::16].tobytes()
        if sample == self._sample:
            self._counts.duplicated += 1
        self._sample = sample
        self._counts.decoded += 1
        return Frame(index, time_s, image)
