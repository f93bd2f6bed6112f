"""What every source of frames is: one forward pass, times from the stream, everything odd counted.

Sources do not seek: seeking is wrong on some containers in every library tried, and impossible on a live stream.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from streamfer import config
from streamfer.records import Frame, SourceCounts, SourceInfo

if TYPE_CHECKING:
    import numpy as np


class Source(Protocol):
    """One pass over the frames of a file, a folder or a camera. A context manager; iterate it once.

    While iterating it may raise SourceDamaged, after every frame that could be read has been delivered.
    `close` may be called from another thread than the one that iterates: the iteration ends at its next frame.
    """

    @property
    def info(self) -> SourceInfo: ...
    @property
    def counts(self) -> SourceCounts: ...
    def __iter__(self) -> Iterator[Frame]: ...
    def __enter__(self) -> Source: ...
    def __exit__(self, *_: object) -> None: ...
    def close(self) -> None: ...


class FrameClock:
    """Decides which frames are delivered and keeps the counts: time must advance, repeated pictures are noticed.

    `start_s` and `end_s` of the options bound what is delivered; time stays the source's own.
    """

    def __init__(self, counts: SourceCounts, options: config.Video) -> None:
        self._counts = counts
        self._start_s = options.start_s
        self._end_s = options.end_s
        self._last_s: float | None = None
        self._last_image: np.ndarray | None = None
        self._last_sample = b""

    def ended(self, time_s: float) -> bool:
        return self._end_s is not None and time_s > self._end_s

    def advances(self, time_s: float) -> bool:
        """True when this frame comes after the one before; otherwise it is counted, to be dropped."""
        if self._last_s is not None:
            step = time_s - self._last_s
            if step <= 0:
                self._counts.time_not_advancing += 1
                return False
            self._counts.min_step_s = step if self._counts.min_step_s == 0 else min(self._counts.min_step_s, step)
            self._counts.max_step_s = max(self._counts.max_step_s, step)
        self._last_s = time_s
        return True

    def wanted(self, time_s: float) -> bool:
        return time_s >= self._start_s

    def deliver(self, index: int, time_s: float, image: np.ndarray, segment: int = 0) -> Frame:
        """The frame, counted. Only where a sparse sample of pixels is the same are whole pictures compared."""
        sample = image[::16, ::16].tobytes()
        last = self._last_image
        if sample == self._last_sample and last is not None and last.tobytes() == image.tobytes():
            self._counts.duplicated += 1
        self._last_sample, self._last_image = sample, image
        self._counts.decoded += 1
        return Frame(index, time_s, image, segment)


CORES_ENV = "STREAMFER_CORES"
"""Set by a batch for each of its processes: their share of the machine's cores."""


def usable_cores() -> int:
    """Cores that this process may run on: at most its share when it is one of several of a batch."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = os.environ.get(CORES_ENV, "")
    return max(1, min(cores, int(share))) if share.isdecimal() else cores
