"""Where each action unit moves the skin: a table of landmarks and directions, and the smooth field made from it.

A movement is written down as a few *pulls*: at this landmark, in this direction, with this reach. The field of
an action unit blends its pulls (Gaussian weights, normalised, so that two neighbouring pulls do not add up to
more than either), dies out around the nose bridge and outside the face, and is scaled so that its largest
displacement is exactly one. Multiply by the amplitude.

Coordinates are those of the *face frame*: origin midway between the inner eye corners, u to the right of the
picture along the line through them, v down, unit = distance between the inner eye corners (IED).
Left is the person's own left: the right of an unmirrored picture.

Directions follow the muscle descriptions of the FACS manual (Ekman, Friesen, Hager 2002); landmark numbers are
those of MediaPipe's 468-point face mesh. This is a displacement model only: no wrinkles, no shading, no third
dimension. Good enough to test whether movement is found; no evidence of how well a face is understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RIGHT_INNER, LEFT_INNER = 133, 362  # inner eye corners
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
BRIDGE = (168, 6, 197, 195)

# landmark on the person's left: its mirror on the right
MIRROR = {
    336: 107, 296: 66, 334: 105, 293: 63, 300: 70, 285: 55, 295: 65, 282: 52, 283: 53, 276: 46,
    386: 159, 385: 158, 387: 160, 374: 145, 373: 144, 380: 153, 263: 33, 362: 133,
    330: 101, 347: 118, 280: 50, 425: 205, 411: 187, 426: 206, 423: 203, 391: 165, 358: 129, 327: 98, 343: 114,
    291: 61, 409: 185, 270: 40, 269: 39, 267: 37, 375: 146, 321: 91, 405: 181, 314: 84, 432: 212, 424: 204,
    422: 202, 446: 226, 434: 214, 379: 150, 365: 136,
}  # fmt: skip


@dataclass(frozen=True)
class Pull:
    """`out` and `up` give direction and size (up is towards the forehead, out is away from the middle of the face)."""

    landmark: int  # on the person's left, or on the middle line
    out: float
    up: float
    wide: float = 0.32  # Gaussian reach sideways, IED
    above: float = 0.32  # reach upwards
    below: float = 0.22  # reach downwards


SIDED: dict[str, tuple[Pull, ...]] = {
    "AU01": (
        Pull(336, 0.05, 1.0, 0.26, 0.5, 0.2),
        Pull(285, 0.05, 0.9, 0.24, 0.4, 0.2),
        Pull(296, 0.0, 0.55, 0.26, 0.45, 0.18),
    ),
    "AU02": (
        Pull(334, 0.0, 0.7, 0.26, 0.45, 0.18),
        Pull(293, 0.05, 1.0, 0.28, 0.45, 0.18),
        Pull(300, 0.1, 0.85, 0.26, 0.4, 0.18),
    ),
    "AU04": (
        Pull(336, -0.45, -0.85, 0.24, 0.4, 0.2),
        Pull(285, -0.45, -0.85, 0.22, 0.3, 0.2),
        Pull(296, -0.35, -0.85, 0.26, 0.4, 0.18),
        Pull(334, -0.2, -0.5, 0.26, 0.35, 0.18),
    ),
    "AU05": tuple(Pull(k, 0.0, 1.0, 0.22, 0.10, 0.12) for k in (386, 385, 387)),
    "AU06": (
        Pull(330, -0.05, 0.9, 0.36, 0.22, 0.36),
        Pull(280, -0.15, 1.0, 0.36, 0.25, 0.4),
        Pull(347, 0.0, 0.7, 0.3, 0.15, 0.25),
        Pull(374, 0.0, 0.35, 0.24, 0.08, 0.15),
        Pull(446, -0.35, -0.1, 0.18, 0.2, 0.2),
    ),
    "AU07": (
        *(Pull(k, 0.0, 1.0, 0.22, 0.08, 0.16) for k in (374, 373, 380)),
        *(Pull(k, 0.0, -0.4, 0.22, 0.12, 0.06) for k in (386, 387)),
    ),
    "AU09": (
        Pull(358, 0.1, 1.0, 0.2, 0.3, 0.18),
        Pull(343, 0.0, 0.7, 0.18, 0.2, 0.2),
        Pull(269, 0.0, 0.4, 0.25, 0.2, 0.12),
        Pull(285, -0.2, -0.5, 0.22, 0.25, 0.2),
    ),
    "AU10": (
        Pull(269, 0.05, 1.0, 0.25, 0.25, 0.10),
        Pull(267, 0.0, 0.8, 0.2, 0.2, 0.10),
        Pull(270, 0.05, 0.7, 0.22, 0.25, 0.10),
        Pull(391, 0.1, 0.7, 0.22, 0.25, 0.15),
        Pull(426, 0.1, 0.5, 0.25, 0.3, 0.2),
    ),
    "AU12": (
        Pull(291, 0.6, 0.8, 0.28, 0.32, 0.24),
        Pull(409, 0.4, 0.6, 0.22, 0.25, 0.12),
        Pull(375, 0.4, 0.5, 0.22, 0.12, 0.22),
        Pull(426, 0.3, 0.6, 0.3, 0.35, 0.25),
        Pull(425, 0.1, 0.45, 0.36, 0.3, 0.35),
    ),
    "AU14": (
        Pull(291, 0.95, 0.1, 0.2, 0.2, 0.2),
        Pull(409, 0.45, 0.0, 0.2, 0.15, 0.1),
        Pull(375, 0.45, 0.05, 0.2, 0.1, 0.15),
        Pull(432, -0.5, 0.1, 0.24, 0.3, 0.3),
    ),
    "AU15": (
        Pull(291, 0.2, -1.0, 0.26, 0.2, 0.3),
        Pull(375, 0.1, -0.65, 0.22, 0.12, 0.25),
        Pull(409, 0.05, -0.45, 0.2, 0.2, 0.1),
        Pull(422, 0.1, -0.6, 0.25, 0.25, 0.3),
    ),
    "AU20": (
        Pull(291, 1.0, -0.2, 0.26, 0.22, 0.24),
        Pull(409, 0.6, 0.0, 0.22, 0.2, 0.1),
        Pull(375, 0.65, -0.15, 0.22, 0.1, 0.22),
        Pull(432, 0.55, -0.1, 0.3, 0.3, 0.3),
    ),
}
_LOWER_LIP = tuple(Pull(k, 0.0, -1.0, 0.28, 0.06, 0.3) for k in (17, 14, 314, 405))
WHOLE: dict[str, tuple[Pull, ...]] = {
    "AU17": (
        Pull(199, 0.0, 1.0, 0.35, 0.25, 0.35),
        Pull(200, 0.0, 1.0, 0.35, 0.3, 0.3),
        Pull(17, 0.0, 0.85, 0.35, 0.1, 0.25),
        Pull(405, 0.0, 0.7, 0.25, 0.1, 0.2),
    ),
    "AU24": (
        *(Pull(k, 0.0, -0.8, 0.22, 0.2, 0.05) for k in (0, 267, 269)),
        *(Pull(k, 0.0, 1.0, 0.22, 0.05, 0.25) for k in (17, 314, 405)),
        Pull(291, -0.35, 0.0, 0.2, 0.15, 0.15),
    ),
    "AU25": (
        *_LOWER_LIP,
        *(Pull(k, 0.0, 0.35, 0.24, 0.2, 0.06) for k in (0, 267)),
    ),
    "AU26": (
        *_LOWER_LIP,
        Pull(199, 0.0, -1.0, 0.5, 0.3, 0.4),
        Pull(152, 0.0, -1.0, 0.5, 0.3, 0.35),
        Pull(379, 0.0, -0.8, 0.4, 0.35, 0.35),
        Pull(291, -0.1, -0.3, 0.22, 0.2, 0.25),
    ),
}
AUS: tuple[str, ...] = tuple(sorted({**SIDED, **WHOLE}))


def to_face_frame(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Origin (2,), axes (2, 2: rows u and v in image pixels, unit length) and IED in pixels of one set of landmarks."""
    right, left = landmarks[RIGHT_INNER, :2], landmarks[LEFT_INNER, :2]
    ied = float(np.linalg.norm(left - right))
    u = (left - right) / ied
    return (left + right) / 2, np.array([u, [-u[1], u[0]]]), ied


