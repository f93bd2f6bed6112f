"""Real faces for training: landmarks as the product reads them, and MediaPipe's blendshapes as a second teacher.

Renders have exact truth but are no photographs. On real pictures the only free teacher is MediaPipe's own blendshape
network (face_landmarker.task), and only where it is alive: `aliveness` measures on renders with known truth how each
blendshape follows the movement it is named after. Where it does not, it teaches nothing.

A blendshape of 0-1 stands for 0-5, as an ICT weight does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamfer.action_units import facs
from streamfer.config import Faces, Video
from streamfer.errors import UsageError
from streamfer.faces.landmarks import FaceMesh
from streamfer.records import Frame

BLENDSHAPES = 52


@dataclass(frozen=True, slots=True)
class RealFaces:
    """N pictures in which both networks found a face."""

    landmarks: np.ndarray  # (N, 478, 3) float32, pixels
    blendshapes: np.ndarray  # (N, 52) float32
    names: tuple[str, ...]  # of the blendshapes
    index: np.ndarray  # (N,) which of the pictures given
    seen: int  # pictures given

    def save(self, path: Path) -> None:
        np.savez(path, **{name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, path: Path) -> RealFaces:
        with np.load(path) as data:
            return cls(
                data["landmarks"], data["blendshapes"], tuple(map(str, data["names"])), data["index"], int(data["seen"])
            )


def read_faces(images: Iterable[np.ndarray], task: Path, *, tracked: bool = False) -> RealFaces:
    """Landmarks and blendshapes of the first face of every picture. `tracked`: the pictures are frames of one shot."""
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    if not task.is_file():
        raise UsageError(f"face landmark model {task} is not there: training needs a face_landmarker.task")
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(task)), output_face_blendshapes=True, num_faces=1
    )
    finder = FaceMesh(Faces(max_faces=1))
    rows: list[tuple[np.ndarray, list[float], int]] = []
    names: tuple[str, ...] = ()
    seen = 0
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for seen, image in enumerate(images, 1):
            if not tracked:
                finder.reset()
            found = finder.find(Frame(seen, seen / 25, image))
            if found and not tracked:
                found = finder.find(Frame(seen, seen / 25 + 0.01, image))
            if not found:
                continue
            picture = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))
            shapes = landmarker.detect(picture).face_blendshapes
            if not shapes:
                continue
            names = names or tuple(shape.category_name for shape in shapes[0])
            rows.append((found[0].points, [shape.score for shape in shapes[0]], seen - 1))
    finder.close()
    if not rows:
        return RealFaces(np.zeros((0, 478, 3), np.float32), np.zeros((0, BLENDSHAPES)), names, np.zeros(0, int), seen)
    points, shapes_, index = zip(*rows, strict=True)
    return RealFaces(np.stack(points), np.array(shapes_, np.float32), names, np.array(index), seen)


def video_frames(path: Path, step: int) -> Iterator[np.ndarray]:
    """Every `step`-th frame."""
    from streamfer.video import open_video

    with open_video(path, Video()) as source:
        for frame in source:
            if frame.index % step == 0:
                yield frame.image


def enlarged(images: np.ndarray) -> Iterator[np.ndarray]:
    """48 x 48 grey faces (n, 48, 48) as pictures in which a detector finds them."""
    import cv2

    for image in images:
        large = cv2.resize(image, (240, 240), interpolation=cv2.INTER_CUBIC)
        framed = cv2.copyMakeBorder(large, 60, 60, 60, 60, cv2.BORDER_REPLICATE)
        yield cv2.cvtColor(framed, cv2.COLOR_GRAY2RGB)


def teach(columns: tuple[str, ...], faces: Any) -> np.ndarray:
    """What the blendshapes say (N, K), 0-5; NaN where an AU has no counterpart."""
    names = list(faces.names)
    taught = np.full((len(faces.blendshapes), len(columns)), np.nan, np.float32)
    for k, column in enumerate(columns):
        number, side = facs.parse(column)
        shapes = [s for s in facs.UNITS[number].blendshapes if s in names]
        if side != "both":
            ending = {"left": "Right", "right": "Left"}[side]
            shapes = [s for s in shapes if not s.endswith(ending)]
        if shapes:
            taught[:, k] = 5 * faces.blendshapes[:, [names.index(s) for s in shapes]].max(axis=1)
    return taught
