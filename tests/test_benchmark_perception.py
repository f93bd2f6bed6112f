"""The measures of benchmarks/perception.py on numbers with known answers, the rule for the skin's share, and an int8 file."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import _perception as measures
from streamfer.action_units.model import AUModel
from streamfer.errors import UsageError
from streamfer.records import LABELS
from streamfer.training.face_crops import CROP_PX, MARGIN_PX, STORED_PX, FaceCrops
from streamfer.training.landmark_au import COLUMNS
from streamfer.training.skin_share import Reading, Trial, best, label_auc, table

NAMES = ("AU04", "AU12_L", "AU12_R")


def faces(count: int) -> FaceCrops:
    rng = np.random.default_rng(4)
    crops = rng.integers(0, 256, (count, STORED_PX, STORED_PX), dtype=np.uint8)
    points = rng.normal(28, 12, (count, 478, 3)).astype(np.float32)
    return FaceCrops(crops, points, np.ones(count, bool), np.arange(count))


def test_copies_are_found_byte_for_byte() -> None:
    images = np.arange(4 * 9, dtype=np.uint8).reshape(4, 3, 3)
    other = images.copy()
    other[0, 0, 0] += 1
    assert measures.copies(images, [other[:1], other[2:3]]).tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("votes", "label"),
    [
        pytest.param([4, 3, 2, 1, 0, 0, 0, 0, 0, 0], "neutral", id="most but no majority"),
        pytest.param([4, 4, 2, 0, 0, 0, 0, 0, 0, 0], None, id="tie"),
        pytest.param([3, 0, 0, 0, 0, 0, 0, 0, 7, 0], None, id="unknown"),
        pytest.param([1, 1, 1, 1, 1, 1, 1, 3, 0, 0], "contempt", id="single votes are slips"),
    ],
)
def test_plurality(votes: list[int], label: str | None) -> None:
    assert measures.plurality(np.array([votes])).tolist() == [LABELS.index(label) if label else -1]


def test_cosines_leave_out_faces_without_a_cue_and_weigh_classes_alike() -> None:
    happiness, contempt = LABELS.index("happiness"), LABELS.index("contempt")
    values = np.array([0.5] * 9 + [np.nan, 0.9])
    scores = measures.cosines(values, np.array([happiness] * 10 + [contempt]))
    assert scores.by_class == {"happiness": pytest.approx(0.5), "contempt": pytest.approx(0.9)}
    assert scores.mean == pytest.approx(0.7)
    assert scores.of_six == pytest.approx(0.5)
    assert scores.interval == (pytest.approx(0.7), pytest.approx(0.7))  # no spread within a class


def test_sides_swap_in_a_mirror() -> None:
    assert measures.swapped(NAMES).tolist() == [0, 2, 1]
    read = np.array([[1.0, 4.0, 0.0], [1.0, 2.0, 0.0]])
    mirrored = np.array([[3.0, 0.0, 4.0], [3.0, 0.0, 2.0]])  # whole-face columns are not compared
    assert measures.mirror_gap(read, mirrored, NAMES).mean == 0
    gap = measures.mirror_gap(read, mirrored + np.array([0.0, 1.0, 0.0]), NAMES)  # the mirror's left is the face's right
    assert (gap.mean, gap.worst, gap.worst_mean) == (0.5, "AU12_R", 1.0)


def test_a_face_turned_twice_is_itself() -> None:
    some = faces(2)
    again = measures.turned(measures.turned(some))
    np.testing.assert_array_equal(again.crops, some.crops)
    np.testing.assert_allclose(again.landmarks, some.landmarks, atol=1e-4)
    np.testing.assert_allclose(measures.turned(some).landmarks[:, 33, 0], CROP_PX - some.landmarks[:, 263, 0], atol=1e-4)


def test_the_crops_shown_are_the_products() -> None:
    some = faces(1)
    picture = measures.pictures(some)[0]
    assert picture.shape == (CROP_PX, CROP_PX, 3)
    assert (picture[0, 0] == some.crops[0, MARGIN_PX, MARGIN_PX]).all()


def test_landmark_models_are_given_no_crops() -> None:
    model = AUModel.load("landmarks", device="cpu")
    assert measures.intensities(model, faces(3)).shape == (3, len(model.names))


def test_intervals_draw_people() -> None:
    truth = np.repeat(np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 3.0], [3.0, 2.0]]), 2, axis=0)
    same = measures.people_interval(truth + 0.5, truth, np.arange(8) // 2, draws=20)
    assert same["mae"] == (0.5, 0.5)  # the same error on everybody: no spread
    one_bad = measures.people_interval(truth + np.repeat([0, 0, 0, 4], 2)[:, None], truth, np.arange(8) // 2, draws=50)
    assert one_bad["mae"][0] < 1 < one_bad["mae"][1]


# ------------------------------------------------------------------------------------- the skin's share


def trial(share: float, r_within: float, mae: float, auc: float, au: int = 4) -> Trial:
    return Trial(au, share, r_within, mae, 0.5, auc)


@pytest.mark.parametrize(
    ("tried", "shares"),
    [
        pytest.param([trial(0, 0.3, 0.3, 0.7), trial(1, 0.4, 0.3, 0.8)], {4: 1}, id="better everywhere"),
        pytest.param([trial(0, 0.3, 0.3, 0.7), trial(1, 0.4, 0.3, 0.6)], {}, id="worse on photographs"),
        pytest.param([trial(0, 0.3, 0.3, 0.7), trial(1, 0.4, 0.4, 0.8)], {}, id="larger error"),
        pytest.param([trial(0, 0.3, 0.3, np.nan), trial(1, 0.4, 0.2, np.nan)], {}, id="no photograph speaks for it"),
        pytest.param([trial(0, 0.3, 0.3, 0.7), trial(1, 0.3, 0.3, 0.7)], {}, id="no gain"),
        pytest.param([trial(0, 0.3, 0.3, 0.7), trial(1, 0.4, 0.3, 0.7), trial(2, 0.5, 0.4, 0.7)], {4: 1}, id="the best allowed"),
    ],
)
def test_the_rule_for_a_share(tried: list[Trial], shares: dict[int, float]) -> None:
    assert best(tried) == shares
    assert table(tried).count("**") == 2


def test_blending_adds_the_skin() -> None:
    reading = Reading(np.array([[1.0, 4.0, 0.4]]), np.array([[2.0, 8.0, -2.0]]))
    np.testing.assert_allclose(reading.blended(0.5), [[2.0, 5.0, 0.0]])


def test_auc_asks_expressions_that_speak_for_an_au_against_those_without_it() -> None:
    named = ["disgust", "neutral", "happiness", "anger"]
    labels = np.array([*(LABELS.index(name) for name in named), -1])
    # AU9: disgust speaks, anger a little and is left out, as is a face without a label
    assert label_auc(9, np.array([3.0, 1.0, 2.0, 9.0, 9.0]), labels) == 1
    assert label_auc(9, np.array([1.5, 1.0, 2.0, 0.0, 0.0]), labels) == 0.5
    assert np.isnan(label_auc(43, np.zeros(5), labels))  # in no expression's codebook


# ------------------------------------------------------------------------------------------------ int8


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A small untrained network, exported."""
    import torch

    from streamfer.training.perception_export import blend_of, export
    from streamfer.training.perception_net import MAP, NetSize, Perception

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("int8") / "small.onnx"
    regions = np.full((len(COLUMNS), MAP, MAP), 1 / MAP**2, np.float32)
    size = NetSize(stem=16, mid=16, deep=32, deep_blocks=1, out=16, points=8)
    net = Perception(regions, np.zeros((478, 3), np.float32), np.ones((478, 3), np.float32), size)
    export(net, path, blend=blend_of({4: 0.5}), version="1", training_data="made by a test")
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_int8_keeps_the_contract_and_nearly_the_answers(file, tmp_path) -> None:
    from streamfer.training.perception_int8 import dynamic, int8

    some = faces(12)
    crops, points = measures.pictures(some), list(some.landmarks)
    whole = AUModel.load(file, device="cpu")
    for name in ("static", "dynamic"):
        out = tmp_path / f"{name}.onnx"
        int8(file, out, crops, points) if name == "static" else dynamic(file, out)
        small = AUModel.load(out, device="cpu")
        assert out.stat().st_size < file.stat().st_size
        assert small.names == whole.names
        np.testing.assert_allclose(small.express(points, crops), whole.express(points, crops), atol=0.05)
        np.testing.assert_allclose(small.predict(points, crops), whole.predict(points, crops), atol=0.3)
        assert small.look(crops[0], some.landmarks[0]) is not None
        untouched = [k for k, column in enumerate(COLUMNS) if not column.startswith("AU04")]
        same = small.predict(points, crops)[:, untouched]
        np.testing.assert_allclose(same, whole.predict(points, crops)[:, untouched], atol=1e-5)  # landmarks stay float32


def test_int8_without_calibration_faces_is_refused(file, tmp_path) -> None:
    from streamfer.training.perception_int8 import int8

    with pytest.raises(UsageError, match="calibration"):
        int8(file, tmp_path / "x.onnx", [], [])
