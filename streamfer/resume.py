"""Going on after an interruption, from nothing but the files that are there.

A killed run leaves whole lines in faces.csv and events.jsonl and the people in people.json; no other state is
kept, so there is nothing that could be out of step with them. To go on, the source is decoded again up to
`warm_from_s` (decoding alone is fast, seeking is wrong on some containers), the neutral levels are rebuilt
by replaying the rows, and the frames of the warm-up before the first missing row are analysed once more, so
that the trackers and the screener are as warm as they were. Rows of the warm-up are not written again, its
faces keep the track and person they had, and an event that is already on disk is not reported twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from streamfer.records import Box, Event, Face, Frame

if TYPE_CHECKING:
    import pandas as pd

    from streamfer.action_units.baseline import Baseline
    from streamfer.config import Config
    from streamfer.faces.people import Gallery

_WARM_MORE_S = 4.0
"""Analysed again before the first missing row: the screener's look-back, its longest event, and so much more."""

_SAME_BOX = 0.5
_SAME_EVENT = 0.3


@dataclass(slots=True)
class Resume:
    """Where the analysis starts and what was there before. `Resume()` starts from nothing."""

    next_frame: int = 0  # the first frame whose row is not on disk
    warm_from_s: float = 0.0
    next_track: int = 1
    events: list[Event] = field(default_factory=list)
    faces_csv: Path | None = None
    people_json: Path | None = None
    _boxes: dict[int, list[tuple[int, str, Box]]] = field(default_factory=dict)
    _renamed: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, events: list[Event], config: Config) -> Resume:
        """Read what is in the output folder; its faces.csv must have been repaired (no torn last line)."""
        path = folder / "faces.csv"
        if not path.exists():
            return cls()
        last_frame, last_time_s, last_track = -1, 0.0, 0
        for chunk in _chunks(path):
            last_frame = int(chunk["frame"].iloc[-1])
            last_time_s = float(chunk["timestamp"].iloc[-1])
            last_track = max(last_track, int(chunk["face_id"].max()))
        if last_frame < 0:
            return cls()
        resume = cls(
            # the last frame may lack the rows of its other faces, so FacesCsv was cut before it
            next_frame=last_frame + 1,
            warm_from_s=max(0.0, last_time_s - 2 * config.screening.macro_max_s - _WARM_MORE_S),
            next_track=last_track + 1,
            events=events,
            faces_csv=path,
            people_json=folder / "people.json",
        )
        for chunk in _chunks(path):
            recent = chunk[(chunk["timestamp"] >= resume.warm_from_s) & (chunk["success"] == 1)]
            for row in recent[["frame", "face_id", "person", "box_x", "box_y", "box_w", "box_h"]].to_numpy():
                frame, track, person, *box = row
                resume._boxes.setdefault(int(frame), []).append((int(track), str(person), Box(*map(float, box))))
        return resume

    def gallery(self, shared: Gallery | None) -> Gallery | None:
        """The people known before, unless a gallery is shared between files anyway."""
        from streamfer.faces.people import Gallery

        if shared is None and self.people_json is not None and self.people_json.exists():
            return Gallery.load(self.people_json)
        return shared

    def replay(self, baseline: Baseline) -> None:
        """Bring the neutral levels to where they were at `warm_from_s`."""
        if self.faces_csv is None:
            return
        columns = [f"{name}_raw" for name in baseline.names]
        for chunk in _chunks(self.faces_csv):
            chunk = chunk[(chunk["timestamp"] < self.warm_from_s) & (chunk["success"] == 1)]
            raw = chunk[columns].to_numpy("float32")
            people = chunk["person"].fillna("")
            for person, track, time_s, usable, values in zip(
                people, chunk["face_id"], chunk["timestamp"], chunk["usable"], raw, strict=True
            ):
                baseline.push(person or f"track {track}", float(time_s), values, bool(usable))

    def same_tracks(
        self, frame: Frame, faces: tuple[Face, ...], known: dict[int, str]
    ) -> tuple[tuple[Face, ...], dict[int, int]]:
        """Give faces of the warm-up the track (and, in `known`, the person) they have on disk."""
        if not self._boxes:
            return faces, {}
        for face in faces:
            if face.track in self._renamed:
                continue
            for track, person, box in self._boxes.get(frame.index, ()):
                if _overlap(face.box, box) > _SAME_BOX and track not in self._renamed.values():
                    self._renamed[face.track] = track
                    known[track] = person
                    break
        for new in self._renamed.keys() & known.keys():
            del known[new]  # decided before, on disk
        return tuple(replace(f, track=self._renamed.get(f.track, f.track)) for f in faces), self._renamed

    def is_new(self, event: Event) -> bool:
        """False for an event that is on disk already, even when the warm-up moved it by a frame or two."""
        return not any(
            event.id == old.id
            or ((event.person, event.kind) == (old.person, old.kind) and _overlap_s(event, old) > _SAME_EVENT)
            for old in self.events
        )


def _chunks(path: Path) -> Iterator[pd.DataFrame]:
    """The rows in parts; none of a file whose run was killed before its header or its second frame was written."""
    from streamfer.reporting.faces_csv import header, read_chunks

    if header(path) == [""]:
        return
    yield from (chunk for chunk in read_chunks(path) if len(chunk))


def _overlap(a: Box, b: Box) -> float:
    width = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    height = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (a.w * a.h + b.w * b.h - width * height)


def _overlap_s(a: Event, b: Event) -> float:
    common = min(a.offset.time_s, b.offset.time_s) - max(a.onset.time_s, b.onset.time_s)
    total = max(a.offset.time_s, b.offset.time_s) - min(a.onset.time_s, b.onset.time_s)
    return max(0.0, common) / max(total, 1e-9)
