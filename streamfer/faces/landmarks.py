"""478 landmarks for each face of a frame, from MediaPipe's FaceMesh with refined eyes and lips.

The two networks that the mediapipe 0.10.21 wheel carries (BlazeFace, FaceMesh with attention; Apache-2.0) are run
as two small graphs of MediaPipe's own calculators (networks.py); the crop from which landmarks are read is made here
instead of by `mp.solutions.face_mesh`. That buys four things, each measured on a 2-core VM (benchmarks/LOG.md):

* with `max_num_faces` 4 the stock solution runs its detector in every frame that shows fewer than 4 faces (+1.3 to
  3.2 ms on 4.1); here the detector runs when there is no face, when one is lost, and every `LOOK_S` to find new ones;
* the detector for new faces is the full-range one, which sees small faces that the stock one never does;
* a face that is lost is searched again in the same frame, and `reset()` after a scene cut costs nothing;
* the network's 192 x 192 input is softened a little (0.05 ms): a fifth less jitter on a noisy still face, a tenth
  less on real ones, and a planted movement of a brow or mouth corner is followed slightly better.

Promise: nothing is smoothed over time. A mouth corner moved by a planted 3 px step answers in the same frame with
all of its final value (2.2 px, as FaceMesh itself: the network sees the neighbourhood too), so micro-movements
survive. What is left is the network's own noise, 0.0017 of the inner-eye distance a frame on a noisy still face.

`FaceLandmarkerTask` runs a `face_landmarker.task` bundle instead. It always asks for at least two faces: with one,
MediaPipe smooths the landmarks over time (the same step then took six frames).

Neither knows who is who: order of the list is no identity, see tracker.py.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from streamfer.errors import ModelError, ModelMissing
from streamfer.faces.mediapipe_import import import_mediapipe
from streamfer.faces.networks import INPUT_PX, LANDMARKS, ROI_SCALE, Detector, MeshNet, Roi, quiet
from streamfer.records import Frame

if TYPE_CHECKING:
    from streamfer.config import Faces

LOOK_S = 0.5
"""New faces are looked for this often while at least one is followed and there is room for more."""

_SOFTEN_PX = 0.6
_EYE_OUTER = (33, 263)  # the person's right and left outer eye corners: MediaPipe levels the crop by them


class Mesh(NamedTuple):
    """One face as found in one frame."""

    points: np.ndarray  # (478, 3) float32: x right, y down, z away from the camera, all in image pixels
    score: float  # 0-1, the network's confidence that this is a face


class LandmarkFinder(Protocol):
    """What the follower needs; `fake.FakeLandmarks` is the double."""

    def find(self, frame: Frame) -> list[Mesh]:
        """All faces of the frame, at most `max_faces`."""

    def reset(self) -> None:
        """Forget where faces were: the next frame has nothing to do with the last one."""

    def close(self) -> None:
        """Free the networks."""


def open_landmarks(options: Faces) -> LandmarkFinder:
    """The finder that `faces.landmarks` asks for. Raises ModelMissing when it names a file that is not there."""
    return FaceMesh(options) if options.landmarks == "bundled" else FaceLandmarkerTask(options)


class FaceMesh:
    """The bundled networks. One object for each source; `find` lets go of the GIL while the networks run."""

    def __init__(self, options: Faces) -> None:
        self._max_faces = options.max_faces
        with quiet():
            self._near = Detector("FaceDetectionShortRangeCpu")
            self._far = Detector("FaceDetectionFullRangeCpu")
            self._mesh = MeshNet()
            # the first runs print the runtime's notes about itself: have them here, once, in the quiet
            blank = np.zeros((INPUT_PX, INPUT_PX, 3), np.uint8)
            self._near.detect(blank)
            self._far.detect(blank)
            self._mesh.read(blank)
        self._min_detection = options.min_detection
        self._min_tracking = options.min_tracking
        self._rois: list[Roi] = []  # where faces were in the frame before
        self._looked_s = math.inf

    def find(self, frame: Frame) -> list[Mesh]:
        found: list[Mesh] = []
        for roi in self._rois:
            self._add(found, frame.image, roi, self._min_tracking)
        lost = len(found) < len(self._rois)
        if len(found) < self._max_faces:
            look = not 0 <= frame.time_s - self._looked_s < LOOK_S
            if look:
                self._looked_s = frame.time_s
                self._search(found, frame.image, self._far)
            if not found or (lost and not look):
                self._search(found, frame.image, self._near)
        self._rois = [_roi_of_landmarks(mesh.points) for mesh in found]
        return found

    def reset(self) -> None:
        self._rois = []
        self._looked_s = math.inf

    def close(self) -> None:
        for net in (self._near, self._far, self._mesh):
            net.close()

    def _search(self, found: list[Mesh], image: np.ndarray, detector: Detector) -> None:
        for roi in detector.detect(image, self._min_detection):
            if len(found) < self._max_faces and not any(_inside(roi, mesh.points) for mesh in found):
                self._add(found, image, roi, self._min_detection)

    def _add(self, found: list[Mesh], image: np.ndarray, roi: Roi, min_score: float) -> None:
        crop, to_image = _crop(image, roi)
        points, score = self._mesh.read(crop)
        if score < min_score or not np.isfinite(points).all():
            return
        scale = math.hypot(to_image[0, 0], to_image[1, 0])
        placed = np.empty((LANDMARKS, 3), np.float32)
        placed[:, :2] = points[:, :2] @ to_image[:, :2].T + to_image[:, 2]
        placed[:, 2] = points[:, 2] * scale
        if not any(_same_face(placed, mesh.points) for mesh in found):
            found.append(Mesh(placed, score))


class FaceLandmarkerTask:
    """A `face_landmarker.task` bundle in VIDEO mode (MediaPipe Tasks)."""

    def __init__(self, options: Faces) -> None:
        path = Path(options.landmarks)
        if not path.is_file():
            raise ModelMissing(
                f"face landmark model {path} is not there: give the path of a face_landmarker.task file "
                "or set faces.landmarks to 'bundled'"
            )
        self._path, self._options = path, options
        self._open()

    def _open(self) -> None:
        with quiet():
            import_mediapipe()
            from mediapipe.tasks.python import BaseOptions, vision

            settings = vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(self._path)),
                running_mode=vision.RunningMode.VIDEO,
                num_faces=max(2, self._options.max_faces),  # one face would be smoothed over time
                min_face_detection_confidence=self._options.min_detection,
                min_face_presence_confidence=self._options.min_tracking,
                min_tracking_confidence=self._options.min_tracking,
            )
            try:
                self._task = vision.FaceLandmarker.create_from_options(settings)
            except (RuntimeError, ValueError) as error:
                raise ModelError(f"face landmark model {self._path} cannot be used: {error}") from None
        self._last_ms = -1

    def find(self, frame: Frame) -> list[Mesh]:
        mp = import_mediapipe()

        height, width = frame.image.shape[:2]
        # whole milliseconds that must grow: two frames within one would be a fatal error inside MediaPipe
        self._last_ms = max(self._last_ms + 1, round(frame.time_s * 1000))
        picture = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(frame.image))
        result = self._task.detect_for_video(picture, self._last_ms)
        scale = np.array([width, height, width], np.float32)
        return [
            Mesh(np.array([(p.x, p.y, p.z) for p in face], np.float32) * scale, 1.0)
            for face in result.face_landmarks[: self._options.max_faces]
        ]

    def reset(self) -> None:
        # MediaPipe has no way to forget but a new object, 40-70 ms; its own presence check drops a stale face
        self._task.close()
        self._open()

    def close(self) -> None:
        self._task.close()


# ------------------------------------------------------------------------------- regions of interest


def _roi_of_landmarks(points: np.ndarray) -> Roi:
    """Around the landmarks, level with the eyes (MediaPipe's FaceLandmarkLandmarksToRoi)."""
    right, left = points[_EYE_OUTER[0]], points[_EYE_OUTER[1]]
    angle = math.atan2(left[1] - right[1], left[0] - right[0])
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], np.float32)
    level = points[:468, :2] @ turn.T
    low, high = level.min(axis=0), level.max(axis=0)
    x, y = turn.T @ ((low + high) / 2)
    return Roi(float(x), float(y), ROI_SCALE * float((high - low).max()), angle)


