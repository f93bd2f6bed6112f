"""Scene cuts: fire on a new picture, not on flashes, pans and fast movement."""

from __future__ import annotations

import numpy as np
import pytest

from streamfer.config import Faces
from streamfer.faces.cuts import CutDetector
from tests.face_shapes import textured


def cuts(images: list[np.ndarray], step_s: float = 0.04) -> list[int]:
    detector = CutDetector(Faces().scene_cut)
    return [i for i, image in enumerate(images) if detector.is_cut(image, i * step_s)]


def scaled(image: np.ndarray, gain: float, offset: float) -> np.ndarray:
    return np.clip(image.astype(float) * gain + offset, 0, 255).astype(np.uint8)


A, B = textured(1), textured(2)
WHITE, BLACK = np.full_like(A, 255), np.zeros_like(A)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([A] * 4, []),
        ([A, A, B, B, A], [2, 4]),
        ([A, A, scaled(A, 1.5, 20), A, A], []),
        ([A, A, scaled(A, 1.0, 110), A, A], []),
        ([A, A, scaled(A, 4, 100), scaled(A, 2.5, 60), A, A], []),
        ([A, A, scaled(A, 0.3, 0), A], []),
        ([scaled(A, g, 0) for g in np.linspace(1, 0.2, 20)], []),
        ([np.roll(A, 8 * i, axis=1) for i in range(12)], []),
        ([A, A, WHITE, WHITE, A], []),
        ([A, A, BLACK, BLACK, A], []),
        ([A, A, BLACK, B, B], [3]),
        ([BLACK, BLACK, B, B], [2]),
    ],
    ids=[
        "still", "two cuts", "flash", "bright flash", "washing flash", "light out", "fade", "pan",
        "white frames", "black frames", "cut through black", "out of black",
    ],
)  # fmt: skip
def test_cuts(images, expected):
    assert cuts(images) == expected


def test_a_long_black_is_a_picture_of_its_own():
    found = cuts([A] * 3 + [BLACK] * 30 + [A] * 3)
    assert all(3 <= i <= 33 for i in found)


def test_reset_forgets_the_picture():
    detector = CutDetector(0.45)
    detector.is_cut(A, 0.0)
    detector.reset()
    assert not detector.is_cut(B, 0.04)


def test_small_and_odd_pictures():
    detector = CutDetector(0.45)
    for i, shape in enumerate([(1, 1, 3), (7, 5, 3), (1080, 1920, 3)]):
        detector.is_cut(np.zeros(shape, np.uint8), float(i))
