"""Where on the face an action unit shows: one or two ellipses for each AU, placed by the 68 iBUG points.

The ellipses are those of Belharbi et al., "Guided Interpretable Facial Expression Recognition via Spatial Action Unit
Cues" (2024; sbelharbi/interpretable-fer-aus, MIT, whose ellipses go back to rakutentech/FAU_CVPR2021), described for a
picture of 256 x 256 px in which face.evoLVe's alignment puts a face. Here every length is a share of the **face
size**: the side that such a picture would have around this face, so that tight and wide crops get the same regions.

Mended against the publication (published.py keeps it as it was):

* AU20's second ellipse lies between points 54 and 10; the publication has 50 and 10, which is over the upper lip.
* AU17 covered one half of the chin (points 59 and 8); here both halves (59 and 8, 55 and 8).
* The lids' upper and lower edges are the mean of two points a lid; the publication took one, not the mirrored one
  in the other eye. AU4 has the same height whichever way the head leans. AU14's left ellipse is clamped as its right.
* A height or width that the publication replaces where it is 0 is the least one here: no jump as an eye closes.

So a mirrored face gives mirrored regions. AU12 and 15, and AU23, 24, 26 and 27, share their regions: a map tells
where, not which. The left and right are the person's own; nothing here knows whether an AU acts on one side.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_REFERENCE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Eye centres, nose tip and mouth corners in face.evoLVe's picture of 112 px (those of MTCNN / ArcFace alignment)."""


def face_size(points: np.ndarray) -> np.ndarray:
    """(N,) side in px of the square that face.evoLVe would cut, from (N, 68, 2) points.

    By the spread of eye centres, nose tip and mouth corners about their mean, so that a turned head keeps its size.
    """
    five = np.stack(
        [points[:, 36:42].mean(axis=1), points[:, 42:48].mean(axis=1), points[:, 30], points[:, 48], points[:, 54]],
        axis=1,
    )
    return 112 * _spread(five) / _spread(_REFERENCE)


def _spread(five: np.ndarray) -> np.ndarray:
    return np.sqrt(((five - five.mean(axis=-2, keepdims=True)) ** 2).sum(axis=(-2, -1)))


def _two(right: tuple[np.ndarray, ...], left: tuple[np.ndarray, ...]) -> np.ndarray:
    """(N, 2, 4) from centre and half axes of the person's right side, then of the left side."""
    return np.stack([np.stack(right, axis=-1), np.stack(left, axis=-1)], axis=1)


def _circles(right: np.ndarray, left: np.ndarray, rx: np.ndarray, ry: np.ndarray | None = None) -> np.ndarray:
    ry = rx if ry is None else ry
    return _two((right[:, 0], right[:, 1], rx, ry), (left[:, 0], left[:, 1], rx, ry))


def _inner_brow(p: np.ndarray, w: np.ndarray) -> np.ndarray:
    return _circles(p[:, 20], p[:, 23], w / 8, w / 10)


def _outer_brow(p: np.ndarray, w: np.ndarray) -> np.ndarray:
    return _circles(p[:, 18], p[:, 25], w / 8, w / 10)


def _between_brows(p: np.ndarray, w: np.ndarray) -> np.ndarray:
    least = w * 10 / 256
    middle, (dx, dy) = (p[:, 19] + p[:, 24]) / 2, (abs(p[:, 24] - p[:, 19]) / 2).T
    one = (middle[:, 0], middle[:, 1], np.maximum(dx, least), np.maximum(dy, least))
    return _two(one, one)


def _lids(p: np.ndarray, w: np.ndarray, more: float = 0.0) -> np.ndarray:
    least = w * 5 / 256
    sides = []
    for outer, inner, upper, lower in ((36, 39, (37, 38), (40, 41)), (45, 42, (43, 44), (46, 47))):
        x0, x1 = p[:, outer, 0], p[:, inner, 0]
        y0, y1 = p[:, upper, 1].mean(axis=1), p[:, lower, 1].mean(axis=1)
        ry = np.maximum((y1 - y0) / 2 + more * w, least)
        sides.append(((x0 + x1) / 2, (y0 + y1) / 2, np.maximum(abs(x1 - x0) / 2, least), ry))
    return _two(*sides)


