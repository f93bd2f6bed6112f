"""Runs the command line in this process, and makes the clips that its tests need."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np

from streamfer.cli import main


def run_cli(*arguments: object) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of `streamfer ARGUMENTS`."""
    out, errors = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            main([os.fspath(a) if isinstance(a, Path) else str(a) for a in arguments])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    return code, out.getvalue(), errors.getvalue()


@cache
def portrait() -> np.ndarray:
    """(360, 640, 3) uint8 RGB: the public-domain portrait of Eileen Collins (NASA), her face about 170 px wide."""
    import skimage.data

    head = cv2.resize(skimage.data.astronaut()[0:300, 60:400], None, fx=1.7, fy=1.7, interpolation=cv2.INTER_CUBIC)[
        20:380
    ]
    canvas = np.full((360, 640, 3), 60, np.uint8)
    left = (640 - head.shape[1]) // 2
    canvas[:, left : left + head.shape[1]] = head[:360]
    return canvas


def drifting(i: int, blinking: bool = False) -> np.ndarray:
    """The portrait, its head moving a little, with camera noise; `blinking` smears the eyes now and then."""
    still = portrait()
    if blinking and i % 110 in range(8):
        still = still.copy()
        still[120:170] = cv2.GaussianBlur(still[120:170], (1, 41), 0)
    shift = np.array([[1, 0, 3 * np.sin(i / 20)], [0, 1, 2 * np.cos(i / 27)]], np.float32)
    moved = cv2.warpAffine(still, shift, (640, 360), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.add(moved, np.random.default_rng(i % 50).integers(0, 6, moved.shape, np.uint8))


def write(path: Path, images: Callable[[int], np.ndarray], count: int, codec: str = "libx264", pix_fmt: str = "yuv420p",
          start_s: float = 0.0, container_options: dict[str, str] | None = None) -> Path:  # fmt: skip
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=30)
        height, width = images(0).shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.time_base = stream.codec_context.time_base = Fraction(1, 90_000)
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "crf": "20", "g": "60"}
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(images(i), format="rgb24")
            frame.pts, frame.time_base = round((start_s + i / 30) * 90_000), Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def face_clip(path: Path, seconds: float, blinking: bool = False) -> Path:
    """A face in 640x360 at 30 frames per second."""
    return write(path, lambda i: drifting(i, blinking), round(seconds * 30))


def _wall(i: int) -> np.ndarray:
    return np.full((180, 320, 3), 90 + i % 20, np.uint8)


def _touch(path: Path) -> Path:
    path.touch()
    return path


def _random(path: Path) -> Path:
    path.write_bytes(np.random.default_rng(0).bytes(100_000))
    return path


def _audio(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _frames(path: Path, images: Callable[[int], np.ndarray], count: int) -> Path:
    path.mkdir()
    for i in range(count):
        cv2.imwrite(str(path / f"img{i + 1}.jpg"), images(i)[..., ::-1])
    return path


def _cut_off(path: Path) -> Path:
    whole = write(path.with_name("whole.mp4"), drifting, 150, container_options={"movflags": "faststart"})
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def _odd(path: Path) -> Path:
    return write(path, lambda i: np.ascontiguousarray(drifting(i)[:-1, :-1]), 20, codec="ffv1", pix_fmt="yuv444p")


MAKERS: dict[str, Callable[[Path], Path]] = {
    "missing": lambda path: path,
    "empty": _touch,
    "random bytes": _random,
    "audio only": _audio,
    "empty folder": _folder,
    "frames": lambda path: _frames(path, _wall, 3),
    "face frames": lambda path: _frames(path, drifting, 20),
    "cut off": _cut_off,
    "no face": lambda path: write(path, _wall, 45),
    "one frame": lambda path: write(path, drifting, 1),
    "16 bit grey": lambda path: write(path, drifting, 10, codec="ffv1", pix_fmt="gray16le"),
    "odd size": _odd,
    "four hours": lambda path: write(path, drifting, 10, start_s=4 * 3600.0),
}
