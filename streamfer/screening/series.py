"""A bounded record of rows in time: what the screener remembers of one track.

Rows are appended at one end and trimmed at the other; `times` and `rows` are views of what is left, oldest first.
Memory is at most twice what lies between two trims.
"""

from __future__ import annotations

import numpy as np


class Series:
    """Times (T,), frame numbers (T,) and rows (T, width), ascending in time."""

    def __init__(self, width: int, capacity: int = 256) -> None:
        self._times = np.empty(capacity)
        self._frames = np.empty(capacity, np.int64)
        self._rows = np.empty((capacity, width))
        self._first = 0
        self._end = 0

    def __len__(self) -> int:
        return self._end - self._first

    @property
    def times(self) -> np.ndarray:
        return self._times[self._first : self._end]

    @property
    def frames(self) -> np.ndarray:
        return self._frames[self._first : self._end]

    @property
    def rows(self) -> np.ndarray:
        return self._rows[self._first : self._end]

    @property
    def capacity(self) -> int:
        return len(self._times)

    def append(self, time_s: float, frame: int, row: np.ndarray) -> None:
        if self._end == len(self._times):
            self._make_room()
        self._times[self._end] = time_s
        self._frames[self._end] = frame
        self._rows[self._end] = row
        self._end += 1

    def trim(self, before_s: float) -> None:
        """Forget rows older than `before_s`."""
        self._first += int(np.searchsorted(self.times, before_s))

    def between(self, start_s: float, end_s: float) -> slice:
        """The rows from start to end, both included."""
        times = self.times
        return slice(int(np.searchsorted(times, start_s)), int(np.searchsorted(times, end_s, side="right")))

    def nearest(self, time_s: float) -> int:
        """Index of the row nearest in time."""
        times = self.times
        right = int(np.clip(np.searchsorted(times, time_s), 1, max(len(times) - 1, 1)))
        return right if right < len(times) and times[right] - time_s < time_s - times[right - 1] else right - 1

    def _make_room(self) -> None:
        kept = len(self)
        capacity = len(self._times) if kept < len(self._times) // 2 else 2 * len(self._times)
        for name in ("_times", "_frames", "_rows"):
            old = getattr(self, name)
            new = np.empty((capacity, *old.shape[1:]), old.dtype)
            new[:kept] = old[self._first : self._end]
            setattr(self, name, new)
        self._first, self._end = 0, kept
