"""The people met so far: name -> their best few faces. Shared between files with --same-people, kept for --resume.

Faces are held as chips and embedded only when a distance is asked for. A person's `score`-best `KEEP` faces are
kept, so memory is bounded by the number of people. Names P1, P2 ... are never given twice, nor taken back: a merge
found later is recorded in `merges` and makes both names one person for every later comparison.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from streamfer.errors import OutputError, SourceUnreadable
from streamfer.faces.embedding import MODEL

Embed = Callable[[list[np.ndarray]], np.ndarray]

KEEP = 6  # faces of a person
COMPARE = 3  # faces embedded for one decision: 0.2 s
TOP_PAIRS = 5  # the median of so many smallest distances is the distance of two people


@dataclass(slots=True, eq=False)
class Crop:
    """One good face of somebody. `embedding` (128,) is filled in when it is first needed, and frees the chip."""

    score: float  # 0-1, how good a picture of the face it is
    time_s: float
    chip: np.ndarray | None = None
    embedding: np.ndarray | None = None


@dataclass(slots=True)
class Gallery:
    people: dict[str, list[Crop]] = field(default_factory=dict)
    merges: list[dict[str, Any]] = field(default_factory=list)

    def new_person(self) -> str:
        name = f"P{1 + max((int(known[1:]) for known in self.people), default=0)}"
        self.people[name] = []
        return name

    def add(self, name: str, crop: Crop) -> None:
        crops = self.people[name]
        if all(crop is not known for known in crops):
            crops.append(crop)
            crops.sort(key=lambda c: -c.score)
            del crops[KEEP:]

    def root(self, name: str) -> str:
        """The name under which all merged names of a person are compared."""
        for merge in self.merges:
            if merge["person"] == name:
                return self.root(merge["into"])
        return name

    def crops(self, root: str) -> list[Crop]:
        """The best faces under all names of a person."""
        crops = [crop for name, own in self.people.items() if self.root(name) == root for crop in own]
        return sorted(crops, key=lambda c: -c.score)[:KEEP]

    def to_dict(self) -> dict[str, Any]:
        """As JSON types. A face that was embedded is its 128 numbers; one that was not needed yet is its picture (PNG),
        so that saving costs no embedding."""
        people = {name: [_face_to_dict(crop) for crop in crops] for name, crops in self.people.items()}
        return {"schema": 2, "model": MODEL, "people": people, "merges": self.merges}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Gallery:
        """Raises ValueError when the data are not a gallery of this model."""
        if not isinstance(data, dict) or data.get("schema") != 2 or data.get("model") != MODEL:
            raise ValueError(f"expected schema 2 of model {MODEL}")
        people: dict[str, list[Crop]] = {}
        for name, faces in data["people"].items():
            if not (name.startswith("P") and name[1:].isdigit()):
                raise ValueError(f"'{name}' is no person's name")
            people[name] = [_face_from_dict(name, face) for face in faces]
        return cls(people, [dict(merge) for merge in data.get("merges", [])])

    def save(self, path: Path) -> None:
        """Whole or not at all: written beside `path`, then renamed."""
        part = path.with_suffix(".part")
        try:
            part.write_text(json.dumps(self.to_dict()), encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise OutputError(f"people cannot be written to {path}: {error.strerror or error}") from None

    @classmethod
    def load(cls, path: Path) -> Gallery:
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SourceUnreadable(f"{path} is not a list of people: {error}; delete it to start anew") from None


def _face_to_dict(crop: Crop) -> dict[str, Any]:
    face: dict[str, Any] = {"score": round(crop.score, 4), "time_s": round(crop.time_s, 3)}
    if crop.embedding is not None:
        return face | {"embedding": [round(float(v), 5) for v in crop.embedding]}
    assert crop.chip is not None
    _, png = cv2.imencode(".png", crop.chip)
    return face | {"chip": base64.b64encode(png.tobytes()).decode("ascii")}


def _face_from_dict(name: str, face: dict[str, Any]) -> Crop:
    crop = Crop(float(face["score"]), float(face["time_s"]))
    if "embedding" in face:
        crop.embedding = np.asarray(face["embedding"], np.float32)
        if crop.embedding.shape != (128,):
            raise ValueError(f"an embedding of {name} has {crop.embedding.size} numbers instead of 128")
    else:
        crop.chip = cv2.imdecode(np.frombuffer(base64.b64decode(face["chip"]), np.uint8), cv2.IMREAD_COLOR)
        if crop.chip is None:
            raise ValueError(f"a face of {name} is no picture")
    return crop


def embeddings(crops: list[Crop], embed: Embed) -> np.ndarray:
    """(n, 128) float32; embeds those that are not yet, at once."""
    waiting = [crop for crop in crops if crop.embedding is None]
    if waiting:
        vectors = embed([crop.chip for crop in waiting if crop.chip is not None])
        for crop, vector in zip(waiting, vectors, strict=True):
            crop.embedding, crop.chip = vector, None
    return np.array([crop.embedding for crop in crops], np.float32).reshape(len(crops), -1)


def distance(a: list[Crop], b: list[Crop], embed: Embed) -> float:
    """Between two people, by the best faces of each: the median of the smallest distances. Infinite without faces."""
    if not a or not b:
        return float("inf")
    left, right = embeddings(a[:COMPARE], embed), embeddings(b[:COMPARE], embed)
    pairs = np.sort(np.linalg.norm(left[:, None] - right[None], axis=2).ravel())
    return float(np.median(pairs[:TOP_PAIRS]))
