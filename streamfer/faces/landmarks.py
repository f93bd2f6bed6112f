"""478 landmarks for each face of a frame, from MediaPipe's FaceMesh with refined eyes and lips.

The two networks that the mediapipe 0.10.21 wheel carries (BlazeFace, FaceMesh with attention; Apache-2.0) are run
as two small graphs of MediaPipe's own calculators, and the crop from which landmarks are read is made here, instead
of by `mp.solutions.face_mesh`. That buys four things, each measured on a 2-core VM (benchmarks/LOG.md):

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

import contextlib
import math
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from streamfer.errors import ModelError, ModelMissing
from streamfer.records import Frame

if TYPE_CHECKING:
    from streamfer.config import Faces

LANDMARKS = 478
LOOK_S = 0.5
"""New faces are looked for this often while at least one is followed and there is room for more."""

_INPUT_PX = 192  # input side of the landmark network
_ROI_SCALE = 1.5  # MediaPipe's margin around a detection, and around the landmarks of the frame before
_SOFTEN_PX = 0.6
_DETECT_PX = 384  # the detector's input is 192 px: sampling larger pictures down to twice that loses nothing
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
        with _quiet():
            self._near = _Detector("FaceDetectionShortRangeCpu")
            self._far = _Detector("FaceDetectionFullRangeCpu")
            self._mesh = _MeshNet()
            # the first runs print the runtime's notes about itself: have them here, once, in the quiet
            blank = np.zeros((_INPUT_PX, _INPUT_PX, 3), np.uint8)
            self._near.detect(blank)
            self._far.detect(blank)
            self._mesh.read(blank)
        self._min_detection = options.min_detection
        self._min_tracking = options.min_tracking
        self._rois: list[_Roi] = []  # where faces were in the frame before
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

    def _search(self, found: list[Mesh], image: np.ndarray, detector: _Detector) -> None:
        for roi in detector.detect(image, self._min_detection):
            if len(found) < self._max_faces and not any(_inside(roi, mesh.points) for mesh in found):
                self._add(found, image, roi, self._min_detection)

    def _add(self, found: list[Mesh], image: np.ndarray, roi: _Roi, min_score: float) -> None:
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
        with _quiet():
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
        import mediapipe as mp

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


class _Roi(NamedTuple):
    """A square of the image, turned: what the landmark network is shown."""

    x: float
    y: float
    side: float
    angle: float  # radians, clockwise in the picture


def _roi_of_landmarks(points: np.ndarray) -> _Roi:
    """Around the landmarks, level with the eyes (MediaPipe's FaceLandmarkLandmarksToRoi)."""
    right, left = points[_EYE_OUTER[0]], points[_EYE_OUTER[1]]
    angle = math.atan2(left[1] - right[1], left[0] - right[0])
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], np.float32)
    level = points[:468, :2] @ turn.T
    low, high = level.min(axis=0), level.max(axis=0)
    x, y = turn.T @ ((low + high) / 2)
    return _Roi(float(x), float(y), _ROI_SCALE * float((high - low).max()), angle)


