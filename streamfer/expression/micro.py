"""The micro-expression recogniser at run time: onset and apex picture in, one of its classes out. ONNX, no torch.

    recogniser = MicroModel.load("micro.onnx")
    recognised = recogniser.recognise(onset, apex)        # FacePicture each -> records.Recognised

What it looks at (`flow_input`, the same for training and here) is STSTNet's input (Liong et al., "Shallow Triple
Stream Three-dimensional CNN (STSTNet) for Micro-expression Recognition", FG 2019): optical flow from onset to apex, its
two components and its strain magnitude, 28 x 28, each stretched to 0-255. Taken over: TV-L1 flow (Zach, Pock and Bischof
2007), strain of Liong et al. 2014, size and stretching. Different here: both faces are aligned by their inner eye
corners, and the similarity that moves most of the face (head, residue of the alignment) is taken off the flow; the
paper's clips come registered. Stretching each channel on its own loses the strength of the movement: that is the paper's,
and another reason to read the class beside the event's measured movement and not instead of it.

The model is trained by the user (`streamfer train micro`, docs/recognition.md); none is bundled, because the data sets'
licences do not allow it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamfer.errors import ExtraMissing, ModelContract, ModelError, ModelMissing
from streamfer.faces.align import align
from streamfer.records import Recognised

KEY = "streamfer"
INPUT_PX = 28
CROP_PX, CROP_IED_PX, EDGE_PX = 140, 28.0, 8
"""The face as flow sees it, hair to chin (the paper's crops are 170 x 140), and the edge that is cut off afterwards: what
comes in there has no counterpart, and flow that is wrong by pixels would fill the whole range of the stretched input."""
_TVL1_ROUNDS, _TVL1_WARPS = 3, 2
"""On planted movements of 0.4 to 2 px as near to the truth as OpenCV's 10 and 5, in a third of the time."""
_FIT_ROUNDS, _FIT_CUT = 10, 4.685  # Tukey's constant: 95 % efficient where all is normal


@dataclass(frozen=True, slots=True)
class FacePicture:
    """A picture with a face in it, (H, W, 3) uint8 RGB, and the face's landmarks (478, 3) in its pixels."""

    image: np.ndarray
    landmarks: np.ndarray


class MicroMetadata(BaseModel):
    """What `metadata_props["streamfer"]` says about a recogniser, as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_: Literal[1] = Field(1, alias="schema")
    kind: Literal["micro"] = "micro"
    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=2)
    input: Literal["onset-apex flow 28 px, tvl1, u v strain, 0-255"] = "onset-apex flow 28 px, tvl1, u v strain, 0-255"
    training_data: str = Field(min_length=1)
    protocol: str = ""  # how `scores` were come by
    scores: dict[str, float] = Field(default_factory=dict)
    licence: str = Field(min_length=1)

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True)


@dataclass(frozen=True, slots=True)
class MicroInfo:
    """What run.json says about the recogniser that was used."""

    name: str
    version: str
    sha256: str
    classes: tuple[str, ...]
    training_data: str
    scores: dict[str, float]
    licence: str
    path: str


class MicroModel:
    """A loaded recogniser."""

    def __init__(self, session: Any, info: MicroInfo) -> None:
        self._session = session
        self.info = info
        self._source = f"{info.name} {info.version} {info.sha256[:12]}"

    @classmethod
    def load(cls, path: str | Path, threads: int = 1) -> MicroModel:
        """Raises ModelMissing, ModelContract (no recogniser, or one with another input) or ExtraMissing."""
        try:
            import onnxruntime as ort
        except ImportError:
            raise ExtraMissing.of("onnxruntime", "cpu", "labelling micro-expressions") from None
        path = Path(path)
        if not path.is_file():
            raise ModelMissing(f"micro-expression model {path} is not there: `streamfer train micro` makes one")
        content = path.read_bytes()
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
        try:
            session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no base class
            raise ModelError(f"micro-expression model {path} cannot be loaded: {str(error).splitlines()[0]}") from None
        metadata = _metadata(session.get_modelmeta().custom_metadata_map, path)
        inputs, outputs = [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()]
        if inputs != ["flow"] or outputs != ["probability"]:
            raise ModelContract(
                f"micro-expression model {path} has inputs {inputs} and outputs {outputs}; expected ['flow'], float32 "
                f"(N, 3, {INPUT_PX}, {INPUT_PX}), and ['probability'], float32 (N, {len(metadata.classes)})"
            )
        info = MicroInfo(
            metadata.name, metadata.version, hashlib.sha256(content).hexdigest(), metadata.classes,
            metadata.training_data, dict(metadata.scores), metadata.licence, str(path),
        )  # fmt: skip
        return cls(session, info)

    def probabilities(self, flows: np.ndarray) -> np.ndarray:
        """(N, 3, 28, 28) float32 as `flow_input` gives them -> (N, K) float32, each row adding up to 1."""
        return self._session.run(["probability"], {"flow": np.ascontiguousarray(flows, np.float32)})[0]

    def recognise(self, onset: FacePicture, apex: FacePicture) -> Recognised | None:
        """The most probable class, or None where one of the faces has no eye corners to align it by."""
        try:
            flow = flow_input(onset, apex)
        except ValueError:
            return None
        (row,) = self.probabilities(flow[None])
        best = int(row.argmax())
        return Recognised(self.info.classes[best], float(row[best]), self._source)


def flow_input(onset: FacePicture, apex: FacePicture) -> np.ndarray:
    """(3, 28, 28) float32, 0-255: flow to the right, flow downwards, strain. Raises ValueError for a face without eyes."""
    import cv2

    side = CROP_PX + 2 * EDGE_PX
    pictures = [cv2.cvtColor(align(p.image, p.landmarks, side, CROP_IED_PX)[0], cv2.COLOR_RGB2GRAY) for p in (onset, apex)]
    tvl1 = cv2.optflow.DualTVL1OpticalFlow.create(outerIterations=_TVL1_ROUNDS, warps=_TVL1_WARPS)
    flow = tvl1.calc(pictures[0], pictures[1], np.zeros((side, side, 2), np.float32))
    flow = without_similarity(flow[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX])
    channels = np.stack([flow[..., 0], flow[..., 1], strain(flow)])
    small = np.stack([cv2.resize(c, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA) for c in channels])
    return _stretched(small)


def strain(flow: np.ndarray) -> np.ndarray:
    """Magnitude of the infinitesimal strain of a flow (H, W, 2): sqrt(exx² + eyy² + 2 exy²)."""
    du_dy, du_dx = np.gradient(flow[..., 0])
    dv_dy, dv_dx = np.gradient(flow[..., 1])
    return np.sqrt(du_dx**2 + dv_dy**2 + 0.5 * (du_dy + dv_dx) ** 2).astype(np.float32)


def without_similarity(flow: np.ndarray) -> np.ndarray:
    """The flow (H, W, 2) without the shift, turn and scale that most of it follows (Tukey's biweight, reweighted)."""
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float64)
    x, y = (x.ravel() - width / 2) / width, (y.ravel() - height / 2) / width
    one, zero = np.ones_like(x), np.zeros_like(x)
    design = np.concatenate([np.stack([one, zero, x, -y], 1), np.stack([zero, one, y, x], 1)])
    values = np.concatenate([flow[..., 0].ravel(), flow[..., 1].ravel()]).astype(np.float64)
    weight = np.ones(height * width)
    left = values
    for _ in range(_FIT_ROUNDS):
        both = np.concatenate([weight, weight])
        weighted = design * both[:, None]
        left = values - design @ np.linalg.lstsq(weighted.T @ design, weighted.T @ values, rcond=None)[0]
        size = np.hypot(left[: height * width], left[height * width :])
        scale = max(1.4826 * float(np.median(size)), 1e-6)
        weight = np.clip(1 - (size / (_FIT_CUT * scale)) ** 2, 0, None) ** 2
    return left.reshape(2, height, width).transpose(1, 2, 0).astype(np.float32)


def _stretched(channels: np.ndarray) -> np.ndarray:
    """Each channel (3, 28, 28) from its smallest to its largest value to 0-255; one that is flat becomes 0."""
    low = channels.min(axis=(1, 2), keepdims=True)
    span = channels.max(axis=(1, 2), keepdims=True) - low
    return np.where(span > 0, 255 * (channels - low) / np.where(span > 0, span, 1), 0).astype(np.float32)


def _metadata(props: dict[str, str], path: Path) -> MicroMetadata:
    text = props.get(KEY)
    if text is None:
        raise ModelContract(
            f"micro-expression model {path} does not say what it is: metadata_props['{KEY}'] is missing; "
            "`streamfer train micro` writes it (docs/recognition.md)"
        )
    try:
        return MicroMetadata.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        fault = f"not JSON ({error})"
    except ValidationError as error:
        first = error.errors()[0]
        fault = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    raise ModelContract(f"{path} is no micro-expression model: metadata_props['{KEY}']: {fault}")
