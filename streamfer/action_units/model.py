"""AU intensities of faces from an ONNX file: the bundled landmark model, or any file that keeps the contract.

    model = AUModel.load("landmarks", device="auto", threads=1)
    intensities = model.predict([face.landmarks for face in faces], model.crops(image, faces))   # (N, K), 0-5

The contract (docs/au-model.md): inputs `landmarks` float32 (N, 478, 3) and/or `crop` (N, 3, H, W), output `intensity`
float32 (N, K), first axis dynamic, and the metadata of contract.py. A file that breaks it is refused with what to
change. Nothing is smoothed over time and no person is known here: that is baseline.py.

Sessions run with the threads asked for, one operator after another, and do not spin: spinning threads take a whole
core from the decoder for nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from streamfer.action_units.contract import CropInput, Metadata, read_metadata
from streamfer.errors import ExtraMissing, ModelContract, ModelError, ModelMissing, ProviderUnavailable
from streamfer.faces.align import LEFT_INNER_EYE, RIGHT_INNER_EYE, align
from streamfer.faces.mirror import mirrored
from streamfer.records import LABELS

if TYPE_CHECKING:
    from streamfer.records import Face

BUNDLED = Path(__file__).parent.parent / "models" / "au_landmarks.onnx"
NAMED = {"landmarks": BUNDLED, "perception": BUNDLED.with_name("perception.onnx")}
"""Bundled models by name; each has a card beside it."""
LANDMARKS = 478
MAX_INTENSITY = 5.0

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What run.json says about the model that was used."""

    name: str
    version: str
    sha256: str  # of the file
    aus: tuple[str, ...]
    provider: str  # "CPUExecutionProvider", "CUDAExecutionProvider"
    provider_reason: str
    threads: int
    training_data: str
    licence: str
    path: str


class Seen(NamedTuple):
    """What a model with a spatial map says about one face: its expression, and what that came from."""

    expression: np.ndarray  # (8,) probabilities in the order of records.LABELS
    features: np.ndarray  # (C, h, w), over the whole aligned crop
    weights: np.ndarray  # (8, C) of the linear classifier on the features' average
    crop_px: int  # side of the aligned crop
    to_crop: np.ndarray  # (2, 3), from px of the picture to px of the crop


