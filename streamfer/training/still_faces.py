"""The face of each still of a data set: its picture, and the landmarks that the product's own finder sees in it.

    for face in faces(found.part("test")):
        face.picture, face.landmarks          # None where the picture cannot be read, or no mesh is found

Photographs that are cut close to the face (FER+ 48 px, RAF-DB 100 px) are enlarged and framed first, as teacher.enlarged does for
FER2013: the detector wants some room around a face. Frames of one video are tracked like any video; single pictures are looked at
twice, because the first look is placed by the detector and the second one by the landmarks, as tracking would.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from streamfer.config import Faces
from streamfer.datasets.still_pictures import pictures
from streamfer.datasets.stills import Still
from streamfer.faces.align import align, warp
from streamfer.faces.landmarks import FaceMesh
from streamfer.records import Frame
from streamfer.training.face_crops import CROP_PX, USUAL_PLACE

log = logging.getLogger(__name__)

_CLOSE_PX, _FRAMED = 240, 0.25
"""Pictures smaller than this are enlarged to it; the frame around them is this share of a side."""
_FER_PX = 48
_STEP_S = 1 / 25
_LOG_EVERY = 2000


@dataclass(frozen=True, slots=True)
class StillFace:
    """`landmarks` (478, 3) in px of `picture` (H, W, 3), which is what the data set's face box cuts out where it has one."""

    row: int
    picture: np.ndarray | None
    landmarks: np.ndarray | None

    def crop(self, size_px: int, ied_px: float) -> np.ndarray:
        """The aligned crop (size_px, size_px, 3); without landmarks from where a face is in a photograph cut close to it."""
        if self.picture is None:
            raise ValueError("a picture that cannot be read has no crop")
        if self.landmarks is not None:
            return align(self.picture, self.landmarks, size_px, ied_px)[0]
        matrix = USUAL_PLACE * (size_px / CROP_PX)
        matrix[:, :2] *= _FER_PX / min(self.picture.shape[:2])
        return warp(self.picture, matrix, size_px)


def faces(stills: Sequence[Still]) -> Iterator[StillFace]:
    """One for each still, in their order."""
    finder = FaceMesh(Faces(max_faces=1))
    before: Still | None = None
    look = 0
    try:
        for row, picture in pictures(stills):
            still = stills[row]
            follows = before is not None and before.path == still.path and _is_video(still)
            if not follows:
                finder.reset()
            points = None
            if picture is not None:
                picture = _boxed(picture, still.box)
                framed, factor, border = _framed(picture)
                for _ in range(1 if follows else 2):
                    found = finder.find(Frame(look, look * _STEP_S, framed))
                    look += 1
                    if not found:
                        break
                if found:
                    points = found[0].points.copy()
                    points[:, :2] -= border
                    points /= factor
            yield StillFace(row, picture, points)
            before = still
            if row % _LOG_EVERY == _LOG_EVERY - 1:
                log.info("%d of %d pictures", row + 1, len(stills))
    finally:
        finder.close()


def _is_video(still: Still) -> bool:
    return still.frame is not None and still.path.suffix.lower() not in (".npz", ".csv")


def _boxed(picture: np.ndarray, box: tuple[int, int, int, int] | None) -> np.ndarray:
    """The box with a quarter of its sides around it, as far as the picture goes; all of it when the box lies outside."""
    if box is None:
        return picture
    x, y, width, height = box
    dx, dy = round(width * _FRAMED), round(height * _FRAMED)
    part = picture[max(0, y - dy) : y + height + dy, max(0, x - dx) : x + width + dx]
    return np.ascontiguousarray(part) if min(part.shape[:2]) >= 8 else picture


def _framed(picture: np.ndarray) -> tuple[np.ndarray, float, int]:
    """What the finder is shown, how much it is enlarged, and the border in px around it."""
    import cv2

    side = min(picture.shape[:2])
    factor = max(1.0, _CLOSE_PX / side)
    border = round(_FRAMED * side * factor) if side < _CLOSE_PX else 0
    if not border:
        return picture, 1.0, 0
    large = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return cv2.copyMakeBorder(large, border, border, border, border, cv2.BORDER_REPLICATE), factor, border
