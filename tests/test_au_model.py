"""The contract of AU models: what keeps it is read and run, what breaks it is refused with what to change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from streamfer.action_units.contract import CropInput, Inputs, LandmarkInput, Metadata, write_metadata
from streamfer.action_units.fake import FakeAUs
from streamfer.action_units.model import AUModel, to_face_frame
from streamfer.errors import ModelContract, ModelError, ModelMissing, ProviderUnavailable
from streamfer.records import Box, Face, HeadPose, Quality

AUS = ("AU12_L", "AU12_R", "AU17")


def landmark_graph(
    path: Path, *, outputs: int = 3, batch: object = "N", points: int = 478, name: str = "landmarks",
    output: str = "intensity", element: int = TensorProto.FLOAT,
) -> Path:  # fmt: skip
    """intensity k = the x of landmark k, times 20."""
    nodes = [
        helper.make_node("Cast", [name], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["floats", "which"], ["rows"], axis=1),
        helper.make_node("Gather", ["rows", "zero"], ["x"], axis=2),
        helper.make_node("Mul", ["x", "twenty"], [output]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(name, element, [batch, points, 3])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, outputs])],
        [
            helper.make_tensor("which", TensorProto.INT64, [outputs], list(range(outputs))),
            helper.make_tensor("zero", TensorProto.INT64, [], [0]),
            helper.make_tensor("twenty", TensorProto.FLOAT, [], [20.0]),
        ],
    )  # fmt: skip
    return save(graph, path)


def crop_graph(path: Path, element: int = TensorProto.FLOAT, size: int = 32) -> Path:
    """intensity = the mean of each colour."""
    nodes = [
        helper.make_node("Cast", ["crop"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["intensity"], axes=[2, 3], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("crop", element, ["N", 3, size, size])],
        [helper.make_tensor_value_info("intensity", TensorProto.FLOAT, ["N", 3])],
    )  # fmt: skip
    return save(graph, path)


def save(graph: onnx.GraphProto, path: Path) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def metadata(**changes: object) -> Metadata:
    fields: dict[str, object] = {
        "name": "mine", "version": "1", "aus": AUS, "inputs": Inputs(landmarks=LandmarkInput()),
        "training_data": "none", "licence": "MIT",
    }  # fmt: skip
    return Metadata.model_validate({**fields, **changes})


def face_at(angle_deg: float = 0.0, scale: float = 40.0, shift: tuple[float, float] = (100.0, 80.0)) -> np.ndarray:
    """(478, 3) random landmarks with the inner eye corners `scale` px apart, turned by `angle_deg`."""
    rng = np.random.default_rng(0)
    framed = rng.uniform(-1, 1, (478, 3)).astype(np.float32)
    framed[133], framed[362] = (-0.5, 0, 0), (0.5, 0, 0)
    angle = np.radians(angle_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = framed * scale
    points[:, :2] = points[:, :2] @ turn + shift
    return points.astype(np.float32)


def face_of(points: np.ndarray) -> Face:
    return Face(1, "P1", Box(0, 0, 1, 1), points, HeadPose(0, 0, 0), Quality(100, 50, 0, 0, True))


@pytest.mark.parametrize(
    ("angle", "scale", "shift"),
    [(0, 40, (100, 80)), (30, 40, (100, 80)), (-75, 12.5, (0, 0)), (180, 300, (-50, 900))],
    ids=["upright", "tilted", "small", "upside-down"],
)
def test_face_frame_undoes_place_size_and_tilt(angle: float, scale: float, shift: tuple[float, float]) -> None:
    framed = to_face_frame(face_at(angle, scale, shift)[None])[0]
    np.testing.assert_allclose(framed, face_at(0, 1, (0, 0)), atol=2e-4)
    np.testing.assert_allclose(framed[[133, 362]], [[-0.5, 0, 0], [0.5, 0, 0]], atol=1e-5)


def test_face_without_eye_distance_is_nan_and_spares_the_others() -> None:
    flat = face_at()
    flat[362] = flat[133]
    framed = to_face_frame(np.stack([face_at(), flat]))
    assert np.isfinite(framed[0]).all() and np.isnan(framed[1]).all()


def test_landmark_model_runs_and_is_clipped(tmp_path: Path) -> None:
    path = landmark_graph(tmp_path / "m.onnx")
    write_metadata(path, metadata())
    model = AUModel.load(path, device="auto", threads=1)
    framed = to_face_frame(face_at()[None])
    got = model.predict([face_at(), face_at(40, 200)])
    assert got.shape == (2, 3) and got.dtype == np.float32
    np.testing.assert_allclose(got[0], np.clip(framed[0, :3, 0] * 20, 0, 5), atol=1e-4)
    np.testing.assert_allclose(got[1], got[0], atol=5e-3)
    assert got.min() == 0.0 and got.max() == 5.0  # both ends were clipped
    assert model.needs_landmarks and not model.needs_crop
    assert model.crops(np.zeros((10, 10, 3), np.uint8), [face_of(face_at())]) is None
    assert model.predict([]).shape == (0, 3)


def test_info_says_what_ran_where_and_why(tmp_path: Path) -> None:
    path = landmark_graph(tmp_path / "m.onnx")
    write_metadata(path, metadata())
    info = AUModel.load(path, device="cpu", threads=2).info
    assert (info.name, info.version, info.aus, info.threads) == ("mine", "1", AUS, 2)
    assert (info.provider, info.provider_reason) == ("CPUExecutionProvider", "as asked: cpu")
    assert len(info.sha256) == 64 and info.licence == "MIT" and info.path == str(path)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_crop_model_gets_the_pixels_its_metadata_asks_for(tmp_path: Path, dtype: str) -> None:
    element = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}[dtype]
    path = crop_graph(tmp_path / "m.onnx", element)
    crop = {"size_px": 32, "ied_px": 8, "dtype": dtype, "mean": (0.5, 0.0, 0.0), "std": (0.25, 1.0, 0.1)}
    write_metadata(path, metadata(inputs={"crop": crop}))
    model = AUModel.load(path)
    image = np.empty((200, 200, 3), np.uint8)
    image[:] = (255, 51, 102)
    crops = model.crops(image, [face_of(face_at())])
    assert crops is not None and crops[0].shape == (32, 32, 3)
    wanted = np.array([[2.0, 0.2, 4.0]]) if dtype == "float32" else np.array([[5.0, 5.0, 5.0]])
    np.testing.assert_allclose(model.predict(None, crops), wanted, atol=1e-4)
    with pytest.raises(ValueError, match="needs crops"):
        model.predict([face_at()])


def test_metadata_keeps_other_properties(tmp_path: Path) -> None:
    path = landmark_graph(tmp_path / "m.onnx")
    model = onnx.load(path)
    helper.set_model_props(model, {"author": "me"})
    onnx.save(model, path)
    write_metadata(path, metadata())
    write_metadata(path, metadata(version="2"))
    props = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert props["author"] == "me" and '"version":"2"' in props["streamfer"]


def test_au_names_become_columns() -> None:
    assert metadata(aus=("AU4_L", "au17")).aus == ("AU04_L", "AU17")


def test_file_without_metadata_is_refused_with_what_to_add(tmp_path: Path) -> None:
    path = landmark_graph(tmp_path / "m.onnx")
    with pytest.raises(ModelContract, match=r"m\.onnx.*metadata_props\['streamfer'\].*write_metadata.*docs/au-model\.md"):
        AUModel.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", "is not JSON", id="no-json"),
        pytest.param("{}", "name: Field required", id="empty"),
        pytest.param(metadata().to_json().replace("AU17", "AU99"), "AU99", id="unknown-au"),
        pytest.param(metadata().to_json().replace("AU17", "AU12_L"), "named twice: AU12_L", id="au-twice"),
        pytest.param(metadata().to_json().replace('"licence"', '"license"'), "licence: Field required", id="key"),
        pytest.param(metadata().to_json().replace('"schema":1', '"schema":2'), "schema", id="newer-schema"),
        pytest.param(metadata().to_json().replace('{"frame":"eyes"}', "null"), "at least one input", id="no-input"),
    ],
)
def test_bad_metadata_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = landmark_graph(tmp_path / "m.onnx")
    model = onnx.load(path)
    helper.set_model_props(model, {"streamfer": text})
    onnx.save(model, path)
    with pytest.raises(ModelContract, match=message):
        AUModel.load(path)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        pytest.param({"name": "input"}, r"inputs \['input'\].*says \['landmarks'\]", id="input-name"),
        pytest.param({"output": "out"}, r"outputs \['out'\].*'intensity'", id="output-name"),
        pytest.param({"batch": 1}, "batches of 1 only", id="fixed-batch"),
        pytest.param({"points": 468}, r"468.*tensor\(float\) \[N, 478, 3\]", id="points"),
        pytest.param({"outputs": 4}, r"'intensity' is .*4\].*\[N, 3\]", id="as-many-outputs-as-names"),
        pytest.param({"element": TensorProto.DOUBLE}, r"tensor\(double\)", id="type"),
    ],
)
def test_wrong_tensors_are_refused(tmp_path: Path, graph: dict, message: str) -> None:
    path = landmark_graph(tmp_path / "m.onnx", **graph)
    write_metadata(path, metadata())
    with pytest.raises(ModelContract, match=message):
        AUModel.load(path)


def test_crop_size_must_be_that_of_the_metadata(tmp_path: Path) -> None:
    path = crop_graph(tmp_path / "m.onnx", size=64)
    write_metadata(path, metadata(inputs=Inputs(crop=CropInput(size_px=32, ied_px=8))))
    with pytest.raises(ModelContract, match=r"64.*\[N, 3, 32, 32\]"):
        AUModel.load(path)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"nowhere\.onnx"):
        AUModel.load(tmp_path / "nowhere.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"broken\.onnx cannot be loaded"):
        AUModel.load(broken)
    with pytest.raises(ModelMissing):
        write_metadata(tmp_path / "nowhere.onnx", metadata())


def test_cuda_that_is_not_there_is_an_error_and_auto_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    path = landmark_graph(tmp_path / "m.onnx")
    write_metadata(path, metadata())
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ProviderUnavailable, match=r"no CUDA.*streamfer\[gpu\]"):
        AUModel.load(path, device="cuda")
    info = AUModel.load(path, device="auto").info
    assert (info.provider, info.provider_reason) == ("CPUExecutionProvider", "auto: this onnxruntime has no CUDA")


def test_cuda_that_falls_back_silently_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime-gpu without its CUDA libraries gives a CPU session and a warning."""
    import onnxruntime

    path = landmark_graph(tmp_path / "m.onnx")
    write_metadata(path, metadata())
    start = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda content, options, providers: start(content, options, providers=["CPUExecutionProvider"]),
    )
    with pytest.raises(ProviderUnavailable, match="could not be started"):
        AUModel.load(path, device="cuda")
    assert AUModel.load(path, device="auto").info.provider_reason == "auto: CUDA could not be started"


def test_fake_keeps_the_interface_of_the_model() -> None:
    fake = FakeAUs(("AU12_L", "AU4"), lambda points: (points[0, 0], 9.0))
    points = np.full((478, 3), 1.5, np.float32)
    np.testing.assert_allclose(fake.predict([points], fake.crops(np.zeros((4, 4, 3)), [])), [[1.5, 5.0]])
    assert fake.names == ("AU12_L", "AU04") and fake.info.aus == fake.names
    assert fake.predict([]).shape == (0, 2)
    public = {n for n in dir(AUModel) if not n.startswith("_")} - {"load"}
    assert public <= set(dir(fake))
