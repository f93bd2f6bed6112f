"""Joins the faces of successive frames to tracks: one page, all times in seconds.

A track is one continuous presence of a face. Promise: ids count from 1 and are never used again, two faces of one
frame never share an id, and nothing is counted in frames, so variable frame rates and dropped frames change nothing.
It does not know who somebody is (people.py), nor does it look at pixels.

The shape of `update` follows norfair's `Tracker.update` (BSD-3): remove the stale, predict, match, create. The cost
of a pair is half box overlap, half landmark distance; the assignment is Hungarian (scipy). A Kalman filter is not
needed: at 15 fps and more a face moves little between frames, so a smoothed velocity carries it over short gaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_COST = 0.75
"""Above this a face is not the continuation of a track: boxes apart *and* landmarks half a face width away."""
EVERY = 6
"""Of so many landmarks one is compared: 80 of 478 place a face as well, in a third of the time."""
FORGET_SPEED_S = 0.1
"""Time constant of the velocity: long enough to average landmark noise, short enough to follow a nod."""


@dataclass(slots=True)
class _Track:
    id: int
    points: np.ndarray  # (n, 2) where it was last seen
    seen_s: float
    speed: np.ndarray  # (2,) px/s

    def at(self, time_s: float) -> np.ndarray:
        return self.points + self.speed * (time_s - self.seen_s)

    def follow(self, points: np.ndarray, time_s: float) -> None:
        step_s = time_s - self.seen_s
        measured = (points.mean(axis=0) - self.points.mean(axis=0)) / step_s
        self.speed = self.speed + (measured - self.speed) * min(1.0, step_s / FORGET_SPEED_S)
        self.points, self.seen_s = points, time_s


class Tracker:
    """`lost_s`: a track survives this long without its face."""

    def __init__(self, lost_s: float, next_track: int = 1) -> None:
        if lost_s < 0:
            raise ValueError(f"lost_s must be 0 or more, not {lost_s}")
        self._lost_s = lost_s
        self._next = next_track
        self._tracks: list[_Track] = []

    @property
    def alive(self) -> tuple[int, ...]:
        return tuple(track.id for track in self._tracks)

    def update(self, time_s: float, faces: list[np.ndarray]) -> tuple[list[int], list[int]]:
        """The track of each face ((n, 2) or (n, 3) landmarks, in pixels), and the tracks that have ended.

        `time_s` must grow. A track ends when more than `lost_s` has passed since its face was seen.
        """
        shapes = [face[::EVERY, :2].astype(np.float64) for face in faces]

        # 1. tracks not seen for too long are over
        ended = [track.id for track in self._tracks if time_s - track.seen_s > self._lost_s]
        self._tracks = [track for track in self._tracks if track.id not in ended]

        # 2. where the others should be by now, and which face fits which best
        ids = [0] * len(shapes)
        for t, f in self._match([track.at(time_s) for track in self._tracks], shapes):
            self._tracks[t].follow(shapes[f], time_s)
            ids[f] = self._tracks[t].id

        # 3. a face without a track begins one
        for f, shape in enumerate(shapes):
            if not ids[f]:
                ids[f] = self._next
                self._tracks.append(_Track(self._next, shape, time_s, np.zeros(2)))
                self._next += 1
        return ids, ended

    def end_all(self) -> list[int]:
        """Ends every track (scene cut, reconnect, end of the source) and names them."""
        ended = [track.id for track in self._tracks]
        self._tracks = []
        return ended

    @staticmethod
    def _match(expected: list[np.ndarray], shapes: list[np.ndarray]) -> list[tuple[int, int]]:
        if not expected or not shapes:
            return []
        costs = np.array([[pair_cost(a, b) for b in shapes] for a in expected])
        if costs.size == 1:  # one face, one track: nearly every frame of nearly every video
            return [(0, 0)] if costs[0, 0] <= MAX_COST else []
        from scipy.optimize import linear_sum_assignment

        # a pair beyond the gate must not win just because its row has nothing better
        rows, columns = linear_sum_assignment(np.where(costs <= MAX_COST, costs, 10.0))
        return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if costs[r, c] <= MAX_COST]


def pair_cost(a: np.ndarray, b: np.ndarray) -> float:
    """0 the same place ... 1 nothing in common: half 1 - IoU of the boxes, half landmark distance in face widths."""
    low_a, high_a, low_b, high_b = a.min(axis=0), a.max(axis=0), b.min(axis=0), b.max(axis=0)
    size_a, size_b = high_a - low_a, high_b - low_b
    overlap = np.prod(np.clip(np.minimum(high_a, high_b) - np.maximum(low_a, low_b), 0, None))
    union = np.prod(size_a) + np.prod(size_b) - overlap
    distance = np.hypot(*(a - b).T).mean() / max(size_a.max(), size_b.max(), 1e-9)
    return float(0.5 * (1 - overlap / max(union, 1e-9)) + 0.5 * min(1.0, distance))