def to_face_frame(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks (N, 478, 3) in image pixels -> the face frame "eyes", float32, same shape.

    A similarity in the picture plane: the origin lies midway between the inner eye corners (133, 362), x runs from the
    person's right corner to the left one, y down the face, and the unit is the distance between the two in the
    picture (IED). z is in the same unit, 0 at the eye corners, away from the camera. A face whose eye corners coincide
    gives NaN.
    """
    points = np.asarray(landmarks, np.float32)
    right, left = points[:, RIGHT_INNER_EYE], points[:, LEFT_INNER_EYE]
    across = left[:, :2] - right[:, :2]
    squared = np.einsum("ni,ni->n", across, across)
    with np.errstate(divide="ignore", invalid="ignore"):
        cos, sin = (across / squared[:, None]).T  # turn and division by the IED in one
        centred = points - ((left + right) * 0.5)[:, None]
        x, y = centred[..., 0], centred[..., 1]
        framed = np.empty_like(points)
        framed[..., 0] = cos[:, None] * x + sin[:, None] * y
        framed[..., 1] = cos[:, None] * y - sin[:, None] * x
        framed[..., 2] = centred[..., 2] / np.sqrt(squared)[:, None]
    framed[squared == 0] = np.nan
    return framed


class Encoded(NamedTuple):
    """Everything that an encoder gives for N faces: what ExpLLM is shown."""

    intensity: np.ndarray  # (N, K)
    expression: np.ndarray  # (N, 8)
    features: np.ndarray  # (N, C, h, w)
    embedding: np.ndarray  # (N, E)
    early: np.ndarray  # (N, D, h, w)


class AUModel:
    """A loaded model. `names` are the columns of what `predict` gives."""

    def __init__(self, session: Any, metadata: Metadata, info: ModelInfo) -> None:
        self._session = session
        self._inputs = metadata.inputs
        self._spatial = metadata.spatial
        self.names: tuple[str, ...] = metadata.aus
        self.info = info

    @classmethod
    def load(cls, spec: str | Path = "landmarks", *, device: Device = "auto", threads: int = 1) -> AUModel:
        """A bundled model ('landmarks', 'perception') or an ONNX file.

        Raises ModelMissing, ModelContract (the file is no AU model), ProviderUnavailable (cuda asked for and not
        there), ExtraMissing (no onnxruntime).
        """
        path = NAMED.get(str(spec)) or Path(spec)
        if not path.is_file():
            raise ModelMissing(f"AU model {path} is not there: give the path of an ONNX file, or one of {', '.join(NAMED)}")
        content = path.read_bytes()
        session, reason = _session(path, content, device, threads)
        metadata = read_metadata(session.get_modelmeta().custom_metadata_map, path)
        _check_tensors(session, metadata, path)
        info = ModelInfo(
            name=metadata.name,
            version=metadata.version,
            sha256=hashlib.sha256(content).hexdigest(),
            aus=metadata.aus,
            provider=session.get_providers()[0],
            provider_reason=reason,
            threads=threads,
            training_data=metadata.training_data,
            licence=metadata.licence,
            path=str(path),
        )
        return cls(session, metadata, info)

    @property
    def spatial(self) -> bool:
        """Does it also read the expression, with the map that it comes from?"""
        return self._spatial is not None

    @property
    def source(self) -> str:
        """What results name it by."""
        return f"{self.info.name} {self.info.version} {self.info.sha256[:12]}"

    @property
    def needs_landmarks(self) -> bool:
        return self._inputs.landmarks is not None

    @property
    def needs_crop(self) -> bool:
        return self._inputs.crop is not None

    @property
    def crop_input(self) -> CropInput:
        """How faces are cut for it. Raises ModelContract when it looks at no crop."""
        if self._inputs.crop is None:
            raise ModelContract(f"AU model {self.info.path} looks at no crop of the face")
        return self._inputs.crop

    def crops(self, image: np.ndarray, faces: Sequence[Face]) -> list[np.ndarray] | None:
        """The crops (size_px, size_px, 3) uint8 that `predict` wants, or None when the model looks at none."""
        crop = self._inputs.crop
        if crop is None:
            return None
        return [align(image, face.landmarks, crop.size_px, crop.ied_px)[0] for face in faces]

    def predict(self, landmarks: Sequence[np.ndarray] | None, crops: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Intensities (N, K) float32, 0-5, of N faces: landmarks (478, 3) in pixels, crops as `crops` makes them."""
        feed, count = self._feed(landmarks, crops)
        if not count:
            return np.zeros((0, len(self.names)), np.float32)
        return np.clip(self._session.run(["intensity"], feed)[0], 0.0, MAX_INTENSITY)

    def look(self, picture: np.ndarray, landmarks: np.ndarray) -> Seen | None:
        """The expression of one face in one picture and the map behind it; None when the model has no spatial map.

        `picture` (H, W, 3) uint8 RGB, `landmarks` (478, 3) in its pixels. A run of the network of its own, for the few
        pictures that are shown: these can afford the mirror image too; expression and features are the mean of both.
        """
        crop = self._inputs.crop
        if self._spatial is None or crop is None:
            return None
        aligned, to_crop = align(picture, landmarks, crop.size_px, crop.ied_px)
        feed, _ = self._feed([landmarks, mirrored(landmarks)], [aligned, aligned[:, ::-1]])
        expression, features = self._session.run(["expression", "features"], feed)
        weights = np.array(self._spatial.class_weights, np.float32)
        both = (features[0] + features[1][..., ::-1]) / 2
        return Seen(expression.mean(axis=0), both, weights, crop.size_px, to_crop)

    def express(
        self, landmarks: Sequence[np.ndarray] | None, crops: Sequence[np.ndarray] | None, *, mirror: bool = False
    ) -> np.ndarray:
        """Expression probabilities (N, 8) in the order of records.LABELS, of the same inputs as `predict`.

        `mirror`: the mean over each face and its mirror image, as `look` gives it.
        Landmarks of NaN say that none were found: whether the model can do without is its own matter. Raises
        ModelContract when the model names no expression.
        """
        if self._spatial is None:
            raise ModelContract(f"AU model {self.info.path} names no expression: give one with `spatial` (docs/au-model.md)")
        feed, count = self._feed(landmarks, crops)
        given = self._session.run(["expression"], feed)[0] if count else np.zeros((0, len(LABELS)), np.float32)
        if not mirror:
            return given
        turned = None if landmarks is None else [mirrored(points) for points in landmarks]
        return (given + self.express(turned, None if crops is None else [crop[:, ::-1] for crop in crops])) / 2

    def encode(self, landmarks: Sequence[np.ndarray] | None, crops: Sequence[np.ndarray] | None) -> Encoded:
        """All outputs for N > 0 faces, of the same inputs as `predict`. Raises ModelContract when it is no encoder."""
        missing = set(Encoded._fields) - {output.name for output in self._session.get_outputs()}
        if missing or self._spatial is None:
            raise ModelContract(
                f"{self.info.path} cannot be ExpLLM's encoder: it gives no {', '.join(sorted(missing)) or 'spatial map'}"
            )
        return Encoded(*self._session.run(list(Encoded._fields), self._feed(landmarks, crops)[0]))

    def _feed(
        self, landmarks: Sequence[np.ndarray] | None, crops: Sequence[np.ndarray] | None
    ) -> tuple[dict[str, np.ndarray], int]:
        """The inputs of the network, and how many faces there are."""
        feed: dict[str, np.ndarray] = {}
        count = 0
        if self.needs_landmarks:
            if landmarks is None:
                raise ValueError(f"AU model {self.info.name} needs landmarks")
            count = len(landmarks)
            if count:
                feed["landmarks"] = to_face_frame(np.stack(landmarks))
        if self._inputs.crop is not None:
            if crops is None:
                raise ValueError(f"AU model {self.info.name} needs crops: pass what crops(image, faces) gives")
            count = len(crops)
            if count:
                feed["crop"] = self._normalised(np.stack(crops))
        return feed, count

    def _normalised(self, crops: np.ndarray) -> np.ndarray:
        crop = self._inputs.crop
        assert crop is not None
        if crop.dtype == "float32":
            crops = (crops.astype(np.float32) / 255 - np.array(crop.mean, np.float32)) / np.array(crop.std, np.float32)
        return np.ascontiguousarray(crops.transpose(0, 3, 1, 2))


def _session(path: Path, content: bytes, device: Device, threads: int) -> tuple[Any, str]:
    """An onnxruntime session and why it runs where it runs."""
    try:
        import onnxruntime as ort
    except ImportError:
        raise ExtraMissing.of("onnxruntime", "cpu", "measuring action units") from None
    has_cuda = "CUDAExecutionProvider" in ort.get_available_providers()
    if device == "cuda" and not has_cuda:
        raise ProviderUnavailable(
            "action_units.device is cuda, but this onnxruntime has no CUDA: pip install 'streamfer[gpu]' "
            "(and uninstall onnxruntime), or set it to auto"
        )
    use_cuda = device != "cpu" and has_cuda
    if use_cuda:
        ort.preload_dlls()  # finds the CUDA libraries that came as wheels
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"] if use_cuda else ["CPUExecutionProvider"]
    try:
        session = ort.InferenceSession(content, options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no base class
        raise ModelError(f"AU model {path} cannot be loaded: {str(error).splitlines()[0]}") from None
    got_cuda = session.get_providers()[0] == "CUDAExecutionProvider"
    if device == "cuda" and not got_cuda:  # it only warns, and goes on on the CPU
        raise ProviderUnavailable(
            "action_units.device is cuda, but CUDA could not be started: the driver or CUDA's libraries are missing, "
            "or of another version than onnxruntime-gpu wants; `streamfer doctor` tells more, auto goes on without"
        )
    if device != "auto":
        return session, f"as asked: {device}"
    if got_cuda:
        return session, "auto: CUDA is there"
    return session, "auto: CUDA could not be started" if use_cuda else "auto: this onnxruntime has no CUDA"


def _check_tensors(session: Any, metadata: Metadata, path: Path) -> None:
    """Raises ModelContract when names, types or shapes are not those of the contract."""
    wanted: dict[str, tuple[str, list[int | None]]] = {}
    if metadata.inputs.landmarks is not None:
        wanted["landmarks"] = ("tensor(float)", [LANDMARKS, 3])
    crop = metadata.inputs.crop
    if crop is not None:
        element = {"float32": "tensor(float)", "uint8": "tensor(uint8)"}[crop.dtype]
        wanted["crop"] = (element, [3, crop.size_px, crop.size_px])
    got = {tensor.name: tensor for tensor in session.get_inputs()}
    if set(got) != set(wanted):
        raise ModelContract(
            f"AU model {path} has inputs {sorted(got)}, its metadata says {sorted(wanted)}: "
            "name them 'landmarks' and/or 'crop' when exporting"
        )
    outputs = {tensor.name: tensor for tensor in session.get_outputs()}
    if "intensity" not in outputs:
        raise ModelContract(f"AU model {path} has outputs {sorted(outputs)}: name the one with the AUs 'intensity'")
    told: dict[str, tuple[str, list[int | None]]] = {"intensity": ("tensor(float)", [len(metadata.aus)])}
    if metadata.spatial is not None:
        told["expression"] = ("tensor(float)", [len(LABELS)])
        told["features"] = ("tensor(float)", [len(metadata.spatial.class_weights[0]), None, None])
        missing = told.keys() - outputs.keys()
        if missing:
            raise ModelContract(
                f"AU model {path} has outputs {sorted(outputs)}, its metadata names a spatial map: "
                f"export {' and '.join(sorted(missing))} too, or leave `spatial` out"
            )
    for tensors, shapes in ((got, wanted), (outputs, told)):
        for name, (element, shape) in shapes.items():
            _check_tensor(tensors[name], element, shape, path)


def _check_tensor(tensor: Any, element: str, shape: list[int | None], path: Path) -> None:
    """None in `shape` is any length."""
    batch, *rest = tensor.shape
    if isinstance(batch, int):
        raise ModelContract(
            f"AU model {path}: '{tensor.name}' takes batches of {batch} only: export it with a dynamic first axis"
        )
    # a symbolic axis may turn out right
    fits = len(rest) == len(shape) and all(
        b is None or not isinstance(a, int) or a == b for a, b in zip(rest, shape, strict=True)
    )
    if tensor.type != element or not fits:
        raise ModelContract(
            f"AU model {path}: '{tensor.name}' is {tensor.type} {tensor.shape}, the contract and its metadata say "
            f"{element} [N, {', '.join('any' if length is None else str(length) for length in shape)}]"
        )
