"""Aligned grey crops with landmarks, from every source that the perception network learns from; kept as npz.

    faces = fer_faces(Path("ferplus_train_a.npz"))         # FER+: 48 px photographs, ten votes each
    faces = render_faces(Path("ict_facekit.npz"), seed=11)  # ICT-FaceKit renders, exact unit weights
    faces = clip_faces(Path("clip.mp4"))                    # frames of a video

A crop is stored with a margin (`STORED_PX`, the product's is `CROP_PX`), so that training can turn, scale and shift it without
meeting its border. The eyes lie where `faces.align.align` puts them, moved by the margin. Photographs in which no mesh is
found are kept: they get the mean place of the others, and `found` is False.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamfer.config import Faces
from streamfer.errors import UsageError
from streamfer.faces.align import align, transform, warp
from streamfer.faces.landmarks import FaceMesh
from streamfer.records import Frame

log = logging.getLogger(__name__)

CROP_PX, IED_PX = 56, 14.0
"""What the network is shown: FER+'s faces have 40-48 px over the same width, so more would be empty enlargement."""
MARGIN_PX = 8
STORED_PX = CROP_PX + 2 * MARGIN_PX
LANDMARKS = 478
_ENLARGED, _FRAME_PX = 5, 60  # teacher.enlarged: 48 px -> 240 px in a frame of 60 px


@dataclass(frozen=True, slots=True)
class FaceCrops:
    """N faces. `landmarks` are in px of the product's crop (0-CROP_PX), NaN where no mesh was found."""

    crops: np.ndarray  # (N, STORED_PX, STORED_PX) uint8 grey
    landmarks: np.ndarray  # (N, 478, 3) float32
    found: np.ndarray  # (N,) bool
    index: np.ndarray  # (N,) which of the pictures given

    def __len__(self) -> int:
        return len(self.crops)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(part, **{name: getattr(self, name) for name in self.__slots__})
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> FaceCrops:
        with np.load(path, allow_pickle=False) as data:
            return cls(*(data[name] for name in cls.__slots__))

    def take(self, rows: np.ndarray) -> FaceCrops:
        return FaceCrops(self.crops[rows], self.landmarks[rows], self.found[rows], self.index[rows])


def joined(parts: Iterable[FaceCrops]) -> FaceCrops:
    parts = list(parts)
    return FaceCrops(*(np.concatenate([getattr(p, name) for p in parts]) for name in FaceCrops.__slots__))


def cached(path: Path, make: Callable[[], FaceCrops]) -> FaceCrops:
    """What `path` holds, made first when it is not there."""
    if not path.exists():
        log.info("making %s", path.name)
        make().save(path)
    return FaceCrops.load(path)


