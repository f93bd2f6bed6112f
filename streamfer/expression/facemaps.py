"""What the network looked at in an event's apex picture, and where the event's AUs show: two pictures and their words.

    picture, landmarks = keyframes.apex(event)                      # keyframes.KeyFrames, while the frames are there
    record(folder / "keyframes", event, picture, landmarks, model)  # <id>_cam.png, <id>_cues.png, <id>_maps.json

Only for AU models that give a spatial map (`action_units.model.Seen`): expression probabilities, a feature map, and the
weights of the linear classifier on its average. The CAM is the LayerCAM of the most probable expression (cam.py); the cues are the
regions of the AUs that the event was found by, with their sides (cues.py), not those of the expression's codebook:
what is compared is where the network looked and where something was measured to move.

The words are for those who do not see the pictures, and for the report: which regions the CAM is strongest in, which
share of it lies in no AU's region at all, and the cosine of the two maps. None of it says that the label is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamfer.action_units import facs
from streamfer.errors import PayloadInvalid
from streamfer.expression import cam
from streamfer.expression.cues import GRID, au_heatmap, au_heatmaps, landmarks68
from streamfer.expression.regions import REGIONS
from streamfer.records import FACE_REGIONS, LABELS, SCHEMA, Event, Label, from_json, to_json

if TYPE_CHECKING:
    from streamfer.action_units.model import AUModel, Seen

CAM_FILE, CUES_FILE, WORDS_FILE = "{}_cam.png", "{}_cues.png", "{}_maps.json"

PLACES: tuple[tuple[str, str], ...] = (
    ("AU01_R", "right inner brow"), ("AU01_L", "left inner brow"), ("AU02_R", "right outer brow"),
    ("AU02_L", "left outer brow"), ("AU04", "between the brows"), ("AU07_R", "right eye"), ("AU07_L", "left eye"),
    ("AU06_R", "right cheek"), ("AU06_L", "left cheek"), ("AU09_R", "right side of the nose"),
    ("AU09_L", "left side of the nose"), ("AU12_R", "right mouth corner"), ("AU12_L", "left mouth corner"),
    ("AU26", "mouth"), ("AU17", "chin"),
)  # fmt: skip
"""Regions that stand for a place of the face, and its words; left and right are the person's own."""

_SIZE = 56  # cells along a side of the maps: finer than any network's
_NAMED, _NEAR_BEST = 3, 0.7  # at most so many places are named, each at least this share of the strongest
_CAM_RGB, _CUES_RGB = (0, 114, 178), (0, 158, 115)  # Okabe & Ito: unlike skin, and apart for colour-blind eyes
_MOST_ALPHA = 190  # the face stays visible underneath


@dataclass(frozen=True, slots=True)
class MapWords:
    """What the two pictures show, in words and numbers: the file beside them."""

    event: str
    expression: Label
    probability: float
    method: str
    strongest: tuple[str, ...]  # places, strongest first
    elsewhere: float  # share of the CAM outside of every AU's region, 0-1
    aus: tuple[str, ...]  # shown as cues, such as "AU12_L"; empty when none has a region
    agreement: float | None  # cosine of CAM and cues, 0-1; None without cues
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class FaceMaps:
    """`cam` and `cues` are (56, 56) float32, 0-1, over the aligned crop; `to_picture` (2, 3) maps px of the crop to
    px of the key frame."""

    words: MapWords
    cam: np.ndarray
    cues: np.ndarray
    crop_px: int
    to_picture: np.ndarray


def record(folder: Path, event: Event, picture: np.ndarray, landmarks: np.ndarray, model: AUModel) -> bool:
    """Look at an apex picture (S, S, 3) with its landmarks (478, 3) and write its maps into `folder`, the key frames'.

    False when the model has no spatial map. Raises OSError when the files cannot be written.
    """
    seen = model.look(picture, landmarks)
    if seen is None:
        return False
    folder.mkdir(exist_ok=True)
    write(folder, face_maps(event, seen, landmarks), len(picture))
    return True


def face_maps(event: Event, seen: Seen, landmarks: np.ndarray) -> FaceMaps:
    """The maps of one face. `landmarks` (478, 3) in px of the picture that `seen` is of."""
    import cv2

    from streamfer.faces.align import transform

    crop_px, to_crop = seen.crop_px, seen.to_crop
    best = int(np.argmax(seen.expression))
    small = cam.class_activation(seen.features[None], seen.weights, np.array([best]))
    shown = cam.normalised(cv2.resize(small[0], (_SIZE, _SIZE), interpolation=cv2.INTER_LINEAR))
    points = landmarks68(transform(landmarks, to_crop)[None])
    aus = _columns(event)
    cues = au_heatmap(points, aus, _SIZE, crop_px)[0]
    words = MapWords(
        event=event.id,
        expression=LABELS[best],
        probability=float(seen.expression[best]),
        method="layercam",
        strongest=_strongest(shown, points, crop_px),
        elsewhere=_elsewhere(shown, points, crop_px),
        aus=aus if cues.any() else (),
        agreement=float(cam.cam_cos(shown[None], cues[None])[0]) if cues.any() else None,
    )
    return FaceMaps(words, shown, cues, crop_px, cv2.invertAffineTransform(to_crop))


