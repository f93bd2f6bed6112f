"""The bundled model: small, complete, the same for a face and its mirror image, still when the head turns."""

from __future__ import annotations

import numpy as np
import pytest

from streamfer.action_units import facs
from streamfer.action_units.model import BUNDLED, AUModel
from streamfer.config import Faces
from streamfer.faces.landmarks import FaceMesh
from streamfer.records import Frame

skimage_data = pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def model() -> AUModel:
    return AUModel.load("landmarks", device="cpu", threads=1)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """A smiling woman with parted lips, NASA (public domain)."""
    return np.ascontiguousarray(skimage_data.astronaut()[:300, 60:400])


def landmarks_of(image: np.ndarray) -> np.ndarray:
    finder = FaceMesh(Faces(max_faces=1))
    try:
        assert finder.find(Frame(0, 0.0, image)), "no face found"
        return finder.find(Frame(1, 0.04, image))[0].points
    finally:
        finder.close()


@pytest.fixture(scope="module")
def face(portrait: np.ndarray) -> np.ndarray:
    return landmarks_of(portrait)


def test_has_the_promised_columns_and_says_where_it_comes_from(model: AUModel) -> None:
    numbers = {facs.parse(name)[0] for name in model.names}
    assert numbers == {1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 23, 24, 25, 26, 43}
    for number in numbers:
        assert set(facs.UNITS[number].columns) <= set(model.names)
    assert list(model.names) == facs.ordered(model.names)
    assert model.info.licence == "Apache-2.0" and "ICT-FaceKit" in model.info.training_data
    assert BUNDLED.stat().st_size < 2_000_000
    assert BUNDLED.with_suffix(".md").read_text(encoding="utf-8").startswith("# ")


def test_reads_a_smile_with_parted_lips(model: AUModel, face: np.ndarray) -> None:
    read = dict(zip(model.names, model.predict([face])[0], strict=True))
    assert read["AU12_L"] > 2 and read["AU12_R"] > 2 and read["AU25"] > 1
    assert max(read[name] for name in ("AU15_L", "AU15_R", "AU43_L", "AU43_R", "AU04_L", "AU04_R")) < 1.5


def test_left_and_right_change_places_in_the_mirror(model: AUModel, face: np.ndarray) -> None:
    partner = _mirror_partner(face)
    mirrored = face[partner] * np.float32([-1, 1, 1]) + np.float32([640, 0, 0])
    here, there = model.predict([face, mirrored])
    swap = [
        model.names.index(n[:-1] + {"L": "R", "R": "L"}[n[-1]]) if n[-1] in "LR" else i
        for i, n in enumerate(model.names)
    ]
    np.testing.assert_allclose(there[swap], here, atol=5e-3)


def _mirror_partner(face: np.ndarray) -> np.ndarray:
    from scipy.optimize import linear_sum_assignment

    from streamfer.action_units.model import to_face_frame

    framed = to_face_frame(face[None])[0]
    cost = np.linalg.norm(framed[:, None] - (framed * [-1, 1, 1])[None], axis=2) ** 2
    return linear_sum_assignment(cost)[1]


@pytest.mark.parametrize("angle_deg", [-25, 40])
def test_place_size_and_tilt_do_not_matter(model: AUModel, face: np.ndarray, angle_deg: float) -> None:
    angle = np.radians(angle_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    moved = face * np.float32(2.5)
    moved[:, :2] = moved[:, :2] @ turn + np.float32([500, -40])
    np.testing.assert_allclose(model.predict([moved]), model.predict([face]), atol=0.02)


def test_faces_of_a_batch_do_not_touch(model: AUModel, face: np.ndarray) -> None:
    other = face + np.random.default_rng(0).normal(0, 2, face.shape).astype(np.float32)
    together = model.predict([face, other, face])
    np.testing.assert_allclose(together[0], model.predict([face])[0], atol=1e-4)
    np.testing.assert_allclose(together[2], together[0], atol=1e-4)
    assert np.abs(together[1] - together[0]).max() > 0.05
