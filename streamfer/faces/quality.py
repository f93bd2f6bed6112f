"""Can this face be measured in this frame? Four numbers from one 96 px aligned grey crop (0.4 ms), and a verdict.

* size: inner-eye distance times 4.
* sharpness: variance of the Laplacian at a fixed scale (inner eyes 24 px apart), so that a face gets the same value
  whatever its size in the picture. Measured on eight real clips: 74-333 as they are, 38-85 blurred by 0.03 of the
  inner-eye distance (sigma), 14-30 by 0.06, 6-15 by 0.1.
* yaw: from the line of sight (pose.seen_yaw_deg).
* occlusion: the largest of three shares. Landmarks outside the picture; 1 - the network's score; and 6 x 6 blocks of
  the face that no longer look like the track's own recent past (brightness and contrast taken off).

What occlusion cannot see: what was already hidden when the track began (glasses, beard, a hand that stays: the past
it is compared with has it too), and small or skin-coloured things. Measured with planted patches: nothing 0.00
median and 0.17 at most on strongly posed expressions, a hand-sized patch over the mouth 0.06-0.25, half the face
hidden 0.14-0.75. So it catches faces that are covered to a good part; it is no detector of hands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streamfer.faces.align import align, inner_eye_distance
from streamfer.faces.pose import seen_yaw_deg
from streamfer.records import HeadPose, Quality

if TYPE_CHECKING:
    from streamfer.config import Faces

SIZE_PX, IED_PX = 96, 24.0
MAX_OCCLUSION = 0.4
_INNER = slice(12, 84)  # the face without hair and background
_BLOCKS = 6
_BLOCK_CHANGED = 0.8  # mean change of a block, in standard deviations of the face's brightness
_LEARN_S, _RELEARN_S = 2.0, 10.0  # how fast the remembered look follows: as usual, and while it seems hidden


def _inner_face(image: np.ndarray, landmarks: np.ndarray, ied: float) -> np.ndarray:
    """(72, 72) uint8 grey. Only the face is turned grey, and halved first while large: 0.1 ms instead of 0.3."""
    import cv2

    height, width = image.shape[:2]
    low = np.clip(landmarks[:, :2].min(axis=0) - ied, 0, (width - 8, height - 8)).astype(int)
    high = np.clip(landmarks[:, :2].max(axis=0) + ied, low + 8, (width, height)).astype(int)
    grey = cv2.cvtColor(image[low[1] : high[1], low[0] : high[0]], cv2.COLOR_RGB2GRAY)
    eyes = landmarks[:, :2] - low
    while ied >= 1.5 * IED_PX:
        half = (grey.shape[1] // 2, grey.shape[0] // 2)
        even = grey[: 2 * half[1], : 2 * half[0]]  # an exact factor of 2 is ten times faster
        grey, eyes, ied = cv2.resize(even, half, interpolation=cv2.INTER_AREA), eyes / 2, ied / 2
    return align(grey, eyes, SIZE_PX, IED_PX)[0][_INNER, _INNER]


@dataclass(slots=True)
class _Look:
    picture: np.ndarray
    time_s: float


class QualityJudge:
    """Remembers how each track looks; `forget` ended ones."""

    def __init__(self, options: Faces) -> None:
        self._options = options
        self._looks: dict[int, _Look] = {}

    def judge(
        self, track: int, time_s: float, image: np.ndarray, landmarks: np.ndarray, pose: HeadPose, score: float = 1.0
    ) -> Quality:
        """Quality of one face. `image` (H, W, 3) uint8 RGB, `landmarks` (478, 3) in its pixels."""
        import cv2

        height, width = image.shape[:2]
        ied = inner_eye_distance(landmarks)
        if not ied > 0:
            return Quality(0.0, 0.0, 0.0, 1.0, usable=False, reason="no face shape")
        grey = _inner_face(image, landmarks, ied)
        sharpness = float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_32F))[1][0, 0] ** 2)
        beyond = (landmarks[:, :2] < 0) | (landmarks[:, :2] > (width, height))
        outside = float(beyond.any(axis=1).mean()) if beyond.any() else 0.0
        occlusion = max(outside, 1.0 - score, self._changed(track, time_s, grey))
        size, yaw = 4 * ied, seen_yaw_deg(pose)
        reason = self._reason(size, sharpness, yaw, outside, occlusion)
        return Quality(size, sharpness, yaw, occlusion, usable=not reason, reason=reason)

    def forget(self, track: int) -> None:
        self._looks.pop(track, None)

    def _changed(self, track: int, time_s: float, grey: np.ndarray) -> float:
        """Share of blocks that differ from the track's remembered look; then remember this one a little."""
        import cv2

        mean, spread = (float(value[0, 0]) for value in cv2.meanStdDev(grey))
        scale = 1 / (spread + 1e-3)
        now = grey * np.float32(scale) - np.float32(mean * scale)
        look = self._looks.get(track)
        if look is None:
            self._looks[track] = _Look(now, time_s)
            return 0.0
        change = cv2.resize(cv2.absdiff(now, look.picture), (_BLOCKS, _BLOCKS), interpolation=cv2.INTER_AREA)  # means of blocks
        share = float((change > _BLOCK_CHANGED).mean())
        memory_s = _LEARN_S if share <= MAX_OCCLUSION else _RELEARN_S
        look.picture += (now - look.picture) * min(1.0, max(0.0, time_s - look.time_s) / memory_s)
        look.time_s = time_s
        return share

    def _reason(self, size: float, sharpness: float, yaw: float, outside: float, occlusion: float) -> str:
        options = self._options
        if size < options.min_size_px:
            return f"small: {size:.0f} px wide"
        if abs(yaw) > options.max_yaw_deg:
            return f"turned {abs(yaw):.0f} degrees"
        if outside > MAX_OCCLUSION:
            return f"{outside:.0%} outside the picture"
        if occlusion > MAX_OCCLUSION:
            return f"{occlusion:.0%} hidden"
        if sharpness < options.min_sharpness:
            return f"blurred: sharpness {sharpness:.1f}"
        return ""
