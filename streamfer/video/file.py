"""Video files through PyAV (FFmpeg): one forward pass with true presentation times.

    container -> decoder.py  whole frames, damage counted
              -> times.py    strictly increasing seconds, segments
              -> picture.py  upright RGB of one size

Time is 0 at the first frame that the decoder gives; a stream that starts late on its player's clock (MPEG-TS beside
sound, edit lists) says how late in `info.media_offset_s`. A file that ends well before its container says is damaged;
a few frames less than claimed are not. Streams that store no times at all (raw .h264) need `--fps`.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
from av.format import Flags

from streamfer import config
from streamfer.errors import NoVideo, SourceDamaged, SourceMissing, SourceUnreadable, UsageError
from streamfer.records import Frame, SourceCounts, SourceInfo
from streamfer.video.decoder import Decoder
from streamfer.video.picture import ToRGB
from streamfer.video.source import FrameClock, usable_cores
from streamfer.video.times import counted, forward, seconds_of

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

log = logging.getLogger(__name__)

_SHORT_S, _SHORT_PART = 1.0, 0.02
"""A file that ends earlier than its container claims by more than both was cut off."""

_STATES_DURATION = frozenset({"mov", "matroska", "avi", "flv", "asf", "mxf"})
"""Formats that write their duration down; for the others FFmpeg estimates it, which proves nothing."""

_DEFAULT_STEP_S = 0.04
"""A frame's length where neither the frame nor the stream tells."""

_DIGEST_BYTES = 2**20


class FileSource:
    """The frames of a video file. Raises SourceError when there is nothing in it to read."""

    def __init__(self, path: str | Path, options: config.Video) -> None:
        self.counts = SourceCounts()
        self._path = Path(path)
        self._options = options
        self._clock = FrameClock(self.counts, options)
        self._lock = threading.Lock()  # held while one frame is decoded: close() may come from another thread
        self._closed = False
        self._container = _open(self._path)
        try:
            self._stream = _video_stream(self._container, self._path)
            self._stream.thread_type = "AUTO"
            self._stream.codec_context.thread_count = options.threads or usable_cores()
            rate = self._stream.average_rate or self._stream.guessed_rate
            self._rate = float(rate) if rate else 0.0
            self._decoder = Decoder(self._container, self._stream, self.counts)
            timed = self._timed()
            first = next(timed, None)
            if first is None:
                why = "its frames carry no times" if self.counts.without_time else "there are none"
                raise SourceUnreadable(
                    f"{path}: no frame could be used ({self._decoder.last_error or why}); see whether it plays elsewhere"
                )
            (frame, _), self.first_pts_s = first
            self._to_rgb = ToRGB(frame, float(self._stream.sample_aspect_ratio or 1))
            self.upright = self._to_rgb.as_stored  # False when pictures are turned, mirrored or stretched
            self.info = self._describe(frame)
        except BaseException:
            self._container.close()
            raise
        self._step_s = 1 / self._rate if self._rate else _DEFAULT_STEP_S
        self._frames = forward(chain([first], timed), self.counts, self._step_s)
        self._read = False
        self._end_s = 0.0  # when the last frame ends
        self._segment = 0

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        if self._read:
            raise RuntimeError(f"{self._path}: a source is read once; open it again")
        self._read = True
        index = -1
        while (found := self._next()) is not None:
            decoded, time_s, segment = found
            if self._clock.ended(time_s):
                return
            self._clock.advances(time_s)
            index += 1
            self._end_s = time_s + (float((decoded.duration or 0) * (self._stream.time_base or 0)) or self._step_s)
            if segment != self._segment:
                log.warning("%s: the picture breaks off before %.2f s and goes on there", self._path, time_s)
                self._segment = segment
            if self._clock.wanted(time_s):
                yield self._clock.deliver(index, time_s, self._to_rgb(decoded), segment)
        if not self._closed:
            self._check_end()

    def _next(self) -> tuple[VideoFrame, float, int] | None:
        """The next frame, its time from 0, its segment; None at the end and after close()."""
        with self._lock:
            if self._closed:
                return None
            found = next(self._frames, None)
        if found is None:
            return None
        (frame, breaks), at_s, restarts = found
        return frame, at_s - self.first_pts_s, breaks + restarts

    def _timed(self) -> Iterator[tuple[tuple[VideoFrame, int], float]]:
        """Frames that have a time, with it, in seconds on the stream's clock."""
        form = self._container.format
        seconds = seconds_of(form.name, float(self._stream.time_base or 1))
        if form.flags & Flags.no_timestamps.value and not form.name.endswith("_pipe"):  # a pipe is one picture
            if self._options.fps is None:
                raise UsageError(f"{self._path}: this kind of file stores no times; say its frame rate with --fps")
            self._rate = self._options.fps
            seconds = counted(self._rate)
        for frame, breaks in self._decoder:
            at_s = seconds(frame)
            if at_s is None:
                self.counts.without_time += 1
            else:
                yield (frame, breaks), at_s

    def _check_end(self) -> None:
        """Raise SourceDamaged when the file broke off; everything before has been delivered."""
        counts, end_s = self.counts, self._end_s
        kept = f"{counts.decoded} frames up to {end_s:.2f} s are kept"
        if self._decoder.broken:
            raise SourceDamaged(f"{self._path}: damaged after {end_s:.2f} s ({self._decoder.broken}); {kept}")
        if counts.damaged > counts.decoded:
            raise SourceDamaged(f"{self._path}: most of it is damaged ({self._decoder.last_error}); {kept}")
        if counts.time_restarts:
            return  # neither the container's claim nor the packets' clock fits this time
        states_duration = _STATES_DURATION & set(self._container.format.name.split(","))
        promised = (self.info.duration_s or 0.0) if states_duration else 0.0
        packets_s = self._decoder.packets_until_s - self.first_pts_s
        for there_s, what in ((promised, "its container promises"), (packets_s, "its damaged part goes on to")):
            if there_s - end_s > max(_SHORT_S, _SHORT_PART * there_s):
                raise SourceDamaged(f"{self._path}: ends at {end_s:.2f} s, {what} {there_s:.2f} s (cut off?); {kept}")

    def _describe(self, first: VideoFrame) -> SourceInfo:
        stream, container = self._stream, self._container
        is_avi = container.format.name == "avi"  # its first DTS is the decoder's delay
        offset_s = 0.0 if is_avi else max(0.0, self.first_pts_s - (container.start_time or 0) / 1e6)
        return SourceInfo(
            name=self._path.stem,
            path=str(self._path),
            kind="file",
            width_px=self._to_rgb.width,
            height_px=self._to_rgb.height,
            fps=self._rate,
            duration_s=_duration_s(container, stream, self.first_pts_s),
            frames_claimed=stream.frames or None,
            rotation_deg=int(first.rotation),
            codec=stream.codec_context.name,
            digest=file_digest(self._path),
            reader="av",
            media_offset_s=offset_s,
        )


def _duration_s(container: Any, stream: Any, first_pts_s: float) -> float | None:
    """What the container says about this stream, None where it does not."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "")  # Matroska: "00:01:02.500000000", when this stream ends
    if tag.count(":") == 2:
        hours, minutes, seconds = tag.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - first_pts_s
    if container.duration and len(container.streams) == 1:  # microseconds, of the longest stream
        return container.duration / 1e6 - first_pts_s
    return None


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