def _lids_and_below(p: np.ndarray, w: np.ndarray) -> np.ndarray:
    return _lids(p, w, more=10 / 256)


def _cheeks(p: np.ndarray, w: np.ndarray) -> np.ndarray:
    down = np.stack([np.zeros_like(w), w / 6], axis=1)
    return _circles(p[:, 41] + down, p[:, 46] + down, w / 10)


def _nose(p: np.ndarray, w: np.ndarray) -> np.ndarray:
    y, r = p[:, 29, 1], w * 20 / 256
    return _two((p[:, 31, 0], y, r, r), (p[:, 35, 0], y, r, r))


def _upper_lip(p: np.ndarray, w: np.ndarray) -> np.ndarray:
    r = w * 20 / 256
    return _two((p[:, 48, 0], p[:, 50, 1], r, r), (p[:, 54, 0], p[:, 52, 1], r, r))


def _mouth_corners(p: np.ndarray, w: np.ndarray) -> np.ndarray:
    return _circles(p[:, 48], p[:, 54], w * 20 / 256)


def _beside_mouth(p: np.ndarray, w: np.ndarray) -> np.ndarray:
    r = w * 20 / 256
    out = np.stack([r, np.zeros_like(r)], axis=1)
    return _circles(p[:, 48] - out, p[:, 54] + out, r)


def _chin(p: np.ndarray, w: np.ndarray) -> np.ndarray:
    least = w * 5 / 256
    sides = []
    for lip in (59, 55):
        middle, half = (p[:, lip] + p[:, 8]) / 2, abs(p[:, 8] - p[:, lip]) / 2
        sides.append((middle[:, 0], middle[:, 1], np.maximum(half[:, 0], least), np.maximum(half[:, 1], least)))
    return _two(*sides)


def _lip_stretch(p: np.ndarray, w: np.ndarray) -> np.ndarray:
    return _circles((p[:, 48] + p[:, 6]) / 2, (p[:, 54] + p[:, 10]) / 2, w * 20 / 256)


def _mouth(p: np.ndarray, w: np.ndarray) -> np.ndarray:
    least = w * 5 / 256
    x0, x1, y0, y1 = p[:, 48, 0], p[:, 54, 0], p[:, 51, 1], p[:, 57, 1]
    half_x, half_y = np.maximum((x1 - x0) / 2, least), np.maximum((y1 - y0) / 2, least)
    one = ((x0 + x1) / 2, (y0 + y1) / 2, half_x, half_y)
    return _two(one, one)


def _lips_part(p: np.ndarray, w: np.ndarray) -> np.ndarray:
    return _circles(p[:, 51], p[:, 57], w * 25 / 256, w * 10 / 256)


def _lower_lip(p: np.ndarray, w: np.ndarray) -> np.ndarray:
    return _circles(p[:, 59], p[:, 55], w * 20 / 256)


REGIONS: dict[int, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    1: _inner_brow, 2: _outer_brow, 4: _between_brows, 5: _lids, 6: _cheeks, 7: _lids_and_below, 9: _nose,
    10: _upper_lip, 12: _mouth_corners, 14: _beside_mouth, 15: _mouth_corners, 16: _lower_lip, 17: _chin,
    20: _lip_stretch, 23: _mouth, 24: _mouth, 25: _lips_part, 26: _mouth, 27: _mouth, 43: _lids_and_below,
}  # fmt: skip
"""AU -> its ellipses from (N, 68, 2) points and the (N,) face size: (N, 2, 4) centre x, y, half axes x, y, in px.

The first ellipse is the person's right side, the second the left one. The regions of AU4, 23, 24, 26 and 27 are one
ellipse, given twice; AU25's are the upper and the lower lip.
"""

ONE_ELLIPSE = frozenset({4, 23, 24, 26, 27})
UNSIDED = ONE_ELLIPSE | {25}
"""AUs whose two ellipses are not the person's right and left."""
