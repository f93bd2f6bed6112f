"""ExpLLM's eye: key frames -> what the perception network makes of them, as the projector takes it.

    encoder = Encoder(AUModel.load("perception"), channels)
    looks = encoder.look([{"onset": picture, "apex": picture, "offset": picture}, ...])

A job brings pictures without landmarks, so the face is found again here (MediaPipe's mesh, once for each picture).
Where no face is found, or the picture is missing, `seen` is 0 and the language model goes by the evidence table alone;
how often that happened is counted in `unseen`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from streamfer.action_units.model import AUModel, Encoded
from streamfer.expllm.looks import CELLS, EARLY, REGIONS, ArrayLooks, Channels, pooled
from streamfer.faces.align import align, transform
from streamfer.screening.flow import REGION_POINTS

if TYPE_CHECKING:
    from streamfer.expllm.model import Looks, ModelSize
    from streamfer.faces.landmarks import LandmarkFinder

_SIDED = ("brow_inner", "brow_outer", "lid_upper", "lid_lower", "nose_wing", "cheek", "mouth_corner")
LOCAL: tuple[tuple[int, ...], ...] = (
    *(REGION_POINTS[f"{name}_{side}"] for name in _SIDED for side in "LR"),
    (*REGION_POINTS["lip_upper"], *REGION_POINTS["lip_lower"]), REGION_POINTS["chin"],
)  # fmt: skip
"""Landmarks around which the 16 local regions lie: brows 4, eyes 4, nose and cheeks 4, mouth and chin 4."""
assert len(LOCAL) == REGIONS


def array_looks(apex: Encoded, onset: Encoded | None, points: np.ndarray) -> ArrayLooks:
    """Of N faces. `points` (N, 16, 2): the local regions of the apex, -1 to 1 over the crop (`local_points`)."""
    cells, early = pooled(apex.features, CELLS), pooled(apex.early, EARLY)
    return ArrayLooks(
        apex=cells,
        change=cells - pooled(onset.features, CELLS) if onset else np.zeros_like(cells),
        embedding=np.asarray(apex.embedding, np.float32),
        early=early,
        early_change=early - pooled(onset.early, EARLY) if onset else np.zeros_like(early),
        points=np.asarray(points, np.float32),
        seen=np.ones(len(early), np.float32),
    )


def looks_of(apex: Encoded, onset: Encoded | None, points: np.ndarray) -> Looks:
    """The same as tensors, for training."""
    from streamfer.expllm.model import Looks

    return Looks.of(array_looks(apex, onset, points))


def local_points(landmarks: np.ndarray, crop_px: int) -> np.ndarray:
    """Landmarks (N, 478, >=2) in px of the crop -> (N, 16, 2), -1 to 1. NaN, where no mesh was found, becomes 0."""
    found = np.stack([landmarks[:, list(rows), :2].mean(axis=1) for rows in LOCAL], axis=1)
    return np.nan_to_num(found / crop_px * 2 - 1).astype(np.float32)


def open_finder() -> LandmarkFinder:
    """Of one face a picture. MediaPipe's start-up, which can be had beside other work."""
    from streamfer.config import Faces
    from streamfer.faces.landmarks import FaceMesh

    return FaceMesh(Faces(max_faces=1))


class Encoder:
    """The vision encoder with a face finder of its own. Not thread-safe."""

    def __init__(self, model: AUModel, size: Channels | ModelSize, finder: LandmarkFinder | None = None) -> None:
        """`finder` is one of `open_finder`, when there is one already."""
        self.model, self.size = model, Channels(size.features, size.early, size.embedding)
        self.unseen = 0
        self.source = model.source
        self._finder = finder or open_finder()
        self._frames = 0

    def close(self) -> None:
        self._finder.close()

    def see(self, images: Sequence[Mapping[str, np.ndarray]]) -> ArrayLooks:
        """What is seen of each job's `onset` and `apex` picture, (H, W, 3) uint8 RGB."""
        return ArrayLooks.joined([self._one(pictures) for pictures in images])

    def look(self, images: Sequence[Mapping[str, np.ndarray]]) -> Looks:
        """The same as tensors."""
        from streamfer.expllm.model import Looks

        return Looks.of(self.see(images))

    def _one(self, pictures: Mapping[str, np.ndarray]) -> ArrayLooks:
        apex = self._face(pictures.get("apex"))
        if apex is None:
            self.unseen += 1
            return ArrayLooks.none(1, self.size)
        onset = self._face(pictures.get("onset"))
        return array_looks(apex[0], onset[0] if onset else None, apex[1])

    def _face(self, picture: np.ndarray | None) -> tuple[Encoded, np.ndarray] | None:
        from streamfer.records import Frame

        if picture is None:
            return None
        self._finder.reset()
        points = None
        for _ in range(2):  # the first mesh is placed by the detector: look again as tracking would
            found = self._finder.find(Frame(self._frames, self._frames / 25, picture))
            self._frames += 1
            if not found:
                return None
            points = found[0].points
        assert points is not None
        crop = self.model.crop_input
        aligned, matrix = align(picture, points, crop.size_px, crop.ied_px)
        encoded = self.model.encode([points], [aligned])
        return encoded, local_points(transform(points, matrix)[None], crop.size_px)
