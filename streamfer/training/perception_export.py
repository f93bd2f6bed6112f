"""The perception network as one ONNX file: the landmark AU model inside it, both checked against what they came from.

    export(net, Path("perception.onnx"), blend=blend_of({4: 0.5, 9: 0.5}), version="1", training_data="...")

Inputs `crop` (N, 3, 56, 56) uint8 and `landmarks` (N, 478, 3) in the face frame, outputs of the contract (`intensity`,
`expression`, `features`), `embedding` (N, 192) and `early` (N, 64, 14, 14), which ExpLLM looks at. The graph of the bundled
landmark model is put in beside the network (onnx.compose), and the skin's reading, 0 at rest, is added to its own:

    intensity = landmark reading + blend * skin reading

A column with blend 0 is exactly the landmark model's. skin_share.py says how the blend of a shipped file is chosen, and why
the two are not averaged.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamfer.action_units.contract import CropInput, Inputs, LandmarkInput, Metadata, Spatial, write_metadata
from streamfer.action_units.model import BUNDLED
from streamfer.errors import ModelContract
from streamfer.training.face_crops import CROP_PX, IED_PX
from streamfer.training.landmark_au import COLUMNS
from streamfer.training.perception import PerceptionTraining
from streamfer.training.perception_net import Perception

OPSET = 17
TOLERANCE = 2e-3


def export_run(net: Perception, config: PerceptionTraining) -> Path:
    """Write `config.out / perception.onnx`, with the skin's share of each AU chosen by skin_share.py; returns its path.

    Without ICT-FaceKit nothing can be chosen, and the intensities are the landmark model's.
    """
    from streamfer.training.skin_share import choose

    path = config.out / "perception.onnx"
    data = f"FER+ ({', '.join(p.name for p in config.fer)}; labels MIT, images FER2013)"
    shares: Mapping[int, float] = {}
    if config.ict is not None:
        data += f"; renders of {len(config.seeds) * config.people} ICT-FaceKit people (MIT)"
        shares = choose(net.eval().cpu(), config)
    data += "".join(f"; {item.said}" for item in config.coded)
    if shares:
        data += "; skin's share " + ", ".join(f"AU{au} {share:g}" for au, share in sorted(shares.items()))
    export(net, path, blend=blend_of(shares), version="1", training_data=data)
    return path


def blend_of(shares: Mapping[int, float]) -> np.ndarray:
    """(K,) how much of the skin's reading is added, from AU numbers; 0 for those that are not named."""
    return np.array([shares.get(int(column[2:4]), 0.0) for column in COLUMNS], np.float32)


def export(
    net: Perception, path: Path, *, blend: np.ndarray, version: str, training_data: str, landmark_model: Path = BUNDLED
) -> None:
    """Write the file with its metadata. Raises ModelContract when it does not answer as its two halves do."""
    import onnx

    net = net.eval().cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    with tempfile.TemporaryDirectory() as folder:
        half = Path(folder) / "net.onnx"
        _export_net(net, half)
        own, other = onnx.load(half), onnx.load(landmark_model)
    if tuple(_columns(other)) != COLUMNS:
        raise ModelContract(f"{landmark_model} has other columns than the perception network: train it again first")
    whole = _joined(own, other, blend)
    onnx.save(whole, path)
    write_metadata(path, _metadata(net, version, training_data))
    check(net, path, landmark_model, blend)


def _export_net(net: Perception, path: Path) -> None:
    example = (torch.zeros(2, 3, CROP_PX, CROP_PX, dtype=torch.uint8), torch.randn(2, 478, 3))
    outputs = ["expression", "skin", "features", "embedding", "early"]
    axes = {name: {0: "N"} for name in ("crop", "landmarks", *outputs)}
    with warnings.catch_warnings():  # the TorchScript exporter is named old, and is what handles dynamic batches plainly
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            net, example, str(path), input_names=["crop", "landmarks"], output_names=outputs, opset_version=OPSET,
            dynamic_axes=axes, dynamo=False,
        )  # fmt: skip


def _columns(model: Any) -> list[str]:
    import json

    return list(json.loads({p.key: p.value for p in model.metadata_props}["streamfer"])["aus"])


def _joined(own: Any, other: Any, blend: np.ndarray) -> Any:
    """One graph in which both read the same landmarks."""
    from onnx import compose, helper, numpy_helper

    other = compose.add_prefix(other, "landmark_model/", rename_inputs=False)
    inner = other.graph.output[0].name
    own_graph, other_graph = own.graph, other.graph
    own_graph.node.extend(other_graph.node)
    own_graph.initializer.extend(other_graph.initializer)
    own_graph.initializer.append(numpy_helper.from_array(blend.astype(np.float32), "blend/skin"))
    own_graph.node.extend([
        helper.make_node("Mul", ["skin", "blend/skin"], ["blend/added"]),
        helper.make_node("Add", [inner, "blend/added"], ["intensity"]),
    ])  # fmt: skip
    kept = [output for output in own_graph.output if output.name != "skin"]
    del own_graph.output[:]
    own_graph.output.append(helper.make_tensor_value_info("intensity", 1, ["N", len(blend)]))
    own_graph.output.extend(kept)
    return own


def _metadata(net: Perception, version: str, training_data: str) -> Metadata:
    weights = net.label.weight.detach()[:, : net.size.out].numpy()
    return Metadata(
        name="streamfer perception",
        version=version,
        aus=COLUMNS,
        inputs=Inputs(landmarks=LandmarkInput(), crop=CropInput(size_px=CROP_PX, ied_px=IED_PX, dtype="uint8")),
        spatial=Spatial(class_weights=tuple(tuple(round(float(w), 6) for w in row) for row in weights)),
        training_data=training_data,
        licence="Apache-2.0",
    )


def check(net: Perception, path: Path, landmark_model: Path, blend: np.ndarray) -> None:
    """Raises ModelContract when the file's answers differ from torch's and the landmark model's by over 0.002."""
    import onnxruntime as ort

    session, points = (
        ort.InferenceSession(p.read_bytes(), providers=["CPUExecutionProvider"]) for p in (path, landmark_model)
    )
    rng = np.random.default_rng(0)
    mean_face = points_like_a_face(rng, 3)
    for count in (1, 3):
        crop = rng.integers(0, 256, (count, 3, CROP_PX, CROP_PX), dtype=np.uint8)
        landmarks = mean_face[:count]
        with torch.no_grad():
            expression, skin, features, embedding, early = net(torch.from_numpy(crop), torch.from_numpy(landmarks))
        read = points.run(None, {"landmarks": landmarks})[0]
        wanted = {
            "intensity": read + blend * skin.numpy(),
            "expression": expression.numpy(), "features": features.numpy(), "embedding": embedding.numpy(),
            "early": early.numpy(),
        }  # fmt: skip
        got = dict(zip(wanted, session.run(list(wanted), {"crop": crop, "landmarks": landmarks}), strict=True))
        for name, value in wanted.items():
            worst = float(np.abs(got[name] - value).max())
            if not worst <= TOLERANCE * max(1.0, float(np.abs(value).max())):
                raise ModelContract(f"{path}: output {name} differs from the network's by {worst:.3g}")


def points_like_a_face(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 478, 3) float32 points of no face, spread enough that turning them to the front is well defined."""
    return (rng.normal(0, 0.5, (1, 478, 3)) + rng.normal(0, 0.02, (count, 478, 3))).astype(np.float32)