_OF_REGION: dict[str, tuple[int, ...]] = {
    "brows": (1, 2, 4), "eyes": (5, 7), "nose": (9,), "cheeks": (6,), "mouth": (10, 12, 14, 25, 26), "chin": (17,),
}  # fmt: skip


def looked(seen: Seen, landmarks: np.ndarray) -> tuple[float, ...]:
    """For the record `Expressed`: how strongly the network looked at each of FACE_REGIONS, 0-1.

    The mean of its LayerCAM (of the most probable expression) over the region of the AUs that show there, divided by that
    of the region with the largest mean; all 0 where the map is even. `landmarks` (478, 3) in px of the picture of `seen`.
    """
    from streamfer.faces.align import transform

    points = transform(landmarks, seen.to_crop)[None]
    best = np.array([np.argmax(seen.expression)])
    return looked_at(seen.features[None], seen.weights, best, points, seen.crop_px)[0]


def looked_at(
    features: np.ndarray, weights: np.ndarray, classes: np.ndarray, landmarks: np.ndarray, crop_px: int
) -> list[tuple[float, ...]]:
    """`looked` of N faces at once: features (N, C, h, w), a class for each, landmarks (N, 478, 3) in px of the crop."""
    import cv2

    maps = cam.class_activation(features, weights, classes)
    shown = np.stack([cv2.resize(small, (GRID, GRID), interpolation=cv2.INTER_LINEAR) for small in maps])
    points = landmarks68(landmarks)
    means = np.zeros((len(maps), len(FACE_REGIONS)))
    for k, region in enumerate(FACE_REGIONS):
        inside = au_heatmaps(points, _OF_REGION[region], GRID, crop_px).max(axis=1)
        means[:, k] = (inside * shown).sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1e-6)
    means /= np.maximum(means.max(axis=1, keepdims=True), 1e-6)
    return [tuple(round(float(value), 3) for value in row) for row in means]


def write(folder: Path, maps: FaceMaps, side_px: int) -> None:
    """Two see-through PNGs of `side_px` that lie over the key frame, then the words; nothing reads the one without
    the other, so a run that is killed in between leaves no half a figure."""
    event = maps.words.event
    _draw(folder / CAM_FILE.format(event), maps, maps.cam, _CAM_RGB, side_px)
    if maps.words.aus:
        _draw(folder / CUES_FILE.format(event), maps, maps.cues, _CUES_RGB, side_px)
    part = folder / f".{WORDS_FILE.format(event)}.part"
    part.write_text(to_json(maps.words) + "\n", encoding="utf-8")
    part.replace(folder / WORDS_FILE.format(event))


def read_words(folder: Path, event: Event) -> MapWords | None:
    """The words of an event's maps, None when there are none. Raises PayloadInvalid when the file is damaged."""
    path = folder / WORDS_FILE.format(event.id)
    if not path.exists():
        return None
    try:
        return from_json(MapWords, path.read_bytes())
    except PayloadInvalid as error:
        raise PayloadInvalid(f"{path}: {error}; delete it to have the report without this map") from None


def _columns(event: Event) -> tuple[str, ...]:
    """The event's AUs that have a region, as columns."""
    numbers = [(int(change.au.removeprefix("AU")), change.side) for change in event.aus]
    return tuple(facs.column(au, side if facs.UNITS[au].sided else "both") for au, side in numbers if au in REGIONS)


def _strongest(shown: np.ndarray, points: np.ndarray, crop_px: int) -> tuple[str, ...]:
    inside = au_heatmaps(points, [au for au, _ in PLACES], _SIZE, crop_px)[0]
    area = inside.sum(axis=(1, 2))
    mean = np.divide((inside * shown).sum(axis=(1, 2)), area, out=np.zeros_like(area), where=area > 1)
    order = [i for i in np.argsort(-mean, kind="stable")[:_NAMED] if mean[i] > max(_NEAR_BEST * mean.max(), 1e-6)]
    return tuple(PLACES[i][1] for i in order)


def _elsewhere(shown: np.ndarray, points: np.ndarray, crop_px: int) -> float:
    everywhere = au_heatmaps(points, sorted(REGIONS), _SIZE, crop_px)[0].max(axis=0)
    whole = float(shown.sum())
    return float(1 - np.clip((shown * (everywhere > 0.25)).sum() / whole, 0, 1)) if whole > 0 else 1.0


def _draw(path: Path, maps: FaceMaps, shown: np.ndarray, rgb: Sequence[int], side_px: int) -> None:
    import cv2

    crop = cv2.resize(shown, (maps.crop_px, maps.crop_px), interpolation=cv2.INTER_LINEAR)
    matrix = maps.to_picture.copy()  # OpenCV counts from pixel centres, align.py from corners
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    alpha = cv2.warpAffine(crop, matrix, (side_px, side_px), flags=cv2.INTER_LINEAR, borderValue=(0,))
    picture = np.empty((side_px, side_px, 4), np.uint8)
    picture[..., :3] = rgb[::-1]
    picture[..., 3] = np.round(np.clip(alpha, 0, 1) * _MOST_ALPHA)
    if not cv2.imwrite(str(path), picture):
        raise OSError(f"{path} could not be written")
