"""AU models that say an expression and where it came from: contract, reading, and the way to the files of an event."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import streamfer
from streamfer.action_units.contract import CropInput, Inputs, LandmarkInput, Metadata, Spatial, write_metadata
from streamfer.action_units.model import AUModel
from streamfer.errors import ModelContract
from streamfer.expllm.look import open_finder
from streamfer.expression.facemaps import CAM_FILE, read_words, record
from streamfer.faces.align import IBUG68, LEFT_INNER_EYE, RIGHT_INNER_EYE, align
from streamfer.faces.mirror import mirrored
from streamfer.keyframes import KeyFrames
from streamfer.records import LABELS, Box, Face, Frame, HeadPose, Quality
from streamfer.video import open_video
from tests.test_expression_cues import FACE
from tests.test_expression_facemaps import SMILE

SAMPLE = Path(__file__).parents[1] / "samples/portrait.mp4"
SIZE_PX = 56
CROP = CropInput(size_px=SIZE_PX, ied_px=SIZE_PX / 4, dtype="uint8")
WEIGHTS = np.zeros((8, 3), np.float32)
WEIGHTS[LABELS.index("happiness"), 0] = 1.0  # red speaks for happiness
WEIGHTS[LABELS.index("anger"), 2] = 1.0
POINTS = np.zeros((478, 3), np.float32)
POINTS[list(IBUG68), :2] = FACE
POINTS[RIGHT_INNER_EYE, :2], POINTS[LEFT_INNER_EYE, :2] = FACE[39], FACE[42]


def red_model(path: Path, drop: str = "") -> Path:
    """features = the colours, averaged over cells of 4 px; intensity their mean; expression = softmax of red and blue."""
    nodes = [
        helper.make_node("Cast", ["crop"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["floats"], ["features"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("ReduceMean", ["features"], ["intensity"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["intensity", "weights"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["expression"], axis=1),
    ]
    outputs = {
        "intensity": ["N", 3],
        "expression": ["N", 8],
        "features": ["N", 3, SIZE_PX // 4, SIZE_PX // 4],
    }
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("crop", TensorProto.UINT8, ["N", 3, SIZE_PX, SIZE_PX])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in outputs.items() if n != drop],
        [helper.make_tensor("weights", TensorProto.FLOAT, WEIGHTS.shape, WEIGHTS.ravel())],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def metadata(weights: np.ndarray | None = WEIGHTS) -> Metadata:
    spatial = None if weights is None else Spatial(class_weights=tuple(map(tuple, weights.tolist())))
    return Metadata(
        name="red", version="1", aus=("AU12_L", "AU12_R", "AU17"), inputs=Inputs(crop=CROP), spatial=spatial,
        training_data="none", licence="MIT",
    )  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> AUModel:
    path = red_model(tmp_path / "red.onnx")
    write_metadata(path, metadata())
    return AUModel.load(path, device="cpu")


def red_at(points: np.ndarray, index: int, side_px: int = 256) -> np.ndarray:
    """A grey picture that is red round one landmark."""
    picture = np.full((side_px, side_px, 3), 60, np.uint8)
    x, y = points[index, :2].astype(int)
    picture[y - 14 : y + 14, x - 14 : x + 14] = (255, 60, 60)
    return picture


def test_look_gives_the_outputs_of_the_aligned_crop(model: AUModel) -> None:
    picture = red_at(POINTS, 291)
    seen = model.look(picture, POINTS)
    assert seen is not None
    crop, to_crop = align(picture, POINTS, SIZE_PX, SIZE_PX / 4)
    np.testing.assert_allclose(seen.features.mean(axis=(1, 2)), crop.mean(axis=(0, 1)), rtol=1e-4)
    np.testing.assert_allclose(seen.to_crop, to_crop)
    np.testing.assert_array_equal(seen.weights, WEIGHTS)
    assert seen.crop_px == SIZE_PX and seen.features.shape == (3, 14, 14)
    assert LABELS[int(seen.expression.argmax())] == "happiness"
    assert seen.expression.sum() == pytest.approx(1, abs=1e-5)


def test_a_picture_and_its_mirror_image_have_one_expression() -> None:
    """By the bundled network, which by itself tells them apart a little."""
    model = AUModel.load("perception", device="cpu")
    with open_video(SAMPLE) as source:
        frame = next(iter(source))
    with closing(open_finder()) as finder:
        points = finder.find(frame)[0].points
    picture, turned = frame.image, mirrored(points)
    turned[..., 0] += picture.shape[1] - 1
    one, other = model.look(picture, points), model.look(np.ascontiguousarray(picture[:, ::-1]), turned)
    assert one is not None and other is not None
    np.testing.assert_allclose(one.expression, other.expression, atol=0.02)
    maps = [seen.features.mean(axis=0) for seen in (one, other)]
    assert np.corrcoef(maps[0].ravel(), maps[1][:, ::-1].ravel())[0, 1] > 0.99
    crop = align(picture, points, model.crop_input.size_px, model.crop_input.ied_px)[0]
    alone, both = model.express([points], [crop])[0], model.express([points], [crop], mirror=True)[0]
    np.testing.assert_allclose(both, one.expression, atol=1e-5)
    assert np.abs(alone - both).max() > 1e-3
    assert one.expression.sum() == pytest.approx(1, abs=1e-4)


def test_a_model_without_a_map_shows_nothing(tmp_path: Path) -> None:
    path = red_model(tmp_path / "plain.onnx")
    write_metadata(path, metadata(weights=None))
    model = AUModel.load(path, device="cpu")
    assert model.look(red_at(POINTS, 291), POINTS) is None
    assert record(tmp_path / "keyframes", SMILE, red_at(POINTS, 291), POINTS, model) is False
    assert not (tmp_path / "keyframes").exists()


@pytest.mark.parametrize(("drop", "channels"), [("expression", 3), ("features", 3), ("", 5)])
def test_outputs_that_do_not_fit_are_refused(tmp_path: Path, drop: str, channels: int) -> None:
    path = red_model(tmp_path / "bad.onnx", drop)
    write_metadata(path, metadata(np.ones((8, channels))))
    with pytest.raises(ModelContract, match=drop or "'features' is"):
        AUModel.load(path, device="cpu")


@pytest.mark.parametrize("weights", [np.zeros((7, 3)), np.zeros((8, 0))], ids=["seven labels", "no channels"])
def test_weights_that_do_not_fit_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(ValueError, match="class_weights"):
        Spatial(class_weights=tuple(map(tuple, weights.tolist())))


def test_a_map_needs_a_crop() -> None:
    fields = metadata().model_dump() | {"inputs": Inputs(landmarks=LandmarkInput())}
    with pytest.raises(ValueError, match="looks at no crop"):
        Metadata.model_validate(fields)


def test_from_frames_to_the_files_of_an_event(tmp_path: Path, model: AUModel) -> None:
    ring = KeyFrames(keep_s=10, image_px=128)
    points = POINTS + np.array([200, 90, 0], np.float32)
    picture = np.full((480, 640, 3), 60, np.uint8)
    picture[90:346, 200:456] = red_at(POINTS, 291)
    face = Face(SMILE.track, "P1", Box(230, 120, 196, 220), points, HeadPose(0, 0, 0), Quality(200, 99, 0, 0, True))
    ring.push(Frame(SMILE.apex.frame, SMILE.apex.time_s, picture), face)
    kept = ring.apex(SMILE)
    assert kept is not None
    assert record(tmp_path / "keyframes", SMILE, *kept, model)
    words = read_words(tmp_path / "keyframes", SMILE)
    assert words is not None
    assert (words.expression, words.strongest[0], words.aus) == ("happiness", "left mouth corner", ("AU12_L",))
    assert words.agreement is not None and words.agreement > 0.7


def test_the_whole_program_shows_what_such_a_model_looked_at(tmp_path: Path, model: AUModel) -> None:
    options = {"action_units.model": model.info.path, "explain.backend": "none"}
    analysis = streamfer.analyze(SAMPLE, tmp_path / "out", options=options)
    assert analysis.events
    for event in analysis.events:
        words = read_words(analysis.folder / "keyframes", event)
        assert words is not None and words.expression in LABELS, event.id
        assert (analysis.folder / "keyframes" / CAM_FILE.format(event.id)).stat().st_size > 500
    assert '"maps":{"cam":"keyframes/' in (analysis.folder / "report.html").read_text()
