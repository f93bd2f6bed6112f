"""Where the frames of a clip are, what numbers their files have, and an annotation in places of that clip.

A folder's files are taken in the order of the last number in their names, never of the letters. An annotated number that
no file has (frames were lost in recording) becomes the nearest file's place and is noted; one outside the clip is
clipped, or the row is dropped when nothing of it is inside.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path

from streamfer.datasets.aus import AUString
from streamfer.datasets.aus import parse as parse_aus
from streamfer.datasets.moments import Moments, Notes, mend
from streamfer.datasets.records import Annotation, Clip
from streamfer.datasets.tables import Row, there
from streamfer.errors import SourceMissing
from streamfer.records import Kind
from streamfer.video.expand import PICTURE_ENDINGS, VIDEO_ENDINGS


def numbers_of(folder: Path) -> list[int]:
    """The last number in the name of every picture, ascending. Empty for a folder without pictures."""
    found = []
    for path in folder.iterdir():
        if path.suffix.lower() in PICTURE_ENDINGS and not path.name.startswith("."):
            digits = re.findall(r"\d+", path.stem)
            if digits:
                found.append(int(digits[-1]))
    return sorted(found)


def expected(root: Path, layout: str) -> SourceMissing:
    """The error for a folder that is not this data set: what was expected and what is there."""
    return SourceMissing(f"{root}: expected {layout}; what is there: {there(root)}")


def find_folder(root: Path, names: Iterable[str], layout: str) -> Path:
    """The first of `names` (paths under the root, any case) that is a folder; the root itself for ""."""
    for name in names:
        at: Path | None = root
        for part in Path(name).parts:
            at = child(at, part) if at is not None else None
        if at is not None and at.is_dir():
            return at
    raise expected(root, layout)


def child(folder: Path, name: str) -> Path | None:
    """An entry of the folder, whatever its case."""
    exact = folder / name
    if exact.exists():
        return exact
    if not folder.is_dir():
        return None
    return next((p for p in folder.iterdir() if p.name.casefold() == name.casefold()), None)


def is_clip(path: Path) -> bool:
    """A folder with pictures in it, or a video file."""
    if path.is_dir():
        return any(p.suffix.lower() in PICTURE_ENDINGS for p in path.iterdir())
    return path.suffix.lower() in VIDEO_ENDINGS and path.is_file()


Found = list[tuple[str, str, Path, int | None, Annotation | None]]
"""Subject, clip name, path, number of the first file, and an annotation in it; None: the clip is there."""


class Placing:
    """The frame numbers of one clip's files, and annotations put into them."""

    def __init__(self, path: Path, base: int = 1) -> None:
        self.path = path
        self._numbers = numbers_of(path) if path.is_dir() else None
        self.base = base

    @property
    def first_number(self) -> int | None:
        return self._numbers[0] if self._numbers else None

    def place(self, moments: Moments, notes: Notes, row: int) -> Moments | None:
        """The moments as places from 0 in the clip; None when they lie outside of it."""
        if self._numbers is None:  # a video: nothing is known of its frames before it is decoded
            return Moments(*(None if n is None else max(0, n - self.base) for n in  # type: ignore[arg-type]
                             (moments.onset, moments.apex, moments.offset)))  # fmt: skip
        if not self._numbers:
            notes.add("dropped", "no_numbers", row, f"{self.path.name}: its pictures' names have no frame numbers")
            return None
        low, high = self._numbers[0], self._numbers[-1]
        if moments.onset > high or moments.offset < low:
            notes.add("dropped", "outside_clip", row,
                      f"frames {moments.onset}-{moments.offset} are not in {self.path.name} ({low}-{high})")  # fmt: skip
            return None
        onset, offset = max(moments.onset, low), min(moments.offset, high)
        if (onset, offset) != (moments.onset, moments.offset):
            notes.add("repaired", "clipped", row,
                      f"frames {moments.onset}-{moments.offset} cut to {onset}-{offset}: {self.path.name} ends there")  # fmt: skip
        apex = moments.apex
        if apex is not None and not onset <= apex <= offset:
            apex = None
        absent = [n for n in (onset, apex, offset) if n is not None and self._nearest(n)[1]]
        if absent:
            notes.add("noted", "frame_absent", row, f"no file for frame {absent[0]}: the nearest stands for it")
        return Moments(
            self._nearest(onset)[0], None if apex is None else self._nearest(apex)[0], self._nearest(offset)[0]
        )

    def _nearest(self, number: int) -> tuple[int, bool]:
        """Place of the file nearest to a number, and whether the number itself is absent."""
        assert self._numbers is not None
        at = min(bisect_left(self._numbers, number), len(self._numbers) - 1)
        if at > 0 and number - self._numbers[at - 1] < self._numbers[at] - number:
            at -= 1
        return at, self._numbers[at] != number


def enter(
    found: Found, notes: Notes, row: Row, placing: Placing, subject: str, clip: str, kind: Kind,
    written: tuple[str, str | None, str], emotion: str, aus: str | None,
) -> None:  # fmt: skip
    """Mend onset, apex and offset as `written`, put them into their clip, and add the annotation, if the row can be kept."""
    moments = mend(*written, notes, row.number, placing.base)
    placed = placing.place(moments, notes, row.number) if moments else None
    if placed is not None:
        note = annotate(subject, clip, kind, placed, row, emotion, aus, notes)
        found.append((subject, clip, placing.path, placing.first_number, note))


def annotate(
    subject: str, clip: str, kind: Kind, moments: Moments, row: Row, emotion: str = "", aus: str | None = None,
    notes: Notes | None = None,
) -> Annotation:  # fmt: skip
    """An annotation from moments in places of the clip; what cannot be read of its AUs is noted."""
    read = None if aus is None else parse_aus(aus)
    if read is not None and notes is not None:
        note_aus(read, notes, row.number)
    return Annotation(
        subject, clip, kind, moments.onset, moments.apex, moments.offset, emotion, read, row.number, dict(row.cells)
    )  # fmt: skip


def note_aus(read: AUString, notes: Notes, row: int) -> None:
    if read.warnings:
        notes.add("noted", "au_unread", row, f"AUs '{read.raw}': not read: {'; '.join(read.warnings)}")
    elif read.unknown:
        notes.add("noted", "au_unknown", row, f"AUs '{read.raw}': unknown")


def gather(
    dataset: str, fps: float | Callable[[str], float], found: Found
) -> tuple[Clip, ...]:
    """Clips of what was found, in the order of their first appearance."""
    clips: dict[str, tuple[str, Path, int | None, list[Annotation]]] = {}
    for subject, name, path, first, annotation in found:
        entry = clips.setdefault(name, (subject, path, first, []))
        if annotation is not None:
            entry[3].append(annotation)
    return tuple(
        Clip(dataset, subject, name, path, fps(name) if callable(fps) else fps, tuple(own), first)
        for name, (subject, path, first, own) in clips.items()
    )
