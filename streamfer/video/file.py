"""Video files through PyAV (FFmpeg): one forward pass with true presentation times.

What real files do, and what is done about it: rotation metadata is applied; a stream that starts late (MPEG-TS, edit
lists) begins at 0 and `info.media_offset_s` says how late; frames without a time or whose time does not advance are
dropped and counted; a damaged packet closes PyAV's generator, so it is opened again and reading goes on, until eight
failures in a row; a file that ends well before its container says is damaged, a few missing frames are not.
The error pattern is that of PySceneDetect's backends/pyav.py (an idea, no code).
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Generator, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.logging
import numpy as np

from streamfer import config
from streamfer.errors import NoVideo, SourceDamaged, SourceMissing, SourceUnreadable
from streamfer.records import Frame, SourceCounts, SourceInfo
from streamfer.video.source import FrameClock

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

log = logging.getLogger(__name__)

av.logging.set_level(av.logging.PANIC)  # FFmpeg would write to stderr; what matters is counted and said by us

MAX_FAILURES = 8
"""Decoding failures in a row after which the rest of a file is given up."""

_SHORT_S, _SHORT_PART = 1.0, 0.02
"""A file that ends earlier than its container claims by more than both was cut off."""

_DIGEST_BYTES = 2**20


class FileSource:
    """The frames of a video file. Raises SourceError when there is nothing in it to read."""

    def __init__(self, path: str | Path, options: config.Video) -> None:
        self.counts = SourceCounts()
        self._path = Path(path)
        self._options = options
        self._broken = ""
        self._container = _open(self._path)
        try:
            self._stream = _video_stream(self._container, self._path)
            self._stream.thread_type = "AUTO"
            self._stream.codec_context.thread_count = options.threads or usable_cores()
            self._decoded = self._decode()
            first = next(self._decoded, None)
            while first is not None and first.time is None:
                self.counts.without_time += 1
                first = next(self._decoded, None)
            if first is None:
                raise SourceUnreadable(
                    f"{path}: not one frame could be decoded ({self._broken or 'the stream is empty'}); try to play it"
                )
        except BaseException:
            self._container.close()
            raise
        self._first: VideoFrame | None = first
        self.first_pts_s = float(first.time or 0.0)
        self._turns = round(first.rotation / 90) % 4
        self.info = self._describe(first)

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._decoded.close()
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        clock = FrameClock(self.counts, self._options.start_s, self._options.end_s)
        index, last_s = -1, 0.0
        frames = chain([self._first], self._decoded) if self._first is not None else self._decoded
        self._first = None
        for decoded in frames:
            time_s = None if decoded.time is None else decoded.time - self.first_pts_s
            if time_s is not None and clock.ended(time_s):
                return
            deliver = clock.accept(time_s)
            if time_s is None or time_s < last_s or (not deliver and time_s >= self._options.start_s):
                continue  # dropped and counted: it gets no number
            index, last_s = index + 1, time_s
            if decoded.is_corrupt:
                self.counts.damaged += 1  # concealed by the decoder; delivered, because its time is true
            if deliver:
                yield clock.deliver(index, time_s, self._rgb(decoded))
        self._check_end(last_s)

    def _rgb(self, decoded: VideoFrame) -> np.ndarray:
        image = decoded.to_ndarray(format="rgb24")
        # PyAV gives the rotation in degrees counter-clockwise, which is how np.rot90 counts
        return np.ascontiguousarray(np.rot90(image, self._turns)) if self._turns else image

    def _decode(self) -> Generator[VideoFrame, None, None]:
        failures = 0
        while True:
            try:
                for frame in self._container.decode(self._stream):
                    failures = 0
                    yield frame
                return
            except av.error.EOFError:  # a subclass of FFmpegError, so it must come first
                return
            except av.error.FFmpegError as error:
                self.counts.damaged += 1
                failures += 1
                if failures >= MAX_FAILURES:
                    self._broken = error.strerror or str(error)
                    return

    def _check_end(self, last_s: float) -> None:
        """Raise SourceDamaged when the file broke off; everything before has been delivered."""
        kept = f"{self.counts.decoded} frames up to {last_s:.2f} s are kept"
        if self._broken:
            raise SourceDamaged(f"{self._path}: damaged after {last_s:.2f} s ({self._broken}); {kept}")
        claimed = self.info.duration_s
        if claimed and self._options.end_s is None:
            missing = claimed - last_s - 1 / (self.info.fps or 25.0)
            if missing > _SHORT_S and missing > _SHORT_PART * claimed:
                raise SourceDamaged(
                    f"{self._path}: ends at {last_s:.2f} s, its container promises {claimed:.2f} s (cut off?); {kept}"
                )

    def _describe(self, first: VideoFrame) -> SourceInfo:
        stream, container = self._stream, self._container
        width, height = first.width, first.height
        if self._turns % 2:
            width, height = height, width
        duration_s = None
        if stream.duration and stream.time_base:
            duration_s = float(stream.duration * stream.time_base)
        elif container.duration:  # of the longest stream, microseconds; the stream itself does not tell
            duration_s = container.duration / 1e6 - max(0.0, self.first_pts_s - (container.start_time or 0) / 1e6)
        rate = stream.average_rate or stream.guessed_rate
        return SourceInfo(
            name=self._path.stem,
            path=str(self._path),
            kind="file",
            width_px=width,
            height_px=height,
            fps=float(rate) if rate else 0.0,
            duration_s=duration_s,
            frames_claimed=stream.frames or None,
            rotation_deg=int(first.rotation),
            codec=stream.codec_context.name,
            digest=file_digest(self._path),
            reader="av",
            media_offset_s=max(0.0, self.first_pts_s - (container.start_time or 0) / 1e6),
        )


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def file_digest(path: Path) -> str:
    """16 hex digits over the size and the first and last MiB: tells files apart without reading hours of video."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_DIGEST_BYTES))
        if size > _DIGEST_BYTES:
            file.seek(max(_DIGEST_BYTES, size - _DIGEST_BYTES))
            digest.update(file.read())
    return digest.hexdigest()[:16]


def _open(path: Path) -> Any:
    check_readable(path)
    try:
        return av.open(str(path), metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise SourceUnreadable(
            f"{path}: not a video that FFmpeg can read ({error.strerror or error}); if it was cut off while it was "
            "written, its index is missing and a repair tool may help"
        ) from None


def check_readable(path: Path) -> None:
    """Raise the error that says what is wrong with the file itself."""
    if not path.exists():
        raise SourceMissing(f"{path}: no such file; check the path")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise SourceUnreadable(f"{path}: cannot be opened ({error.strerror}); check its permissions") from None
    if empty:
        raise SourceUnreadable(f"{path}: is empty (0 bytes); copy or record it again")


def _video_stream(container: Any, path: Path) -> Any:
    for stream in container.streams.video:
        if "ATTACHED_PIC" not in str(getattr(stream, "disposition", "")).upper():  # cover art of a sound file
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
    raise NoVideo(f"{path}: has no video, only {kinds}; give a file with pictures in it")
