"""Longer clips out of short ones, for benchmarks: forward-backward loops, and hours by remuxing."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av


def ping_pong(
    source: Path,
    target: Path,
    seconds: float,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
) -> int:
    """Write `seconds` of the source played forward and backward in turn (no jump at the seams); frames written.

    `fps` (at most the source's own) leaves frames out, evenly.
    """
    frames = []
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or Fraction(30)
        frames = [f.to_ndarray(format="yuv420p", width=width, height=height) for f in container.decode(stream)]
    order = list(range(len(frames))) + list(range(len(frames) - 2, 0, -1))
    if fps is not None:
        every, rate = rate / Fraction(fps), Fraction(fps)
        order = [order[int(i * every)] for i in range(int(len(order) / every))]
    count = round(seconds * rate)
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = frames[0].shape[0] * 2 // 3, frames[0].shape[1]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "18", "preset": "veryfast", "g": "60"}
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(frames[order[i % len(order)]], format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return count


def repeat(source: Path, target: Path, times: int) -> None:
    """Write the source `times` over without decoding it."""
    with av.open(str(target), "w") as out:
        stream = None
        shift = 0
        for _ in range(times):
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                if stream is None:
                    stream = out.add_stream_from_template(video)
                end = 0
                for packet in container.demux(video):
                    if packet.dts is None:
                        continue
                    step = packet.duration or 1
                    end = max(end, packet.pts + step)
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = stream
                    out.mux(packet)
                shift += end
