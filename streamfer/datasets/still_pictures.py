"""The pictures of stills, in their order: files, frames of a video, rows of an npz, rows of fer2013.csv.

    for row, picture in pictures(stills):     # (H, W, 3) uint8 RGB, or None where it cannot be read

Neighbours of one file are read in one pass, so that a video is decoded once and a csv of 300 MB is not held. A picture that
cannot be read is None and stays in its place: whoever counts must not lose it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from streamfer.datasets.stills import Still
from streamfer.errors import SourceError

VIDEOS = (".avi", ".mp4", ".mov", ".mkv", ".wmv")
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
FER_PX = 48


def pictures(stills: Sequence[Still]) -> Iterator[tuple[int, np.ndarray | None]]:
    """(row, picture) of each still, in their order."""
    for path, group in groupby(enumerate(stills), key=lambda item: item[1].path):
        rows = list(group)
        yield from zip((row for row, _ in rows), _read(path, [still.frame for _, still in rows]), strict=True)


def _read(path: Path, frames: list[int | None]) -> Iterator[np.ndarray | None]:
    if frames[0] is None:
        yield from (_picture(path) for _ in frames)
        return
    wanted = [frame if frame is not None else -1 for frame in frames]
    ending = path.suffix.lower()
    if ending == ".npz":
        yield from _rows_of_npz(path, wanted)
    elif ending == ".csv":
        yield from _in_order(wanted, _rows_of_csv(path))
    else:
        yield from _in_order(wanted, _frames(path))


def _picture(path: Path) -> np.ndarray | None:
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _frames(path: Path) -> Iterator[np.ndarray | None]:
    from streamfer.video import open_video

    place = 0
    try:
        with open_video(path) as source:
            for frame in source:
                yield from (None for _ in range(place, frame.index))  # left out by the source: labels go on counting
                yield frame.image
                place = frame.index + 1
    except SourceError:
        return  # what was decoded before counts; the rest is None


def _rows_of_npz(path: Path, wanted: list[int]) -> Iterator[np.ndarray | None]:
    with np.load(path, allow_pickle=False) as data:
        images = data["images"]
    for row in wanted:
        yield _rgb(images[row]) if 0 <= row < len(images) else None


def _rows_of_csv(path: Path) -> Iterator[np.ndarray | None]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = [name.strip().casefold() for name in next(rows, [])]
        column = header.index("pixels")
        for cells in rows:
            yield pixels(cells[column]) if len(cells) > column else None


def pixels(text: str) -> np.ndarray | None:
    """(48, 48, 3) of FER2013's 2,304 numbers, None when they are not that many."""
    try:
        values = np.array(text.split(), np.uint8)
    except (ValueError, OverflowError):
        return None
    return _rgb(values.reshape(FER_PX, FER_PX)) if values.size == FER_PX**2 else None


def _in_order(wanted: list[int], source: Iterator[np.ndarray | None]) -> Iterator[np.ndarray | None]:
    """The wanted places of a source that can only go forward; None for those it does not reach."""
    at, image = -1, None
    for place in wanted:
        while at < place:
            image = next(source, None)
            at += 1
        yield image if at == place else None


def _rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
