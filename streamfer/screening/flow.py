"""Movement of facial regions between frames, with the movement of the head taken off.

`RegionFlow.push(frame, face)` gives, for each face, how far each region (brows, lids, nose wings, cheeks,
mouth corners, lips, chin) moved since the last measured frame, in fractions of the distance between the inner
eye corners (IED), in the face's own upright axes (x to the right of the picture, y down).

How, and why:

* Both frames are cut out with **one and the same** transform, held until the face has left it by
  `REANCHOR_IED` and then renewed by cutting the earlier frame out again. Aligning every frame by its own
  landmarks would turn their jitter (about 1 % IED) into movement of everything.
* Dense inverse search flow (DIS, Kroeger et al., ECCV 2016; OpenCV's ultrafast preset) on a 192 px crop.
  Measured against sparse Lucas-Kanade, Farneback and other presets and sizes in benchmarks/LOG.md:
  as exact as any on real faces and the cheapest, because the regions are far larger than its 8 px patches.
* The head's own movement is one rigid motion of a 3-D face seen in weak perspective: shift, roll, scale, and
  turn and nod, which move points in proportion to their depth (linear in a few numbers). It is fitted by iteratively
  reweighted least squares (Tukey) with most weight on nose bridge, forehead and temples.
* Above `MAX_RATE_HZ` frames are skipped (step_s = 0): between frames 5 ms apart movement drowns in noise, and
  adding many small steps adds their noise up. The next measured frame covers the whole step.

It does not smooth over time, decide anything or know about people: that is the screener's work.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from streamfer.records import Face, Frame, MotionReading

REGION_POINTS: dict[str, tuple[int, ...]] = {
    # MediaPipe FaceMesh indices; L and R are the person's own
    "brow_inner_L": (336, 285, 296, 295), "brow_inner_R": (107, 55, 66, 65),
    "brow_outer_L": (300, 276, 293, 283, 334), "brow_outer_R": (70, 46, 63, 53, 105),
    "lid_upper_L": (386, 385, 387), "lid_upper_R": (159, 158, 160),
    "lid_lower_L": (374, 373, 380), "lid_lower_R": (145, 144, 153),
    "nose_wing_L": (358, 331, 279), "nose_wing_R": (129, 102, 49),
    "cheek_L": (347, 330, 280), "cheek_R": (118, 101, 50),
    "mouth_corner_L": (291, 287, 308, 410), "mouth_corner_R": (61, 57, 78, 186),
    "lip_upper": (0, 37, 267, 39, 269),
    "lip_lower": (17, 84, 314, 181, 405),
    "chin": (199, 200, 175, 208, 428),
}  # fmt: skip
REGIONS: tuple[str, ...] = tuple(REGION_POINTS)

RIGID_POINTS: tuple[int, ...] = (
    168, 6, 197, 195, 5, 4, 1, 45, 275, 193, 417, 122, 351,  # nose bridge and tip
    10, 151, 9, 109, 338, 67, 297,  # forehead
    127, 234, 139, 116, 356, 454, 368, 345,  # temples and cheek bones
)  # fmt: skip

GEOMETRY: tuple[str, ...] = ("eye_open_L", "eye_open_R", "mouth_open", "mouth_width")
"""Distances between landmarks, in IED: for blinks and speech, where flow alone is ambiguous."""
_GEOMETRY_PAIRS = np.array([(386, 374), (159, 145), (13, 14), (61, 291)])

CROP_PX = 192
CROP_IED_PX = 48.0  # inner-eye distance in the crop: the face with brows and chin fills it
EYES_HEIGHT = 0.40  # height of the eyes in the crop, as a fraction of its side
REANCHOR_IED = 0.08  # the held crop is renewed when the face has moved, grown or turned by so much
MAX_RATE_HZ = 60.0
MAX_STEP_S = 0.2  # a longer pause between two measured frames is a gap
_OFF_RIGID_WEIGHT = 0.15  # prior weight of points in moving regions: they help when the rigid areas have no texture
_LID_WEIGHT = 0.0  # a blink moves lids and eye corners much faster than any head: it must not become a nod
_AROUND = np.array([CROP_PX * dy + dx for dy in (-2, 0, 2) for dx in (-2, 0, 2)])  # the field is read as a mean of nine

INDEX = np.array([i for points in REGION_POINTS.values() for i in points] + list(RIGID_POINTS))
_COUNTS = [len(points) for points in REGION_POINTS.values()]
_STARTS = np.concatenate([[0], np.cumsum(_COUNTS)[:-1]])
_N_REGION_POINTS = sum(_COUNTS)
_PRIOR = np.concatenate(
    [np.full(len(p), _LID_WEIGHT if "lid" in name else _OFF_RIGID_WEIGHT) for name, p in REGION_POINTS.items()]
    + [np.ones(len(RIGID_POINTS))]
)
_COUNTS_COLUMN = np.array(_COUNTS)[:, None]
_CENTRE = np.array([CROP_PX / 2, CROP_PX * EYES_HEIGHT])  # of the inner eye corners, in the crop
_ANCHORS = np.array([133, 362, 4, 152])
_RIDGE = np.diag([0.0, 0.0, 1e-3, 1e-3, 1e-2, 1e-2, 1e-2, 1e-2])  # turn and nod are nearly shifts on a flat face
# u = a + s x - r y + p z + e x² + f xy and v = b + s y + r x + q z + e xy + f y²: coefficients of
# (1, x, y, z, x², xy, y²) from (a, b, s, r, p, q, e, f)
_U, _V = np.zeros((7, 8)), np.zeros((7, 8))
_U[[0, 1, 2, 3, 4, 5], [0, 2, 3, 4, 6, 7]] = 1, 1, -1, 1, 1, 1
_V[[0, 2, 1, 3, 5, 6], [1, 2, 3, 5, 6, 7]] = 1, 1, 1, 1, 1, 1
_UV = np.concatenate([_U, _V], axis=1)  # (7, 16): both rows of a point at once
_SURE = np.flatnonzero(_PRIOR > 0.5)


@dataclass(slots=True)
class _Track:
    image: np.ndarray  # the last measured picture, kept to cut it out again
    crop: np.ndarray  # the same, cut out and grey
    landmarks: np.ndarray
    transform: np.ndarray  # (2, 3), picture to crop, held
    time_s: float
    segment: int
    reference: np.ndarray  # (N, 2) points of the first usable frame in the upright face, IED
    reference_depth: np.ndarray


class RegionFlow:
    """One per source; keeps one picture per track. Calls of one object must not overlap."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._tracks: dict[int, _Track] = {}

    def push(self, frame: Frame, face: Face) -> MotionReading:
        """The movement of `face` since it was last measured. Not valid on the first frame, after a gap or a cut."""
        geometry = _geometry(face.landmarks)
        if not face.quality.usable:
            self._tracks.pop(face.track, None)
            return _still(geometry, valid=False)
        last = self._tracks.get(face.track)
        if last is not None and (last.segment != frame.segment or frame.time_s - last.time_s > MAX_STEP_S):
            last = None
        if last is None:
            transform = upright_transform(face.landmarks)
            crop = _cut(frame.image, transform)
            shape, depth = _shape(face.landmarks, transform)
            self._tracks[face.track] = _Track(
                frame.image, crop, face.landmarks, transform, frame.time_s, frame.segment, shape, depth
            )
            return _still(geometry, valid=False)
        step_s = frame.time_s - last.time_s
        if step_s < 0.9 / MAX_RATE_HZ:
            return _still(geometry, valid=True)
        upright = upright_transform(face.landmarks)
        shape, _ = _shape(face.landmarks, upright)
        _, position, _ = fit_rigid(last.reference, last.reference_depth, shape - last.reference, rounds=2)
        self._reanchor(last, face.landmarks, upright)
        crop = _cut(frame.image, last.transform)
        points = last.landmarks[INDEX, :2] @ last.transform[:, :2].T + last.transform[:, 2]
        moved = self._flow_at(last.crop, crop, points)
        scale = float(np.hypot(last.transform[0, 0], last.transform[0, 1])) / CROP_IED_PX
        rigid, rest, misfit = fit_rigid(
            (points - _CENTRE) / CROP_IED_PX, last.landmarks[INDEX, 2] * scale, moved / CROP_IED_PX
        )
        last.image, last.crop, last.landmarks, last.time_s = frame.image, crop, face.landmarks, frame.time_s
        return MotionReading(
            REGIONS, _by_region(rest), rigid, True, step_s, misfit, geometry, _by_region(position)
        )

    def forget(self, track: int) -> None:
        """Drop what is kept of a track that has ended."""
        self._tracks.pop(track, None)

    def reset(self) -> None:
        """Drop everything: after a cut or a reconnect."""
        self._tracks.clear()

    def _reanchor(self, last: _Track, landmarks: np.ndarray, wanted: np.ndarray) -> None:
        anchors = landmarks[_ANCHORS, :2]
        held_at = anchors @ last.transform[:, :2].T + last.transform[:, 2]
        wanted_at = anchors @ wanted[:, :2].T + wanted[:, 2]
        if np.abs(held_at - wanted_at).max() > REANCHOR_IED * CROP_IED_PX:
            last.transform = wanted
            last.crop = _cut(last.image, wanted)

    def _flow_at(self, before: np.ndarray, after: np.ndarray, points: np.ndarray) -> np.ndarray:
        field = self._dis.calc(before, after, None)  # type: ignore[call-overload]
        at = np.clip(np.rint(points).astype(np.intp), 2, CROP_PX - 3)
        around = (at[:, 1] * CROP_PX + at[:, 0])[:, None] + _AROUND
        return field.reshape(-1, 2)[around].mean(axis=1)


