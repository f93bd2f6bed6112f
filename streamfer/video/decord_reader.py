"""Video files through decord, for those who need to compare with it: `--reader decord`. Local files only.

decord was last released in 2021 and has traps, each guarded here: it decodes ahead without bound (1.6 GB in seconds),
so frames come in batches and its buffer is emptied after each; it gives frames of MPEG-TS in the wrong order, hangs on
files whose first frame is not at 0, and hangs, holding the interpreter, when it believes in more frames than there are
(dmlc/decord#373), so those files are refused. It does not turn pictures upright. PyAV is the default for good reasons.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av

from streamfer import config
from streamfer.errors import ExtraMissing, SourceDamaged, SourceUnreadable, UsageError
from streamfer.records import Frame, SourceCounts, SourceInfo
from streamfer.video.file import FileSource
from streamfer.video.source import FrameClock

_TRANSPORT_STREAMS = frozenset({".ts", ".mts", ".m2ts"})

_BATCH_BYTES, _BATCH_FRAMES = 48 * 2**20, 64
"""A batch is at most this: after each, decord begins again at the key frame before, so small ones are slow."""


class DecordSource:
    """The frames of a local file. What decord does not tell (rotation, codec, offsets) is asked of PyAV."""

    def __init__(self, path: str | Path, options: config.Video) -> None:
        try:
            import decord
        except ImportError:
            raise ExtraMissing.of("decord", "decord", "--reader decord") from None
        path = Path(path)
        if path.suffix.lower() in _TRANSPORT_STREAMS:
            raise UsageError(f"{path}: decord gives the frames of MPEG-TS in the wrong order; use --reader av")
        with FileSource(path, options) as described:
            self.info: SourceInfo = replace(described.info, reader="decord")
            first_pts_s, upright = described.first_pts_s, described.upright
        if first_pts_s > 0:
            raise UsageError(f"{path}: decord hangs on files whose first frame is not at 0; use --reader av")
        if not upright:
            raise UsageError(
                f"{path}: decord leaves pictures turned or distorted as this file has them; use --reader av"
            )
        self.counts = SourceCounts()
        self._path = path
        self._options = options
        self._lock = threading.Lock()
        try:
            self._reader: Any = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=options.threads or 1)
        except (decord.DECORDError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise SourceUnreadable(f"{path}: decord cannot read it ({reason}); use --reader av") from None
        if len(self._reader) > (packets := _packets(path)):
            raise UsageError(
                f"{path}: decord expects {len(self._reader)} frames of {packets} and would hang; use --reader av"
            )

    def __enter__(self) -> DecordSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._reader = None

    def __iter__(self) -> Iterator[Frame]:
        if self._reader is None:
            return
        count = len(self._reader)
        times_s = self._reader.get_frame_timestamp(range(count))[:, 0] if count else []
        clock = FrameClock(self.counts, self._options)
        size = max(1, min(_BATCH_FRAMES, _BATCH_BYTES // (self.info.width_px * self.info.height_px * 3)))
        index = -1
        for start in range(0, count, size):
            places = list(range(start, min(start + size, count)))
            if times_s[places[-1]] - times_s[0] < self._options.start_s:
                images = None  # nothing of this batch is wanted
            elif (images := self._batch(places)) is None:
                return
            for place in places:
                time_s = float(times_s[place] - times_s[0])
                if clock.ended(time_s):
                    return
                if not clock.advances(time_s):
                    continue
                index += 1
                if images is not None and clock.wanted(time_s):
                    yield clock.deliver(index, time_s, images[place - start].copy())

    def _batch(self, places: list[int]) -> Any:
        """(N, H, W, 3) uint8 RGB, None after close()."""
        import decord

        with self._lock:
            if self._reader is None:
                return None
            try:
                images = self._reader.get_batch(places).asnumpy()
                self._reader.seek(0)  # empties what it decoded ahead
            except (decord.DECORDError, RuntimeError) as error:
                raise SourceDamaged(
                    f"{self._path}: decord stopped after {self.counts.decoded} frames ({type(error).__name__}), which "
                    "are kept; use --reader av"
                ) from None
            return images


def _packets(path: Path) -> int:
    """Coded pictures in the file, counted without decoding."""
    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)
