"""Head pose from landmarks: perspective-n-point on 18 stiff points of MediaPipe's canonical face.

Rotation follows OpenFace: camera axes x right, y down, z away; R = Rx Ry Rz; radians. So a positive `rx` is a face
turned down, a positive `ry` one turned to the left of the picture (the person's right), a positive `rz` one tilted
clockwise in the picture, and a face that looks along the camera's axis has 0, 0, 0. Translation is the origin of the
canonical face (between the ears, level with the nose bridge's lower half) in mm, `tz` growing away from the camera.

Two assumptions, and no way to check them from a picture: the focal length is OpenFace's guess without calibration,
500 px at 640 x 480 scaled with the picture, and the face has the canonical size (37.1 mm between the inner eye
corners, adults +- 10 %). `tz` is proportional to both; the angles hardly depend on them.

Points: eye corners, nose bridge, forehead and temples. Lips, jaw, cheeks, nose wings and brows move with expression and
are left out. solvePnP (SQPNP, 0.04 ms) is as fast as a Procrustes fit to the 3-D landmarks and its pitch is half as
noisy, because it does not use the network's guess of depth (benchmarks/LOG.md).
"""

from __future__ import annotations

import math

import numpy as np

from streamfer.records import HeadPose

CANONICAL_MM: dict[int, tuple[float, float, float]] = {
    33: (-44.46, -26.64, -31.73), 263: (44.46, -26.64, -31.73),  # outer eye corners
    133: (-18.56, -25.85, -37.58), 362: (18.56, -25.85, -37.58),  # inner eye corners
    6: (0.00, -24.73, -57.89), 197: (0.00, -17.28, -63.17), 195: (0.00, -10.59, -67.75),  # nose bridge
    4: (0.00, 4.63, -75.87),  # nose tip
    198: (-12.47, -2.30, -56.81), 420: (12.47, -2.30, -56.81),  # sides of the nose
    10: (0.00, -82.62, -44.82), 67: (-35.24, -80.06, -37.29), 297: (35.24, -80.06, -37.29),  # forehead, hair line
    54: (-62.79, -66.15, -14.26), 284: (62.79, -66.15, -14.26),
    143: (-64.08, -22.36, -15.61), 372: (64.08, -22.36, -15.61),  # temples
    168: (0.00, -32.71, -52.36),  # between the eyes
}  # fmt: skip
"""MediaPipe index -> vertex of its canonical face model (Apache-2.0; face_geometry, metadata of the landmark
pipeline), turned from its axes (y up, z to the camera, cm) to the camera's."""

_INDEX = np.array(list(CANONICAL_MM))
_MODEL = np.array(list(CANONICAL_MM.values()))
_NO_DISTORTION = np.zeros(4)


def focal_px(width_px: int, height_px: int) -> float:
    """OpenFace's guess for an unknown camera (LandmarkDetectorUtils: fx = 500 w / 640, fy = 500 h / 480, averaged)."""
    return 500 * (width_px / 640 + height_px / 480) / 2


def head_pose(landmarks: np.ndarray, width_px: int, height_px: int) -> HeadPose:
    """Pose of a face from its (478, 3) landmarks in a picture of that size."""
    import cv2

    f = focal_px(width_px, height_px)
    camera = np.array([[f, 0, width_px / 2], [0, f, height_px / 2], [0, 0, 1]])
    seen = landmarks[_INDEX, :2].astype(np.float64)
    _, turned, moved = cv2.solvePnP(_MODEL, seen, camera, _NO_DISTORTION, flags=cv2.SOLVEPNP_SQPNP)
    rotation = cv2.Rodrigues(turned)[0]
    return HeadPose(*euler(rotation), *(float(v) for v in moved.ravel()))


def euler(rotation: np.ndarray) -> tuple[float, float, float]:
    """(rx, ry, rz) of R = Rx Ry Rz, radians (OpenFace's RotationMatrix2Euler)."""
    return (
        math.atan2(-rotation[1, 2], rotation[2, 2]),
        math.asin(max(-1.0, min(1.0, rotation[0, 2]))),
        math.atan2(-rotation[0, 1], rotation[0, 0]),
    )


def matrix(pose: HeadPose) -> np.ndarray:
    """(3, 3) rotation Rx Ry Rz of a pose."""
    (cx, cy, cz), (sx, sy, sz) = (tuple(f(a) for a in (pose.rx, pose.ry, pose.rz)) for f in (math.cos, math.sin))
    x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(x @ y @ z)


def seen_yaw_deg(pose: HeadPose) -> float:
    """How far the face is turned sideways from the line of sight to it: what decides which half can be seen.

    Differs from `ry` for a face away from the middle of the picture, by up to half the camera's angle of view.
    """
    facing = matrix(pose) @ (0.0, 0.0, -1.0)
    to_camera = -np.array([pose.tx, pose.ty, pose.tz])
    sideways = math.atan2(facing[0], -facing[2]) - math.atan2(to_camera[0], -to_camera[2])
    return math.degrees(-math.remainder(sideways, 2 * math.pi))
