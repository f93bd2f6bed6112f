"""Clips with known truth, made on the spot: what a test needs to know that the RIGHT frame came at the RIGHT time.

Every picture carries its number as twelve black or white squares along its upper edge, and a red, a green and a blue
corner (upper left, upper right, lower left), so that `number_of` and `is_upright` can tell after lossy coding which
picture a decoder gave, and whether it is turned, mirrored or has its colours swapped.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

WIDTH, HEIGHT = 192, 144
_BITS, _SQUARE = 12, 16
_CORNERS = ((slice(16, 48), slice(0, 32), 0), (slice(16, 48), slice(-32, None), 1), (slice(-32, None), slice(0, 32), 2))


@dataclass(frozen=True)
class Clip:
    """A file and what is in it: the number shown and the time, from 0, of each frame in display order."""

    path: Path
    numbers: tuple[int, ...]
    times_s: tuple[float, ...]
    size: tuple[int, int] = (WIDTH, HEIGHT)


# ----------------------------------------------------------------------------------------- pictures


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(height, width, 3) uint8: the number in squares, coloured corners, and a grey ramp that moves."""
    ramp = np.linspace(60, 190, width).astype(np.uint8)
    image = np.repeat(np.repeat(np.roll(ramp, 3 * number)[None, :, None], height, 0), 3, 2)
    for rows, columns, channel in _CORNERS:
        image[rows, columns] = 0
        image[rows, columns, channel] = 255
    for bit in range(_BITS):
        image[:_SQUARE, bit * _SQUARE : (bit + 1) * _SQUARE] = 255 * (number >> bit & 1)
    return image


def number_of(image: np.ndarray) -> int:
    """The number that a decoded picture shows."""
    squares = [image[4 : _SQUARE - 4, b * _SQUARE + 4 : (b + 1) * _SQUARE - 4].mean() for b in range(_BITS)]
    return sum(int(level > 127) << bit for bit, level in enumerate(squares))


def is_upright(image: np.ndarray) -> bool:
    """Red upper left, green upper right, blue lower left."""
    return all(
        int(image[rows, columns].reshape(-1, 3).mean(0).argmax()) == channel for rows, columns, channel in _CORNERS
    )


# -------------------------------------------------------------------------------------------- files


def write(
    path: Path,
    numbers: Sequence[int],
    pts: Sequence[int],
    time_base: Fraction,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    options: dict[str, str] | None = None,
    drawn: Callable[[np.ndarray], np.ndarray] | None = None,
    prepare: Callable[[Any], None] | None = None,
    sound_s: float = 0.0,
    packets: Callable[[Any], bool] | None = None,
    container_options: dict[str, str] | None = None,
) -> Clip:
    """Encode the pictures of these numbers at these times.

    `drawn` changes a picture before it is encoded, `prepare` gets the stream first (rotation, aspect ratio), `sound_s`
    adds a sound track of that length, `packets` sees every coded packet and says whether it is written.
    """
    if options is None and codec == "libx264":
        options = {"preset": "ultrafast", "g": "24", "bf": "2", "crf": "16"}
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=30)
        width, height = size
        stream.width, stream.height = width, height
        if drawn is not None:
            stream.height, stream.width = drawn(picture(0, width, height)).shape[:2]
        stream.pix_fmt, stream.time_base, stream.options = pix_fmt, time_base, options or {}
        stream.codec_context.time_base = time_base
        stream.codec_context.thread_count = 1
        if prepare is not None:
            prepare(stream)
        sound: Any = container.add_stream("aac", rate=16000, layout="mono") if sound_s else None

        def mux(coded: Sequence[Any]) -> None:
            for packet in coded:
                if packets is None or packets(packet):
                    container.mux(packet)

        for number, at in zip(numbers, pts, strict=True):
            image = picture(number, width, height)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image if drawn is None else drawn(image)))
            frame.pts, frame.time_base = at, time_base
            mux(stream.encode(frame))
        mux(stream.encode())
        if sound is not None:
            for packet in _silence(sound, sound_s):
                container.mux(packet)
    times = tuple(float((at - pts[0]) * time_base) for at in pts)
    return Clip(path, tuple(numbers), times, size)


def _silence(stream: Any, seconds: float) -> list[Any]:
    packets = []
    for block in range(int(seconds * 16000 / 1024)):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, block * 1024, Fraction(1, 16000)
        packets += stream.encode(frame)
    return packets + stream.encode()


_TICKS = 90_000


