"""Who is who: joins tracks of one person across occlusion, leaving and shot cuts.

Rules (what each is for is in Barquero et al., arXiv 2107.13273, and in Frigate's and norfair's practice):

* **Lazy.** An embedding costs 55 ms. None is made while a track can only be a new person: the first of a source, or
  one that was seen together with everybody known.
* **Tentative.** A track must live `TENTATIVE_S` with `MIN_CROPS` good faces before it is decided. At
  `people_decide_s` after its first usable face (or later, once there are as many good ones) doubt ends. A track that
  is over earlier joins a clear match, or is the person of a gallery that has none yet, or stays unknown: person "".
* **Margin.** It joins the nearest person within `people_distance`, but only if the second nearest is further by
  `people_margin`. In doubt it waits for better faces, and at the deadline it becomes a new person.
* **Cannot-link.** Faces of one frame are different people.
* **Never rewritten.** Better faces later may show that two names are one person: that is recorded in `merges`, as
  {"person", "into", "time_s", "distance"}; names already given stay.

A track whose face was never usable stays unknown. Identity is appearance only: twins, heavy make-up and masks fail.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from streamfer.faces.embedding import DlibEmbedder, face_chip
from streamfer.faces.gallery import KEEP, Crop, Embed, Gallery, distance
from streamfer.records import Quality

if TYPE_CHECKING:
    from streamfer.config import Faces

MIN_CROPS = 3
TENTATIVE_S = 0.4
CROP_EVERY_S, CROP_LATER_S = 0.12, 2.0  # spread in time: while undecided, and afterwards
UNKNOWN = ""


@dataclass(slots=True)
class _Candidate:
    """A track on its way to a person."""

    track: int
    usable_s: float  # time of its first usable face
    crops: list[Crop] = field(default_factory=list)
    taken_s: float = -math.inf
    tried: int = 0  # crops at the last try: without new ones there is nothing new to say


class People:
    """One for each source. `gallery` may be shared with other sources (--same-people) or come from a saved run."""

    def __init__(self, options: Faces, gallery: Gallery | None = None, embed: Embed | None = None) -> None:
        self._options = options
        self.gallery = gallery if gallery is not None else Gallery()
        self.embed: Embed = embed if embed is not None else DlibEmbedder()
        self._person: dict[int, str] = {}  # decided tracks that are alive or named since the last `forget`
        self._candidates: dict[int, _Candidate] = {}
        self._apart: dict[int, set[int]] = {}  # track -> tracks seen together with it
        self._tracks_of: dict[str, set[int]] = {}  # name -> its tracks in this source
        self._collecting: dict[int, _Candidate] = {}

    @property
    def merges(self) -> list[dict[str, Any]]:
        return self.gallery.merges

    def person_of(self, track: int) -> str | None:
        """None while undecided, "" when it ended unknown."""
        return self._person.get(track)

    def see(self, time_s: float, faces: Iterable[tuple[int, np.ndarray, np.ndarray, Quality]]) -> None:
        """The faces of one frame: (track, image, landmarks (478, 3), quality) each. Decides what can be decided."""
        faces = list(faces)
        if not self._options.people:
            for track, *_ in faces:
                self._person.setdefault(track, f"P{track}")
            return
        tracks = {track for track, *_ in faces}
        for track in tracks:
            self._apart.setdefault(track, set()).update(tracks - {track})
        for track, image, landmarks, quality in faces:
            if quality.usable:
                self._collect(track, time_s, image, landmarks, quality)
        self._decide([c for c in self._candidates.values() if c.track in tracks and self._ready(c, time_s)], time_s)

    def end(self, tracks: Iterable[int], time_s: float) -> None:
        """These tracks are over: whoever is undecided is decided now."""
        tracks = list(tracks)
        over = [self._candidates[t] for t in tracks if t in self._candidates]
        full = [c for c in over if len(c.crops) >= MIN_CROPS and time_s - c.usable_s >= TENTATIVE_S]
        self._decide(full, time_s, last=True)
        for candidate in over:
            if candidate.track not in self._person:
                self._give(candidate, self._short(candidate))
        for track in tracks:
            if self._person.setdefault(track, UNKNOWN):
                self._look_for_merge(self._person[track], time_s)
            self._collecting.pop(track, None)

    # ------------------------------------------------------------------------------------ evidence

    def _collect(self, track: int, time_s: float, image: np.ndarray, landmarks: np.ndarray, quality: Quality) -> None:
        if track not in self._collecting:
            fresh = _Candidate(track, time_s)
            self._collecting[track] = fresh
            if track not in self._person:
                self._candidates[track] = fresh
        own = self._collecting[track]
        score = crop_score(quality)
        person = self._person.get(track)
        kept = self.gallery.people[person] if person else own.crops
        if time_s - own.taken_s < (CROP_LATER_S if person else CROP_EVERY_S):
            return
        if len(kept) >= KEEP and score <= 1.05 * kept[-1].score:
            return
        own.taken_s = time_s
        crop = Crop(score, time_s, face_chip(image, landmarks))
        if person:
            self.gallery.add(person, crop)
        else:
            own.crops = sorted([*own.crops, crop], key=lambda c: -c.score)[:KEEP]
            own.tried = min(own.tried, len(own.crops) - 1)

    def _ready(self, candidate: _Candidate, time_s: float) -> bool:
        life_s = time_s - candidate.usable_s
        if len(candidate.crops) < MIN_CROPS or life_s < TENTATIVE_S:
            return False
        return len(candidate.crops) > candidate.tried or life_s >= self._options.people_decide_s

    # ------------------------------------------------------------------------------------ decisions

    def _decide(self, candidates: list[_Candidate], time_s: float, last: bool = False) -> None:
        """Nearest first: of two new faces the one that is closer to somebody has the better claim."""
        waiting = {c.track: c for c in candidates}
        while waiting:
            ranked = {track: self._rank(c) for track, c in waiting.items()}
            track = min(ranked, key=lambda t: (ranked[t][0][0] if ranked[t] else math.inf, t))
            candidate, near = waiting.pop(track), ranked[track]
            due = last or time_s - candidate.usable_s >= self._options.people_decide_s
            match = self._clear_match(near, self._options.people_distance)
            nobody = not near or near[0][0] > self._options.people_distance + self._options.people_margin
            if match:
                self._give(candidate, match)
            elif nobody or due:
                self._give(candidate, self.gallery.new_person())
            else:
                candidate.tried = len(candidate.crops)

    def _short(self, candidate: _Candidate) -> str:
        """A track that was over before it could be confirmed: only a clear match, or a clip that holds no more."""
        near = self._rank(candidate)
        if not near:
            alone = not self.gallery.people
            return self.gallery.new_person() if alone or len(candidate.crops) >= MIN_CROPS else UNKNOWN
        strict = self._options.people_distance - self._options.people_margin
        return self._clear_match(near, strict) or UNKNOWN

    def _rank(self, candidate: _Candidate) -> list[tuple[float, str]]:
        """(distance, person) of everybody whom this track can be, nearest first."""
        others = self._apart.get(candidate.track, set())
        roots = dict.fromkeys(self.gallery.root(name) for name in self.gallery.people)
        possible = [root for root in roots if not (others & self._tracks_under(root))]
        return sorted((distance(candidate.crops, self.gallery.crops(root), self.embed), root) for root in possible)

    def _clear_match(self, near: list[tuple[float, str]], limit: float) -> str:
        if not near or near[0][0] > limit:
            return ""
        clear = len(near) == 1 or near[1][0] - near[0][0] >= self._options.people_margin
        return near[0][1] if clear else ""

    def _give(self, candidate: _Candidate, person: str) -> None:
        self._person[candidate.track] = person
        self._candidates.pop(candidate.track, None)
        if person:
            self._tracks_of.setdefault(person, set()).add(candidate.track)
            for crop in candidate.crops:
                self.gallery.add(person, crop)
        candidate.crops = []

    def _look_for_merge(self, name: str, time_s: float) -> None:
        """Whether the person of a track that ended is, with all its faces, clearly somebody known already."""
        root = self.gallery.root(name)
        own = self._tracks_under(root)
        apart = set().union(*(self._apart.get(track, set()) for track in own))
        roots = dict.fromkeys(self.gallery.root(other) for other in self.gallery.people)
        others = [r for r in roots if r != root and not (apart & self._tracks_under(r))]
        near = sorted((distance(self.gallery.crops(root), self.gallery.crops(r), self.embed), r) for r in others)
        match = self._clear_match(near, self._options.people_distance - self._options.people_margin)
        if match:
            person, into = sorted((root, match), key=lambda n: -int(n[1:]))
            found = {"person": person, "into": into, "time_s": round(time_s, 6), "distance": round(near[0][0], 4)}
            self.gallery.merges.append(found)

    def _tracks_under(self, root: str) -> set[int]:
        return set().union(*(own for name, own in self._tracks_of.items() if self.gallery.root(name) == root))


def crop_score(quality: Quality) -> float:
    """0-1: how well a face shows who it is. Large, sharp, frontal and free; each saturates where it stops to help."""
    size, sharp = min(1.0, quality.size_px / 150), min(1.0, quality.sharpness / 60)
    return size * sharp * math.cos(math.radians(min(90.0, abs(quality.yaw_deg)))) ** 2 * (1 - quality.occlusion)
