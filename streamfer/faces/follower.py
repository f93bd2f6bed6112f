"""Frames in, faces with track and person out: landmarks, cuts, tracks, pose, quality and people put together.

    follower = Follower(options, People(options))
    for frame in source:
        seen = follower.push(frame)      # faces of this frame; `person` is "" while undecided
    last = follower.flush()              # ends all tracks, decides who is left

`push` is `look` (the networks: cuts and landmarks) and then `follow` (everything else). The two share nothing but
what `look` returns, so each may run in a thread of its own, frames in order.

`person_of(track)` tells a person as soon as it is known, also for frames pushed before. A scene cut or a new segment
of the source ends all tracks. One follower follows one source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from streamfer.faces.cuts import CutDetector
from streamfer.faces.landmarks import LandmarkFinder, Mesh, open_landmarks
from streamfer.faces.people import UNKNOWN, People
from streamfer.faces.pose import head_pose
from streamfer.faces.quality import QualityJudge
from streamfer.faces.tracker import Tracker
from streamfer.records import Box, Face, Frame

if TYPE_CHECKING:
    from streamfer.config import Faces


@dataclass(frozen=True, slots=True)
class Looked:
    """The faces of one frame, before it is known whose they are."""

    frame: Frame
    meshes: list[Mesh]
    cut: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What one frame showed."""

    frame_index: int
    time_s: float
    segment: int
    faces: tuple[Face, ...]
    cut: bool  # this frame begins a new shot or a new segment
    ended_tracks: tuple[int, ...]  # tracks that are over since the frame before; their person is decided


class Follower:
    """`landmarks` replaces the finder that the options ask for (tests, other models)."""

    def __init__(self, options: Faces, people: People, landmarks: LandmarkFinder | None = None) -> None:
        self._landmarks = landmarks if landmarks is not None else open_landmarks(options)
        self._tracker = Tracker(options.lost_s)
        self._cuts = CutDetector(options.scene_cut)
        self._judge = QualityJudge(options)
        self._people = people
        self._lost_s = options.lost_s
        self._segment: int | None = None  # of the last frame looked at
        self._time_s: float | None = None  # of the last frame followed

    @property
    def merges(self) -> list[dict[str, Any]]:
        """Names that later turned out to be one person, see People."""
        return self._people.merges

    def seed(self, next_track: int) -> None:
        """Before the first frame of a resumed run: its tracks are numbered from here."""
        if self._segment is not None:
            raise ValueError("seed() comes before the first frame")
        self._tracker = Tracker(self._lost_s, next_track)

    def push(self, frame: Frame) -> Seen:
        return self.follow(self.look(frame))

    def look(self, frame: Frame) -> Looked:
        """Whether the frame begins a new shot, and the landmarks of its faces."""
        cut = self._is_new_shot(frame)
        if cut:
            self._landmarks.reset()
        return Looked(frame, self._landmarks.find(frame), cut)

    def follow(self, looked: Looked) -> Seen:
        """Whose faces they are, with pose and quality. Frames come in the order in which they were looked at."""
        frame, meshes = looked.frame, looked.meshes
        ended = self._end_shot() if looked.cut else []
        self._time_s = frame.time_s
        tracks, lost = self._tracker.update(frame.time_s, [mesh.points for mesh in meshes])
        self._end(lost, frame.time_s)
        height, width = frame.image.shape[:2]
        faces = []
        for track, mesh in zip(tracks, meshes, strict=True):
            pose = head_pose(mesh.points, width, height)
            quality = self._judge.judge(track, frame.time_s, frame.image, mesh.points, pose, mesh.score)
            faces.append(Face(track, UNKNOWN, _box(mesh.points), mesh.points, pose, quality, mesh.score))
        self._people.see(frame.time_s, [(f.track, frame.image, f.landmarks, f.quality) for f in faces])
        named = tuple(_named(face, self._people.person_of(face.track) or UNKNOWN) for face in faces)
        return Seen(frame.index, frame.time_s, frame.segment, named, looked.cut, (*ended, *lost))

    def person_of(self, track: int) -> str | None:
        """None = undecided yet, "" = over and unknown."""
        return self._people.person_of(track)

    def flush(self) -> tuple[int, ...]:
        """Ends all tracks: after this every track is decided. Returns those that were alive."""
        return tuple(self._end_shot())

    def close(self) -> None:
        self._landmarks.close()

    def _is_new_shot(self, frame: Frame) -> bool:
        reconnected = self._segment is not None and frame.segment != self._segment
        self._segment = frame.segment
        if reconnected:
            self._cuts.reset()
        return self._cuts.is_cut(frame.image, frame.time_s) or reconnected

    def _end_shot(self) -> list[int]:
        ended = self._tracker.end_all()
        self._end(ended, self._time_s or 0.0)
        return ended

    def _end(self, tracks: list[int], time_s: float) -> None:
        if tracks:
            self._people.end(tracks, time_s)
            for track in tracks:
                self._judge.forget(track)


def _box(points: np.ndarray) -> Box:
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return Box(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))


def _named(face: Face, person: str) -> Face:
    return Face(face.track, person, face.box, face.landmarks, face.pose, face.quality, face.confidence)
