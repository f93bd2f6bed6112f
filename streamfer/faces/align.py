"""The aligned face: a square picture in which the inner eye corners always lie at the same two points.

A similarity transform (turn, one scale, shift) takes the person's right inner eye corner (landmark 133) and the left
one (362) to a level line of length `ied_px` centred at half the width and 3/8 of the height. With `ied_px` a quarter
of `size_px` this is the crop of the micro-expression recipes: with g half the inner-eye distance, rows cy - 3g to
cy + 5g and columns cx - 4g to cx + 4g (shengjianda/micro-expression-spot, described in MEGC 2022 entries).
A similarity keeps the shape of the face; it does not undo a turned head.

Coordinates: landmarks and matrices count from the picture's corner, pixel i covers [i, i + 1), as MediaPipe's do.
"""

from __future__ import annotations

import numpy as np

RIGHT_INNER_EYE, LEFT_INNER_EYE = 133, 362
EYE_LINE = 3 / 8
"""Height of the eye line in the aligned picture, as a share of its side."""

IBUG68: tuple[int, ...] = (
    # 0-16 jaw line, from the person's right ear to the left one
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,
    # 17-21 right brow, 22-26 left brow, each from the picture's left to its right
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    # 27-30 bridge of the nose downwards, 31-35 its base
    168, 197, 5, 4, 98, 97, 2, 326, 327,
    # 36-41 right eye: outer corner, upper lid, inner corner, lower lid; 42-47 left eye: inner corner first
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    # 48-59 outer lip contour, clockwise in the picture from the right mouth corner
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    # 60-67 inner lip contour, the same way
    78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
"""MediaPipe index of each of the 68 iBUG 300-W points that OpenFace writes as x_0 ... x_67.

The nearest vertices of the mesh, chosen on the canonical face. The jaw points lie on the mesh's outer edge, slightly
in front of where 300-W annotators put them on a turned head.
"""


def inner_eye_distance(landmarks: np.ndarray) -> float:
    """IED in pixels of the image: the unit of length on a face."""
    return float(np.hypot(*(landmarks[LEFT_INNER_EYE, :2] - landmarks[RIGHT_INNER_EYE, :2])))


def align(image: np.ndarray, landmarks: np.ndarray, size_px: int, ied_px: float) -> tuple[np.ndarray, np.ndarray]:
    """The aligned crop (size_px, size_px[, 3]) and the (2, 3) float64 map from image to crop coordinates.

    `image` is (H, W) or (H, W, 3) uint8; outside of it the edge is repeated. Where the face is shrunk by more than
    1.5 it is averaged, not sampled. Raises ValueError when the eye corners coincide.
    """
    right, left = (landmarks[i, :2].astype(np.float64) for i in (RIGHT_INNER_EYE, LEFT_INNER_EYE))
    across = left - right
    length = float(np.hypot(*across))
    if not length > 0:
        raise ValueError("the inner eye corners coincide: this is no face")
    scale = ied_px / length
    cos, sin = across / length * scale
    turn = np.array([[cos, sin], [-sin, cos]])
    target = np.array([size_px / 2, size_px * EYE_LINE])
    matrix = np.column_stack([turn, target - turn @ ((left + right) / 2)])
    return warp(image, matrix, size_px), matrix


def warp(image: np.ndarray, matrix: np.ndarray, size_px: int) -> np.ndarray:
    """The square (size_px, size_px[, 3]) that `matrix` (2, 3), image to crop, shows."""
    import cv2

    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    factor = max(1, min(4, round(1 / scale)))  # draw larger, then average: INTER_LINEAR alone would skip pixels
    side = size_px * factor
    centred = matrix * factor  # OpenCV counts from pixel centres
    centred[:, 2] = centred[:, 2] + centred[:, :2] @ (0.5, 0.5) - 0.5
    crop = cv2.warpAffine(image, centred, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return crop if factor == 1 else cv2.resize(crop, (size_px, size_px), interpolation=cv2.INTER_AREA)


def transform(landmarks: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Landmarks (n, 2) or (n, 3) of the image in the coordinates of the crop, float32; z is scaled as x and y are."""
    moved = np.array(landmarks, np.float64)
    moved[:, :2] = moved[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    if moved.shape[1] == 3:
        moved[:, 2] *= np.hypot(matrix[0, 0], matrix[1, 0])
    return moved.astype(np.float32)
