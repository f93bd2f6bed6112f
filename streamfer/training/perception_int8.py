"""The perception file in int8: the convolutions quantised, everything that places landmarks left in float32.

    int8(Path("perception.onnx"), Path("perception_int8.onnx"), crops, landmarks)

Static quantisation by onnxruntime (QDQ form, weights per channel), with activation ranges from calibration faces as training
sees them. The landmark model and the turning of landmarks stay as they are: coordinates span orders of magnitude, and the
movement in them is smaller than a step of 1 / 256 of their range. So does what follows the last map (averages, softmax, blending).

`dynamic(path, out)` is the other way, without calibration: weights int8, ranges measured at each run. Both keep the contract:
names, shapes and metadata are those of the file given. Neither changes a weight by training; whether the result is worth its
loss is measured by `benchmarks/perception.py --part int8`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamfer.action_units.contract import read_metadata, write_metadata
from streamfer.action_units.model import to_face_frame
from streamfer.errors import ExtraMissing, UsageError

OWN_BATCH = 16
TRUNK = ("Conv", "Relu", "Add", "Resize")
"""What is quantised in the trunk: with what stands between them, so that the values stay int8 from layer to layer."""


def int8(path: Path, out: Path, crops: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]) -> None:
    """Write `out`. Crops (56, 56, 3) uint8 and landmarks (478, 3) of some hundred calibration faces, in any pixels.

    Raises UsageError without faces, ModelContract when `path` is no AU model.
    """
    if not len(crops) or len(crops) != len(landmarks):
        raise UsageError(f"int8 needs as many calibration crops as landmarks, at least one: got {len(crops)}, {len(landmarks)}")
    quantization = _tools()
    metadata = read_metadata(_properties(path), path)
    with tempfile.TemporaryDirectory() as folder:
        ready = _prepared(path, Path(folder))
        quantization.quantize_static(
            str(ready), str(out), _Faces(crops, landmarks), quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(TRUNK), nodes_to_exclude=_outside_trunk(ready), per_channel=True,
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
            reduce_range=True,  # without VNNI, products of 8 by 8 bit overflow their 16-bit sums on AVX2
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )  # fmt: skip
    write_metadata(out, metadata)


def dynamic(path: Path, out: Path) -> None:
    """Write `out` with int8 weights and activation ranges taken at each run."""
    quantization = _tools()
    metadata = read_metadata(_properties(path), path)
    with tempfile.TemporaryDirectory() as folder:
        ready = _prepared(path, Path(folder))
        quantization.quantize_dynamic(
            str(ready), str(out), op_types_to_quantize=["Conv"], nodes_to_exclude=_outside_trunk(ready),
            weight_type=quantization.QuantType.QUInt8,
        )  # fmt: skip
    write_metadata(out, metadata)


class _Faces:
    """onnxruntime's CalibrationDataReader, by duck type."""

    def __init__(self, crops: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]) -> None:
        self.feeds = self._read(crops, landmarks)

    @staticmethod
    def _read(crops: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, len(crops), OWN_BATCH):
            rows = slice(start, start + OWN_BATCH)
            yield {
                "crop": np.ascontiguousarray(np.stack(crops[rows]).transpose(0, 3, 1, 2)),
                "landmarks": to_face_frame(np.stack(landmarks[rows])),
            }

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def _tools() -> Any:
    try:
        import onnx  # noqa: F401 - the quantiser needs it and does not say so
        from onnxruntime import quantization
    except ImportError as error:
        raise ExtraMissing.of(error.name or "onnx", "train", "quantising") from None
    return quantization


def _properties(path: Path) -> dict[str, str]:
    import onnx

    return {p.key: p.value for p in onnx.load(path, load_external_data=False).metadata_props}


def _prepared(path: Path, folder: Path) -> Path:
    """Shapes inferred, as the quantiser asks for; nothing fused beforehand, so that it finds the operators it knows."""
    import onnx

    ready = folder / "ready.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(onnx.load(path)), ready)
    return ready


def _outside_trunk(path: Path) -> list[str]:
    import onnx

    return [node.name for node in onnx.load(path).graph.node if not node.name.startswith("/trunk/")]
