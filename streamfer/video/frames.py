"""A folder of frames: PNG, JPEG, BMP, TIFF or WebP, in the order of their numbers, decoded in parallel.

The last number in a name is its place (img9 before img10). Time is place / fps: a number that no file has is time
that passed (some data sets lost frames), counted as missing. 16-bit pictures are scaled to 8, grey becomes RGB, alpha
is dropped, EXIF rotation is applied. A file that cannot be read, or that has another size than the first, is counted as
damaged and skipped (cropping the faces differently from frame to frame would look like movement). OpenCV decodes
without the interpreter lock, so the threads use all cores; at most `_AHEAD` pictures are in memory. Its own messages
about broken pictures are switched off: they are counted and logged here.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from streamfer import config
from streamfer.errors import NoVideo, SourceDamaged, SourceUnreadable, UsageError
from streamfer.records import Frame, SourceCounts, SourceInfo
from streamfer.video.expand import PICTURE_ENDINGS, natural_order
from streamfer.video.source import FrameClock, usable_cores

log = logging.getLogger(__name__)

_AHEAD = 16


class FramesSource:
    """The pictures of one folder. Raises NoVideo for a folder without any, UsageError without a frame rate."""

    def __init__(self, path: str | Path, options: config.Video) -> None:
        self.counts = SourceCounts()
        self._path = Path(path)
        self._options = options
        self._read = self._closed = False
        self._files = frame_files(self._path)
        if not self._files:
            raise NoVideo(f"{path}: no pictures in this folder (looked for {' '.join(sorted(PICTURE_ENDINGS))})")
        if options.fps is None:
            raise UsageError(f"{path} is a folder of {len(self._files)} frames: say their frame rate with --fps")
        cv2.setLogLevel(0)  # silent: it would write to stderr
        self._places = places(self._files)
        first = next((image for file in self._files[:_AHEAD] if (image := read_picture(file)) is not None), None)
        if first is None:
            raise SourceUnreadable(f"{path}: none of the first pictures can be read ({self._files[0].name} ...)")
        self._shape = first.shape
        self._pool = ThreadPoolExecutor(options.threads or usable_cores(), thread_name_prefix="imread")
        self.info = SourceInfo(
            name=self._path.name,
            path=str(self._path),
            kind="frames",
            width_px=first.shape[1],
            height_px=first.shape[0],
            fps=options.fps,
            duration_s=(self._places[-1] + 1) / options.fps,
            frames_claimed=len(self._files),
            rotation_deg=0,
            codec=self._files[0].suffix.lower().lstrip("."),
            digest=_digest(self._files, options.fps),
            reader="frames",
        )

    def __enter__(self) -> FramesSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[Frame]:
        if self._read:
            raise RuntimeError(f"{self._path}: a source is read once; open it again")
        self._read = True
        assert self._options.fps is not None
        clock = FrameClock(self.counts, self._options)
        self.counts.missing = self._places[-1] + 1 - len(self._files)
        for file, place, future in self._decoded():
            time_s = place / self._options.fps
            if clock.ended(time_s):
                return
            try:
                image = future.result()
            except CancelledError:  # closed by another thread
                return
            if image is None or image.shape != self._shape:
                if self.counts.damaged == 0:
                    what = "cannot be read" if image is None else "has another size than the first"
                    log.warning("%s: %s", file, what)
                self.counts.damaged += 1
                continue
            clock.advances(time_s)
            yield clock.deliver(place, time_s, image)
        if self.counts.damaged > self.counts.decoded:
            raise SourceDamaged(
                f"{self._path}: {self.counts.damaged} of {self.counts.damaged + self.counts.decoded} pictures cannot be "
                f"read or differ in size from {self._shape[1]}x{self._shape[0]}; {self.counts.decoded} are kept"
            )

    def _decoded(self) -> Iterator[tuple[Path, int, Future[np.ndarray | None]]]:
        """Each wanted picture while the next ones are being read."""
        assert self._options.fps is not None
        waiting: deque[tuple[Path, int, Future[np.ndarray | None]]] = deque()
        for file, place in zip(self._files, self._places, strict=True):
            if place / self._options.fps < self._options.start_s:
                continue
            if self._closed:
                return
            waiting.append((file, place, self._pool.submit(read_picture, file)))
            if len(waiting) >= _AHEAD:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()


def frame_files(folder: Path) -> list[Path]:
    """The pictures of a folder, in the order of their numbers."""
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise SourceUnreadable(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from None
    return natural_order(f for f in entries if f.suffix.lower() in PICTURE_ENDINGS and not f.name.startswith("."))


def places(files: list[Path]) -> list[int]:
    """The place of each file in time: by its number where files are numbered one by one, else by position."""
    numbers = [int(found[-1]) if (found := re.findall(r"\d+", file.stem)) else -1 for file in files]
    steps = Counter(after - before for before, after in pairwise(numbers))
    if numbers[0] >= 0 and steps and min(steps) > 0 and steps.most_common(1)[0][0] == 1:
        return [number - numbers[0] for number in numbers]
    return list(range(len(files)))


def read_picture(file: Path) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB, or None when it cannot be read."""
    try:
        data = np.fromfile(file, np.uint8)  # cv2.imread does not open every file name
    except OSError:
        return None
    if not data.size:
        return None
    try:
        return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        return None


def _digest(files: list[Path], fps: float) -> str:
    """Over names, sizes, the first picture and the rate."""
    digest = hashlib.sha256(f"{fps} {len(files)}".encode())
    for file in files:
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
    digest.update(files[0].read_bytes())
    return digest.hexdigest()[:16]