def _crop(image: np.ndarray, roi: _Roi) -> tuple[np.ndarray, np.ndarray]:
    """The network's input (192, 192, 3), and the (2, 3) float32 map from its pixels back to the image's."""
    import cv2

    to_image = _square_to_image(roi)
    shown = to_image.copy()  # pixel i covers [i, i + 1): OpenCV counts from pixel centres
    shown[:, 2] += to_image[:, :2] @ (0.5, 0.5) - 0.5
    crop = cv2.warpAffine(
        image,
        shown,
        (_INPUT_PX, _INPUT_PX),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cv2.GaussianBlur(crop, (3, 3), _SOFTEN_PX), to_image.astype(np.float32)


def _square_to_image(roi: _Roi) -> np.ndarray:
    cos, sin = (roi.side / _INPUT_PX * f(roi.angle) for f in (math.cos, math.sin))
    half = _INPUT_PX / 2
    return np.array([[cos, -sin, roi.x - half * (cos - sin)], [sin, cos, roi.y - half * (sin + cos)]])


def _inside(roi: _Roi, points: np.ndarray) -> bool:
    """Whether a detection is a face that is already there."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return bool(low[0] <= roi.x <= high[0] and low[1] <= roi.y <= high[1])


def _same_face(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two crops have settled on one face: their landmarks lie within a fifth of its width."""
    width = max(np.ptp(a[:, 0]), np.ptp(b[:, 0]))
    return float(np.abs(a[:, :2] - b[:, :2]).mean()) < 0.2 * float(width)


# ------------------------------------------------------------------------------- MediaPipe graphs

_DETECTOR_GRAPH = """
input_stream: "image"
output_stream: "detections"
node {{ calculator: "{name}" input_stream: "IMAGE:image" output_stream: "DETECTIONS:detections" }}
"""
_MESH_GRAPH = """
input_stream: "image"
input_stream: "roi"
input_side_packet: "with_attention"
output_stream: "landmarks"
node {
  calculator: "FaceLandmarkCpu"
  input_stream: "IMAGE:image" input_stream: "ROI:roi" input_side_packet: "WITH_ATTENTION:with_attention"
  output_stream: "LANDMARKS:landmarks"
}
"""
_SCORE = "facelandmarkcpu__face_presence_score"  # inside the graph above, before its own threshold of 0.5


class _Graph:
    """A MediaPipe graph that is asked one question at a time."""

    def __init__(self, text: str, outputs: tuple[str, ...], side: dict[str, Any]) -> None:
        import mediapipe as mp
        from mediapipe.python._framework_bindings import calculator_graph, resource_util

        resource_util.set_resource_dir(str(Path(mp.__file__).parent.parent))
        self._creator, self._format = mp.packet_creator, mp.ImageFormat.SRGB
        self._got: dict[str, Any] = {}
        self._step = 0
        self._graph = calculator_graph.CalculatorGraph(graph_config=text)
        for name in outputs:
            self._graph.observe_output_stream(name, self._got.__setitem__, True)
        self._graph.start_run(side)

    def ask(self, image: np.ndarray, **packets: Any) -> dict[str, Any]:
        self._step += 1
        picture = self._creator.create_image_frame(image_format=self._format, data=np.ascontiguousarray(image))
        for name, packet in {"image": picture, **packets}.items():
            self._graph.add_packet_to_input_stream(name, packet.at(self._step))
        self._graph.wait_until_idle()
        return self._got

    def close(self) -> None:
        self._graph.close_all_packet_sources()
        self._graph.wait_until_done()


class _Detector(_Graph):
    """BlazeFace: rough places of faces. Short range ("selfie") 2 ms, full range 6 ms."""

    def __init__(self, name: str) -> None:
        super().__init__(_DETECTOR_GRAPH.format(name=name), ("detections",), {})

    def detect(self, image: np.ndarray, min_score: float = 0.5) -> list[_Roi]:
        """Squares around faces, surest first. The graph itself drops what scores below 0.5 (short), 0.6 (full)."""
        from mediapipe.python import packet_getter

        stride = max(1, max(image.shape[:2]) // _DETECT_PX)
        small = image[::stride, ::stride]
        packet = self.ask(small)["detections"]
        if packet.is_empty():
            return []
        height, width = small.shape[0] * stride, small.shape[1] * stride
        rois = []
        for found in sorted(packet_getter.get_proto_list(packet), key=lambda d: -d.score[0]):
            if found.score[0] < min_score:
                continue
            box = found.location_data.relative_bounding_box
            right, left = found.location_data.relative_keypoints[:2]  # the person's right and left eye
            angle = math.atan2((left.y - right.y) * height, (left.x - right.x) * width)
            x, y = (box.xmin + box.width / 2) * width, (box.ymin + box.height / 2) * height
            rois.append(_Roi(x, y, _ROI_SCALE * max(box.width * width, box.height * height), angle))
        return rois


class _MeshNet(_Graph):
    """FaceMesh with attention: a square picture of a face -> landmarks in its pixels."""

    def __init__(self) -> None:
        import mediapipe as mp
        from mediapipe.framework.formats import rect_pb2

        super().__init__(_MESH_GRAPH, ("landmarks", _SCORE), {"with_attention": mp.packet_creator.create_bool(True)})
        whole = rect_pb2.NormalizedRect(x_center=0.5, y_center=0.5, width=1.0, height=1.0, rotation=0.0)
        self._whole = mp.packet_creator.create_proto(whole)

    def read(self, crop: np.ndarray) -> tuple[np.ndarray, float]:
        """(478, 3) float32 in pixels of the crop, and the score; landmarks are NaN where the score is below 0.5."""
        from mediapipe.python import packet_getter

        got = self.ask(crop, roi=self._whole)
        score = float(packet_getter.get_float(got[_SCORE]))
        if got["landmarks"].is_empty():
            return np.full((LANDMARKS, 3), np.nan, np.float32), score
        points = _landmark_array(packet_getter._packet_getter._get_serialized_proto(got["landmarks"]))
        return points * np.float32(_INPUT_PX), score


def _landmark_array(message: bytes) -> np.ndarray:
    """(n, 3) float32 from a serialised NormalizedLandmarkList.

    Each landmark is 17 bytes: its tag and length, then tag + little-endian float for x, y and z. Reading them with
    NumPy takes 10 us instead of 300 for the Python objects; anything that is laid out differently goes the slow way.
    """
    raw = np.frombuffer(message, np.uint8)
    if raw.size == LANDMARKS * 17:
        table = raw.reshape(LANDMARKS, 17)
        if (table[:, [0, 1, 2, 7, 12]] == (0x0A, 0x0F, 0x0D, 0x15, 0x1D)).all():
            return np.ascontiguousarray(table[:, 2:].reshape(LANDMARKS, 3, 5)[:, :, 1:]).view("<f4")[:, :, 0]
    from mediapipe.framework.formats import landmark_pb2

    parsed = landmark_pb2.NormalizedLandmarkList.FromString(message)
    return np.array([(p.x, p.y, p.z) for p in parsed.landmark], np.float32)


_QUIET_LOCK = threading.Lock()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the native start-up notes of MediaPipe, absl and TensorFlow Lite off stderr.

    They are written to file descriptor 2 whatever the log settings say. Held back for the block only; shown after
    all when the block fails, because then they are the explanation.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _QUIET_LOCK, tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        saved = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
