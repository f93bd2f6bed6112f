"""`Prefetched`: a source read, decoded and turned into RGB in its own thread, a few frames ahead of its consumer.

The same interface as the source inside. Order is kept, a slow consumer slows the reader down (so memory is bounded),
an exception is raised after the frames that came before it, and `close` ends the thread within a frame.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import cast

from streamfer.records import Frame, SourceCounts, SourceInfo
from streamfer.threads import ahead
from streamfer.video.source import Source


class Prefetched:
    """Holds at most `frames` frames that are ready, and one more in the reader's hand."""

    def __init__(self, source: Source, frames: int) -> None:
        self._source = source
        self._frames = cast(Generator[Frame, None, None], ahead(source, frames, f"decode {source.info.name}"))

    @property
    def info(self) -> SourceInfo:
        return self._source.info

    @property
    def counts(self) -> SourceCounts:
        """As the reader sees it: up to the frames held ahead of what was delivered here."""
        return self._source.counts

    def __enter__(self) -> Prefetched:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    def close(self) -> None:
        self._source.close()  # first: a reader on its way to start_s would not look up for minutes
        self._frames.close()