def face_points(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks (N, >=2) in image pixels -> (N, 2) in the face frame."""
    origin, axes, ied = to_face_frame(landmarks)
    return (landmarks[:, :2] - origin) @ axes.T / ied


class Skin:
    """The fields of one face, from its landmarks in the face frame (N, 2)."""

    def __init__(self, points: np.ndarray) -> None:
        self.points = points
        oval = points[list(OVAL)]
        self._centre = oval.mean(axis=0)
        self._radii = np.ptp(oval, axis=0) / 2
        self._bridge = points[list(BRIDGE)]
        self._scale: dict[tuple[str, str], float] = {}

    def displacement(self, au: str, side: str, where: np.ndarray) -> np.ndarray:
        """Displacement (..., 2) of one AU at full strength (largest displacement 1) at face-frame points (..., 2)."""
        key = (au, side)
        if key not in self._scale:
            self._scale[key] = 1 / self._largest(au, side)
        return self._blend(au, side, where) * self._scale[key]

    def moved(self, points: np.ndarray) -> Skin:
        """The same face with its landmarks elsewhere; keeps the scale, so that amplitudes do not flutter."""
        other = Skin(points)
        other._scale = self._scale
        return other

    def _largest(self, au: str, side: str) -> float:
        low, high = self._centre - 1.3 * self._radii, self._centre + 1.3 * self._radii
        grid = np.stack(np.meshgrid(np.arange(low[0], high[0], 0.03), np.arange(low[1], high[1], 0.03)), axis=-1)
        return float(np.linalg.norm(self._blend(au, side, grid), axis=-1).max())

    def _blend(self, au: str, side: str, where: np.ndarray) -> np.ndarray:
        pulls = list(_pulls(au, side))
        total = np.zeros(where.shape, dtype=np.float64)
        weights = np.zeros(where.shape[:-1])
        free = np.ones(where.shape[:-1])
        for landmark, (du, dv), pull in pulls:
            w = _reach(where - self.points[landmark], pull)
            total += w[..., None] * np.array([du, dv])
            weights += w
            free *= 1 - w
        field = total / np.maximum(weights, 1e-9)[..., None] * (1 - free)[..., None]
        return field * (self._inside(where) * self._off_bridge(where))[..., None]

    def _inside(self, where: np.ndarray) -> np.ndarray:
        """1 on the face, smoothly 0 beyond its outline; the chin may pull on the neck a little."""
        r = np.linalg.norm((where - self._centre) / self._radii, axis=-1)
        return 1 - smoothstep((r - 1.0) / 0.3)

    def _off_bridge(self, where: np.ndarray) -> np.ndarray:
        along = np.abs(where[..., 0] - self._bridge[:, 0].mean())
        top, bottom = self._bridge[:, 1].min(), self._bridge[:, 1].max()
        beyond = np.maximum(0, np.maximum(top - where[..., 1], where[..., 1] - bottom))
        return 1 - np.exp(-0.5 * ((along / 0.16) ** 2 + (beyond / 0.12) ** 2))


def smoothstep(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, flat at both ends."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _reach(delta: np.ndarray, pull: Pull) -> np.ndarray:
    vertical = np.where(delta[..., 1] < 0, pull.above, pull.below)
    return np.exp(-0.5 * ((delta[..., 0] / pull.wide) ** 2 + (delta[..., 1] / vertical) ** 2))


def _pulls(au: str, side: str) -> Sequence[tuple[int, tuple[float, float], Pull]]:
    """(landmark, (du, dv), pull) of an AU on one side or both."""
    if au not in SIDED and au not in WHOLE:
        raise ValueError(f"no movement is known for {au}: choose from {', '.join(AUS)}")
    if au in WHOLE and side != "both":
        raise ValueError(f"{au} has no sides: use 'both'")
    found = []
    for pull in SIDED.get(au) or WHOLE[au]:
        mid = pull.landmark not in MIRROR
        if side in ("left", "both") or mid:
            found.append((pull.landmark, (pull.out, -pull.up), pull))
        if side in ("right", "both") and not mid:
            found.append((MIRROR[pull.landmark], (-pull.out, -pull.up), pull))
    return found
