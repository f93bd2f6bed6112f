"""A model that looks at the skin only now and then: what it adds is followed without steps, per face, and nothing is invented."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from streamfer.action_units.fake import FakeAUs
from streamfer.action_units.model import AUModel
from streamfer.action_units.paced import GAP_S, PacedModel
from streamfer.config import ActionUnits
from streamfer.records import Box, Face, Frame, HeadPose, Quality

NAMES = ("AU04_L", "AU04_R")


class Skin(FakeAUs):
    """Landmarks say 1; the picture's brightness / 50 comes on top. Counts how many faces it looked at."""

    needs_crop = True

    def __init__(self, names: Sequence[str] = NAMES) -> None:
        super().__init__(names, lambda points: [1.0] * len(names))
        self.looked: list[int] = []

    def crops(self, image: np.ndarray, faces: Sequence[Face]) -> list[np.ndarray]:  # type: ignore[override]
        self.looked.append(len(faces))
        return [image for _ in faces]

    def predict(self, landmarks: Sequence[np.ndarray], crops: Sequence[np.ndarray] | None = None) -> np.ndarray:
        assert crops is not None
        return super().predict(landmarks) + np.array([crop.mean() / 50 for crop in crops], np.float32)[:, None]


def steady(names: Sequence[str] = NAMES) -> FakeAUs:
    return FakeAUs(names, lambda points: [1.0] * len(names))


def frame(index: int, time_s: float, grey: int) -> Frame:
    return Frame(index, time_s, np.full((8, 8, 3), grey, np.uint8))


def face(track: int = 1) -> Face:
    return Face(track, "", Box(0, 0, 8, 8), np.zeros((478, 3), np.float32), HeadPose(0, 0, 0, 0, 0, 500),
                Quality(100, 100, 0, 0, usable=True))  # fmt: skip


def read(units: PacedModel, greys: Sequence[int], fps: float, start: int = 0) -> np.ndarray:
    return np.concatenate([
        units.read(frame(i, i / fps, grey), [face()])[:, 0] for i, grey in enumerate(greys, start)
    ])  # fmt: skip


@pytest.mark.parametrize(("fps", "expected"), [(100.0, 10), (30.0, 10), (25.0, 9), (10.0, 10), (5.0, 5)],
                         ids=["100 fps", "30 fps", "25 fps, every third", "every frame", "slower than looks"])  # fmt: skip
def test_looks_so_many_times_a_second(fps: float, expected: int) -> None:
    skin = Skin()
    read(PacedModel(skin, steady(), 10.0), [50] * int(fps), fps)
    assert len(skin.looked) == expected


def test_first_look_counts_at_once_and_a_change_is_followed_in_a_straight_line() -> None:
    got = read(PacedModel(Skin(), steady(), 10.0), [50] * 10 + [100] * 30, 100.0)
    assert got[:11] == pytest.approx([2.0] * 11)
    assert got[10:20] == pytest.approx(np.linspace(2.0, 2.9, 10), abs=1e-5)
    assert got[20:] == pytest.approx([3.0] * 20)


def test_no_step_is_larger_than_the_line_to_the_next_look() -> None:
    rng = np.random.default_rng(0)
    got = read(PacedModel(Skin(), steady(), 10.0), rng.integers(0, 200, 300).tolist(), 100.0)
    assert np.abs(np.diff(got)).max() <= 4.0 / 10 + 1e-5


def test_after_a_gap_it_begins_anew() -> None:
    units = PacedModel(Skin(), steady(), 10.0)
    read(units, [50] * 10, 100.0)
    late = units.read(frame(500, 0.1 + GAP_S + 0.01, 150), [face()])
    assert late[0, 0] == pytest.approx(4.0)


def test_faces_do_not_share_what_was_seen() -> None:
    units = PacedModel(Skin(), steady(), 10.0)
    units.read(frame(0, 0.0, 50), [face(1)])
    both = units.read(frame(1, 0.05, 150), [face(1), face(2)])
    assert both[:, 0] == pytest.approx([2.0, 4.0])
    units.forget(1)
    assert units.read(frame(2, 0.06, 150), [face(1)])[0, 0] == pytest.approx(4.0)


def test_intensity_stays_on_its_scale() -> None:
    assert read(PacedModel(Skin(), steady(), 10.0), [255] * 5, 100.0).max() <= 5.0


@pytest.mark.parametrize("case", ["every frame asked for", "no landmark model of the same AUs", "other AUs"])
def test_otherwise_every_frame_is_looked_at(case: str) -> None:
    skin = Skin()
    units = {
        "every frame asked for": PacedModel(skin, steady(), 0.0),
        "no landmark model of the same AUs": PacedModel(skin, None, 10.0),
        "other AUs": PacedModel(skin, steady(("AU12_L", "AU12_R")), 10.0),
    }[case]
    got = read(units, [50, 100, 150], 100.0)
    assert got == pytest.approx([2.0, 3.0, 4.0])
    assert skin.looked == [1, 1, 1]


def test_no_face() -> None:
    assert PacedModel(Skin(), steady(), 10.0).read(frame(0, 0.0, 50), []).shape == (0, 2)


def test_the_bundled_models_belong_together() -> None:
    perception, landmarks = AUModel.load("perception", device="cpu"), AUModel.load("landmarks", device="cpu")
    assert perception.names == landmarks.names
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (200, 200, 3), np.uint8)
    shown = [face()]
    points = rng.uniform(40, 160, (478, 3)).astype(np.float32)
    points[133], points[362] = (80, 80, 0), (120, 80, 0)
    shown = [Face(1, "", Box(0, 0, 200, 200), points, shown[0].pose, shown[0].quality)]
    paced = PacedModel.of(perception, ActionUnits(device="cpu"))
    whole = perception.predict([points], perception.crops(image, shown))
    assert paced.read(Frame(0, 0.0, image), shown) == pytest.approx(whole, abs=1e-5)
    slow = PacedModel.of(perception, ActionUnits(device="cpu", look_hz=0))
    assert slow.read(Frame(0, 0.0, image), shown) == pytest.approx(whole, abs=1e-6)
