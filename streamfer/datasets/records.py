"""What a data set is once it has been read: clips, the annotated expressions in them, and what had to be mended.

Conventions that every loader keeps:

* Frames in an `Annotation` count from 0 within its clip, in the order of the clip's own files, so that
  `frames[annotation.onset]` is the onset. What the table said is kept in `written`.
* `offset` is inclusive: a micro-expression of one frame has onset == offset.
* A value that the table does not give is None, never 0 or -1.
* Whatever was mended or dropped is one `Remark`, with the table's row, so that it can be counted and shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from streamfer.datasets.aus import AUString
from streamfer.records import Kind

Action = Literal["repaired", "dropped", "noted"]


@dataclass(frozen=True, slots=True)
class Annotation:
    """One expression, as a coder of the data set marked it."""

    subject: str
    clip: str  # the name of its Clip
    kind: Kind
    onset: int | None  # frames from 0 within the clip
    apex: int | None
    offset: int | None  # inclusive
    emotion: str = ""  # as written; datasets/emotions.py maps it to schemes
    aus: AUString | None = None  # None: the table has no such column
    row: int = 0  # of the table, as a spreadsheet counts them, from 1
    written: Mapping[str, str] = field(default_factory=dict)  # the row's cells, verbatim


@dataclass(frozen=True, slots=True)
class Clip:
    """One video or folder of frames, with what was annotated in it."""

    dataset: str
    subject: str
    name: str  # unique in the data set, and fit to name a folder
    path: Path  # a video file or a folder of frames
    fps: float
    annotations: tuple[Annotation, ...] = ()
    first_number: int | None = None  # the number in the name of its first frame's file


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing in the data set's tables or folders that was mended, dropped or only worth saying."""

    action: Action
    rule: str  # short and stable, such as "offset_zero"; what counts are summed by
    table: str
    row: int | None
    message: str  # one sentence: what was there, what was made of it


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set as found on disk."""

    name: str
    root: Path
    clips: tuple[Clip, ...]
    remarks: tuple[Remark, ...] = ()

    @property
    def annotations(self) -> tuple[Annotation, ...]:
        return tuple(a for clip in self.clips for a in clip.annotations)
