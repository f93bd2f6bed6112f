"""Progress as the program runs: counters that anybody can watch. This base class counts and shows nothing;
the command line derives a live display for terminals and one log line per ten seconds for everything else.
"""

from __future__ import annotations

import time

from streamfer.records import Event, Result, SourceInfo


class Progress:
    """Counts of one source. The pipeline calls `start`, `frame`, `event`, `explained` and `end`."""

    def __init__(self) -> None:
        self.info: SourceInfo | None = None
        self.frames = 0
        self.time_s = 0.0
        self.faces = 0
        self.events = 0
        self.explanations = 0
        self.started = time.monotonic()

    @property
    def frames_per_s(self) -> float:
        return self.frames / max(time.monotonic() - self.started, 1e-6)

    @property
    def waiting(self) -> int:
        """Events whose explanation has not come yet."""
        return self.events - self.explanations

    def start(self, info: SourceInfo) -> None:
        self.info = info
        self.frames = self.faces = self.events = self.explanations = 0
        self.time_s = 0.0
        self.started = time.monotonic()
        self.changed()

    def frame(self, time_s: float, faces: int) -> None:
        self.frames += 1
        self.faces += faces
        self.time_s = time_s
        self.changed()

    def event(self, event: Event) -> None:
        self.events += 1
        self.changed()

    def explained(self, result: Result) -> None:
        self.explanations += 1
        self.changed()

    def end(self, exit_code: int) -> None:
        self.changed()

    def changed(self) -> None:
        """Called after every change; must be cheap, because it is called for every frame."""
