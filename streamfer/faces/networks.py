"""The two networks of the mediapipe 0.10.21 wheel as graphs that are asked one question at a time.

`Detector` (BlazeFace) gives rough places of faces, `MeshNet` (FaceMesh with attention) reads 478 landmarks from a
square picture of one face. Each is one of MediaPipe's own subgraphs with its calculators; where to look and what to
follow is decided in landmarks.py. The wheel is pinned exactly, because names inside its graphs are used.
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
from typing import Any, NamedTuple

import numpy as np

from streamfer.faces.mediapipe_import import import_mediapipe

LANDMARKS = 478
INPUT_PX = 192  # input side of the landmark network
ROI_SCALE = 1.5  # MediaPipe's margin around a detection, and around the landmarks of the frame before
_DETECT_PX = 384  # the detector's input is 192 px: sampling larger pictures down to twice that loses nothing


class Roi(NamedTuple):
    """A square of the image, turned: what the landmark network is shown."""

    x: float
    y: float
    side: float
    angle: float  # radians, clockwise in the picture


# the graph runs in the thread that asks: handing each question to a pool and back costs more than it brings
_HERE = 'executor { name: "" type: "ApplicationThreadExecutor" }'
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
        mp = import_mediapipe()
        from mediapipe.python._framework_bindings import calculator_graph, resource_util

        resource_util.set_resource_dir(str(Path(mp.__file__).parent.parent))
        self._creator, self._format = mp.packet_creator, mp.ImageFormat.SRGB
        self._got: dict[str, Any] = {}
        self._step = 0
        self._graph = calculator_graph.CalculatorGraph(graph_config=_HERE + text)
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


class Detector(_Graph):
    """BlazeFace: rough places of faces. Short range ("selfie") 2 ms, full range 6 ms."""

    def __init__(self, name: str) -> None:
        super().__init__(_DETECTOR_GRAPH.format(name=name), ("detections",), {})

    def detect(self, image: np.ndarray, min_score: float = 0.5) -> list[Roi]:
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
            rois.append(Roi(x, y, ROI_SCALE * max(box.width * width, box.height * height), angle))
        return rois


class MeshNet(_Graph):
    """FaceMesh with attention: a square picture of a face -> landmarks in its pixels."""

    def __init__(self) -> None:
        mp = import_mediapipe()
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
        return points * np.float32(INPUT_PX), score


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
def quiet() -> Iterator[None]:
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
