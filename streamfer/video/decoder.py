"""Frames out of a container, past whatever is damaged in it.

A packet that cannot be decoded is counted. What follows is built upon it until the next key frame: those frames look
like faces melting, and would be measured as expressions, so they are withheld and counted too, for at most `HEAL_S`
(streams without key frames refresh themselves bit by bit). `breaks` grows where delivery goes on, so that nothing is
measured across the hole. The container itself is read on after an error, until eight errors in a row; PySceneDetect's
backends/pyav.py does that for its decoder (the idea, no code).

Damage that FFmpeg does not notice (a wrong byte that still decodes) is not noticed here either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import av.error

from streamfer.records import SourceCounts

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

MAX_FAILURES = 8
"""Errors of the container in a row after which the rest of a file is given up."""

HEAL_S = 2.0
"""Frames are trusted again so long after damage, even when no key frame came."""


class Decoder:
    """Iterate it once: (frame, breaks) in display order. Counts `damaged`."""

    def __init__(self, container: Any, stream: Any, counts: SourceCounts) -> None:
        self.broken = ""  # why the rest was given up, in FFmpeg's words
        self.last_error = ""
        self.packets_until_s = float("-inf")  # on the stream's clock: how far the packets that were read go
        self._container = container
        self._stream = stream
        self._counts = counts
        self._time_base = float(stream.time_base or 1)
        self._breaks = 0
        self._suspect_from: int | None = None  # PTS

    def __iter__(self) -> Iterator[tuple[VideoFrame, int]]:
        # with frame threads an error shows up to that many packets late
        recent: deque[int] = deque(maxlen=max(1, self._stream.codec_context.thread_count))
        for packet in self._packets():
            if packet is not None and packet.pts is not None:
                recent.append(packet.pts)
                self.packets_until_s = max(self.packets_until_s, packet.pts * self._time_base)
            try:
                frames = self._stream.codec_context.decode(packet)
            except av.error.EOFError:  # a subclass of FFmpegError, so it must come first
                return
            except av.error.FFmpegError as error:
                self._counts.damaged += 1
                self.last_error = error.strerror or str(error)
                self._suspect(min(recent, default=None))
                continue
            for frame in frames:
                if self._whole(frame):
                    yield frame, self._breaks

    def _packets(self) -> Iterator[Packet | None]:
        """The stream's packets, then None, which makes the decoder give out what it still holds."""
        failures = 0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.EOFError):
                break
            except av.error.FFmpegError as error:
                self._counts.damaged += 1
                failures += 1
                self.last_error = error.strerror or str(error)
                if failures >= MAX_FAILURES:
                    self.broken = self.last_error
                    break
                packets = self._container.demux(self._stream)  # an error ended the generator
                continue
            failures = 0
            if packet.size:  # an empty one would tell the decoder that this is the end
                yield packet
        yield None

    def _suspect(self, pts: int | None) -> None:
        if self._suspect_from is None:
            self._suspect_from = 0 if pts is None else pts

    def _whole(self, frame: VideoFrame) -> bool:
        """False for a frame that shows damage, or is built upon damage; it is counted."""
        if self._suspect_from is not None:
            since = 0 if frame.pts is None else frame.pts - self._suspect_from
            if since < 0:
                return True  # shown before the damage, only decoded after it
            if frame.key_frame or since * self._time_base >= HEAL_S:
                self._suspect_from = None
                self._breaks += 1
        if frame.is_corrupt:
            self._suspect(frame.pts)
        if self._suspect_from is None:
            return True
        self._counts.damaged += 1
        return False