def _crop(image: np.ndarray, roi: Roi) -> tuple[np.ndarray, np.ndarray]:
    """The network's input (192, 192, 3), and the (2, 3) float32 map from its pixels back to the image's."""
    import cv2

    to_image = _square_to_image(roi)
    shown = to_image.copy()  # pixel i covers [i, i + 1): OpenCV counts from pixel centres
    shown[:, 2] += to_image[:, :2] @ (0.5, 0.5) - 0.5
    crop = cv2.warpAffine(
        image,
        shown,
        (INPUT_PX, INPUT_PX),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cv2.GaussianBlur(crop, (3, 3), _SOFTEN_PX), to_image.astype(np.float32)


def _square_to_image(roi: Roi) -> np.ndarray:
    cos, sin = (roi.side / INPUT_PX * f(roi.angle) for f in (math.cos, math.sin))
    half = INPUT_PX / 2
    return np.array([[cos, -sin, roi.x - half * (cos - sin)], [sin, cos, roi.y - half * (sin + cos)]])


def _inside(roi: Roi, points: np.ndarray) -> bool:
    """Whether a detection is a face that is already there."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return bool(low[0] <= roi.x <= high[0] and low[1] <= roi.y <= high[1])


def _same_face(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two crops have settled on one face: their landmarks lie within a fifth of its width."""
    width = max(np.ptp(a[:, 0]), np.ptp(b[:, 0]))
    return float(np.abs(a[:, :2] - b[:, :2]).mean()) < 0.2 * float(width)