def cfr(path: Path, frames: int = 60, fps: int = 30, start_s: float = 0.0, ticks: int = _TICKS, **more: Any) -> Clip:
    """Constant rate; `start_s` lets the stream begin late. MPEG-2 and MPEG-4 want `ticks` equal to `fps`."""
    pts = [round(start_s * ticks) + i * (ticks // fps) for i in range(frames)]
    return write(path, range(frames), pts, Fraction(1, ticks), **more)


def vfr(path: Path, frames: int = 60, seed: int = 1, **more: Any) -> Clip:
    """Irregular steps of 16 to 200 ms, whole milliseconds so that Matroska can hold them."""
    steps = random.Random(seed).choices([16, 33, 33, 34, 67, 50, 200], k=frames)
    at = [0]
    for step in steps[:-1]:
        at.append(at[-1] + step)
    return write(path, range(frames), [90 * ms for ms in at], Fraction(1, _TICKS), **more)


def long_times(path: Path, hours: float = 4.0) -> Clip:
    """One frame every five minutes: times of hours at the cost of seconds."""
    count = int(hours * 12) + 1
    return write(path, range(count), [i * 300 * 1000 for i in range(count)], Fraction(1, 1000))


def rotated(path: Path, degrees: int, frames: int = 8) -> Clip:
    """Stored turned, with the metadata that turns it back: `degrees` counter-clockwise."""
    return cfr(
        path,
        frames,
        drawn=lambda image: np.rot90(image, -degrees // 90),
        prepare=lambda stream: stream.set_display_rotation(degrees),
    )


def mirrored(path: Path, matrix: tuple[int, int, int, int], drawn: Callable[[np.ndarray], np.ndarray]) -> Clip:
    """Stored as `drawn` shows it, with the display matrix (a, b, c, d) of -1, 0, 1 written into the mp4's header."""
    clip = cfr(path, 8, drawn=drawn)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"tkhd") + 4 + 40  # version 0: flags, times, id, duration, layer and volume come before it
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return clip


def cut_off(path: Path, part: float = 0.5, frames: int = 120, **more: Any) -> Clip:
    """A file of which only the first part was copied. Its index is at the front, so that it opens."""
    front = {"movflags": "faststart"} if path.suffix in (".mp4", ".mov") else {}
    clip = cfr(path, frames, container_options=front, **more)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return clip


def damaged(path: Path, first: int = 40, last: int = 60, frames: int = 120, **more: Any) -> Clip:
    """The bytes of packets `first` to `last` (in coding order) are noise; everything else is whole."""
    clip = cfr(path, frames, **more)
    data = bytearray(path.read_bytes())
    if path.suffix == ".ts":  # cut into pieces of 188 bytes there: whole pieces are lost, as on a bad aerial
        part = [188 * round(len(data) * edge / frames / 188) for edge in (first, last)]
        path.write_bytes(data[: part[0]] + data[part[1] :])
        return clip
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    noise = random.Random(7)
    end = 0
    for place, packet in enumerate(packets):
        start = data.index(packet, end)
        end = start + len(packet)
        if first <= place <= last:
            data[start + 8 : end] = noise.randbytes(len(packet) - 8)
    path.write_bytes(data)
    return clip


def audio_only(path: Path, seconds: float = 1.0) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=16000, layout="mono")
        for packet in _silence(stream, seconds):
            container.mux(packet)
    return path


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def random_bytes(path: Path, size: int = 50_000) -> Path:
    path.write_bytes(random.Random(3).randbytes(size))
    return path


def frame_folder(folder: Path, numbers: Sequence[int], name: str = "img{}.png", bits: int = 8) -> list[Path]:
    """One picture for each number, named after it; `bits` 16 for deep PNG or TIFF."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number in numbers:
        image = picture(number)[:, :, ::-1]
        deep = image.astype(np.uint16) * 257 if bits == 16 else image
        files.append(folder / name.format(number))
        ok, coded = cv2.imencode(files[-1].suffix, deep)
        assert ok
        files[-1].write_bytes(coded.tobytes())
    return files


# --------------------------------------------------------------------------------------------- faces


def face_clip(
    path: Path,
    seconds: float = 2.0,
    fps: float = 30.0,
    *,
    size: tuple[int, int] = (640, 360),
    face_px: float = 160.0,
    sway_px: float = 3.0,
    absent: Sequence[tuple[float, float]] = (),
) -> Path:
    """A portrait that sways slowly (skimage.data.astronaut(), public domain), its face about `face_px` wide.

    During the `absent` spans, in seconds, the picture is empty.
    """
    import cv2
    from skimage import data

    portrait = data.astronaut()
    scale = face_px / 104  # the face is 104 px wide there, its middle at (226, 118)
    width, height = size
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "18", "g": "60"}
        stream.codec_context.thread_count = 1
        for index in range(round(seconds * fps)):
            time_s = index / rate
            x = width / 2 - 226 * scale + sway_px * np.sin(2 * np.pi * 0.4 * time_s)
            y = height * 0.47 - 118 * scale + 0.5 * sway_px * np.sin(2 * np.pi * 0.27 * time_s)
            shift = np.array([[scale, 0, x], [0, scale, y]])
            image = cv2.warpAffine(portrait, shift, size, flags=cv2.INTER_AREA, borderValue=(96, 96, 96))
            if any(start <= time_s < end for start, end in absent):
                image[:] = 96
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())
    return path