def upright_transform(landmarks: np.ndarray) -> np.ndarray:
    """The (2, 3) similarity that puts the face upright into the crop, eyes level, inner-eye distance fixed."""
    inner_r, inner_l = landmarks[133, :2], landmarks[362, :2]
    axis = landmarks[263, :2] - landmarks[33, :2]
    norm = float(np.hypot(axis[0], axis[1])) or 1.0
    cos, sin = float(axis[0]) / norm, float(axis[1]) / norm
    ied = float(np.hypot(*(inner_l - inner_r))) or 1.0
    turn = np.array([[cos, sin], [-sin, cos]]) * (CROP_IED_PX / ied)
    shift = _CENTRE - turn @ ((inner_l + inner_r) / 2)
    return np.column_stack([turn, shift])


def fit_rigid(
    points: np.ndarray, depth: np.ndarray, moved: np.ndarray, rounds: int = 4
) -> tuple[tuple[float, ...], np.ndarray, float]:
    """The rigid head motion in `moved` (N, 2) at `points` (N, 2) with `depth` (N,), all in IED.

    Returns its size (shift x, shift y, scale, roll, turn, nod), what is left of `moved` (N, 2), and the misfit of the
    points with a prior weight above one half (robust sigma, IED). Two more numbers, the bend of the field under
    perspective (x², xy and xy, y²), are fitted and not returned: they took a quarter off the error on a shaking head.
    """
    x, y, n = points[:, 0], points[:, 1], len(points)
    base = np.stack([np.ones(n), x, y, depth, x * x, x * y, y * y], axis=1)  # (N, 7)
    both = (base @ _UV).reshape(2 * n, 8)  # u of a point, then its v
    target = moved.reshape(2 * n).astype(np.float64)
    weight = _PRIOR
    middle = len(_SURE) // 2
    for _ in range(rounds):
        weighted = (both * np.repeat(weight, 2)[:, None]).T
        solution = np.linalg.solve(weighted @ both + _RIDGE, weighted @ target)
        rest = (target - both @ solution).reshape(n, 2)
        size = np.hypot(rest[:, 0], rest[:, 1])
        misfit = max(1.4826 * float(np.partition(size[_SURE], middle)[middle]), 2e-4)
        weight = _PRIOR * np.maximum(1 - (size / (4 * misfit)) ** 2, 0.0) ** 2 + 1e-9
    return tuple(float(value) for value in solution[:6]), rest, misfit