def crop_of(image: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The stored crop, the landmarks in px of the product's crop, and the (2, 3) map image -> product's crop.

    `image` is (H, W) or (H, W, 3) uint8, `landmarks` (478, 3) in its pixels.
    """
    _, matrix = align(image[:1, :1], landmarks, CROP_PX, IED_PX)  # the map alone: the crop is cut larger below
    return _cut(image, matrix), transform(landmarks, matrix), matrix


def _cut(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    moved = matrix.copy()
    moved[:, 2] += MARGIN_PX
    return grey(warp(image, moved, STORED_PX))


def grey(image: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of RGB or grey; the network's graph does the same with its three channels."""
    if image.ndim == 2:
        return image
    return np.clip(image @ np.array(GREY, np.float32) + 0.5, 0, 255).astype(np.uint8)


GREY = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as OpenCV and PIL make grey."""


def photo_faces(images: np.ndarray) -> FaceCrops:
    """Faces of small grey photographs (N, 48, 48) uint8 that each show one face, as FER2013's."""
    from streamfer.training.teacher import enlarged

    finder = FaceMesh(Faces(max_faces=1))
    points = np.full((len(images), LANDMARKS, 3), np.nan, np.float32)
    for i, picture in enumerate(enlarged(images)):
        finder.reset()
        found = finder.find(Frame(2 * i, 2 * i / 25, picture))
        if found:  # the first one is placed by the detector: look again as tracking would
            found = finder.find(Frame(2 * i + 1, (2 * i + 1) / 25, picture))
        if found:
            points[i] = found[0].points
            points[i, :, :2] -= _FRAME_PX
            points[i] /= _ENLARGED
        if i % 2000 == 1999:
            log.info("%d of %d photographs", i + 1, len(images))
    finder.close()
    return photo_crops(images, points)


def photo_crops(images: np.ndarray, points: np.ndarray) -> FaceCrops:
    """As `photo_faces`, with known landmarks (N, 478, 3) in px of the photographs, NaN where there are none."""
    found = np.isfinite(points).all(axis=(1, 2))
    crops = np.zeros((len(images), STORED_PX, STORED_PX), np.uint8)
    landmarks = np.full_like(points, np.nan)
    matrices = []
    for i in np.flatnonzero(found):
        crops[i], landmarks[i], matrix = crop_of(images[i], points[i])
        matrices.append(matrix)
    usual = np.median(matrices, axis=0) if matrices else USUAL_PLACE
    for i in np.flatnonzero(~found):
        crops[i] = _cut(images[i], usual)
    return FaceCrops(crops, landmarks, found, np.arange(len(images)))


USUAL_PLACE = np.array([[1.27, 0.0, -2.5], [0.0, 1.27, -2.5]])
"""FER2013 photograph -> crop, for a batch in which no mesh is found at all: about the median over FER+."""


def fer_faces(path: Path, rows: slice = slice(None)) -> FaceCrops:
    """All photographs of a FER+ npz: `images` (N, 48, 48) uint8."""
    if not path.is_file():
        raise UsageError(f"FER+ file {path} is not there: give an npz with images (N, 48, 48) and votes (N, 10)")
    with np.load(path, allow_pickle=False) as data:
        images = data["images"][rows]
    return photo_faces(images)


def render_faces(ict: Path, seed: int, people: int, views: int, expressions: int, renders: Path) -> FaceCrops:
    """The pictures of `renders.make_renders`, whose numbers go to `renders` in the same order."""
    from streamfer.training.renders import Renders, make_renders

    pictures: list[np.ndarray] = []
    made = make_renders(ict, people, views, expressions, seed, lambda picture: pictures.append(grey(picture)))
    cut = [crop_of(picture, points) for picture, points in zip(pictures, made.landmarks, strict=True)]
    renders.parent.mkdir(parents=True, exist_ok=True)
    part = renders.with_suffix(".part.npz")
    made.save(part)
    part.replace(renders)
    assert isinstance(made, Renders)
    n = len(cut)
    return FaceCrops(np.stack([c[0] for c in cut]), np.stack([c[1] for c in cut]), np.ones(n, bool), np.arange(n))


def clip_faces(clip: Path, step: int = 1) -> FaceCrops:
    """Every `step`-th frame of a video with one person, those with a face."""
    from streamfer.training.teacher import video_frames

    return frame_faces(video_frames(clip, step))


def frame_faces(images: Iterable[np.ndarray]) -> FaceCrops:
    """Consecutive frames (H, W, 3) of one shot, those with a face; `index` says which."""
    finder = FaceMesh(Faces(max_faces=1))
    rows: list[tuple[np.ndarray, np.ndarray, int]] = []
    for number, image in enumerate(images):
        found = finder.find(Frame(number, number / 25, image))
        if found:
            crop, landmarks, _ = crop_of(image, found[0].points)
            rows.append((crop, landmarks, number))
    finder.close()
    if not rows:
        empty = np.zeros((0, STORED_PX, STORED_PX), np.uint8)
        return FaceCrops(empty, np.zeros((0, LANDMARKS, 3), np.float32), np.zeros(0, bool), np.zeros(0, int))
    crops, landmarks_, index = zip(*rows, strict=True)
    return FaceCrops(np.stack(crops), np.stack(landmarks_), np.ones(len(rows), bool), np.array(index))


def in_batches(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
