"""Frames that coders labelled, as a source of truth for the skin's AU reading: DISFA, BP4D, FEAFA+ (datasets/stills.py).

    crops, truth = labelled(AUData("disfa", Path("/data/DISFA"), fold=1), cache=Path("cache"))    # (N, 72, 72), (N, K)

Crops are cut as everywhere (face_crops.crop_of), landmarks found by the product's finder; frames without a face are left out.
`truth` holds intensities 0-5 in the order of COLUMNS, NaN where nothing was coded, and NaN teaches nothing. An AU coded for the
whole face teaches both sides. What was only coded as there or not has no intensity and teaches nothing here, except that an AU
coded as absent is 0.

With `fold` the people tested in it are left out, so that `evaluate aus --fold` is fair. Videos change slowly: every `step`-th frame.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamfer.action_units import facs
from streamfer.datasets import stills
from streamfer.datasets.stills import Still
from streamfer.errors import UsageError
from streamfer.training import face_crops
from streamfer.training.face_crops import LANDMARKS, STORED_PX, FaceCrops
from streamfer.training.landmark_au import COLUMNS
from streamfer.training.still_faces import faces

log = logging.getLogger(__name__)

STEP = 5
"""At 20-25 frames a second neighbours show the same."""


@dataclass(frozen=True, slots=True)
class AUData:
    """One data set to learn from."""

    name: str
    path: Path
    fold: int | None = None  # its people are left out
    step: int = STEP

    @property
    def said(self) -> str:
        """What settings and metadata call it."""
        return f"{self.name}{f' without fold {self.fold}' if self.fold else ''}, one frame of {self.step}"


def labelled(data: AUData, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Crops (N, STORED_PX, STORED_PX) uint8 and truth (N, K) float32. Raises UsageError for a data set without AUs."""
    own = stills.known(data.name)
    if own not in stills.CODED:
        raise UsageError(f"--au-data {data.name}: has no action units; known are {', '.join(stills.CODED)}")
    found = stills.load(own, data.path)
    rows = tuple(s for s in found.part(step=data.step) if data.fold is None or s.fold != data.fold)
    if data.fold is not None and not any(s.fold == data.fold for s in found.stills):
        raise UsageError(f"--au-fold {data.fold}: {own} has no such fold")
    # named by what is in it: another copy of the data set, or one with more people, is another cache
    name = f"{own}-{data.step}-{data.fold or 0}-{len(rows)}-crops.npz"
    crops = face_crops.cached(cache / name, lambda: cut(rows))
    if not len(crops):
        raise UsageError(f"{data.path}: no face was found in any of {len(rows)} frames of {own}")
    log.info("%s: a face in %d of %d frames", data.said, len(crops), len(rows))
    return crops.crops, truth([rows[i] for i in crops.index])


def cut(rows: Sequence[Still]) -> FaceCrops:
    """Aligned crops of the stills in which a face is found; `index` says which."""
    kept: list[tuple[np.ndarray, np.ndarray, int]] = []
    for face in faces(rows):
        if face.picture is not None and face.landmarks is not None:
            crop, points, _ = face_crops.crop_of(face.picture, face.landmarks)
            kept.append((crop, points, face.row))
    if not kept:
        empty = np.zeros((0, STORED_PX, STORED_PX), np.uint8)
        return FaceCrops(empty, np.zeros((0, LANDMARKS, 3), np.float32), np.zeros(0, bool), np.zeros(0, int))
    crops, points_, index = zip(*kept, strict=True)
    return FaceCrops(np.stack(crops), np.stack(points_), np.ones(len(kept), bool), np.array(index))


def truth(rows: Sequence[Still]) -> np.ndarray:
    """(N, K), NaN where an AU was not coded."""
    names = [(column, facs.column(facs.parse(column)[0])) for column in COLUMNS]
    return np.array([[_value(s, *pair) for pair in names] for s in rows], np.float32).reshape(len(rows), len(COLUMNS))


def _value(still: Still, column: str, whole: str) -> float:
    aus: Mapping[str, float] = still.aus or {}
    present: Mapping[str, bool] = still.present or {}
    for name in (column, whole):
        if name in aus:
            return aus[name]
    return 0.0 if present.get(column, present.get(whole)) is False else float("nan")