def _cut(image: np.ndarray, transform: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(
        cv2.warpAffine(image, transform, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR), cv2.COLOR_RGB2GRAY
    )


def _by_region(values: np.ndarray) -> np.ndarray:
    """(N, 2) at the points -> (R, 2) mean of each region."""
    return (np.add.reduceat(values[:_N_REGION_POINTS], _STARTS, axis=0) / _COUNTS_COLUMN).astype(np.float32)


def _shape(landmarks: np.ndarray, transform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points in the upright face (N, 2) and their depth (N,), IED."""
    scale = float(np.hypot(transform[0, 0], transform[0, 1])) / CROP_IED_PX
    points = landmarks[INDEX, :2] @ transform[:, :2].T + transform[:, 2]
    return (points - _CENTRE) / CROP_IED_PX, landmarks[INDEX, 2] * scale


def _geometry(landmarks: np.ndarray) -> np.ndarray:
    ends = landmarks[_GEOMETRY_PAIRS, :2]
    ied = float(np.hypot(*(landmarks[362, :2] - landmarks[133, :2]))) or 1.0
    apart = ends[:, 0] - ends[:, 1]
    return (np.hypot(apart[:, 0], apart[:, 1]) / ied).astype(np.float32)


def _still(geometry: np.ndarray, valid: bool) -> MotionReading:
    zero = np.zeros((len(REGIONS), 2), np.float32)
    return MotionReading(REGIONS, zero, (0.0,) * 6, valid, 0.0, 0.0, geometry, zero)
