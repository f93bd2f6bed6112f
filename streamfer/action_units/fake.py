"""Test double: AU intensities from a function, so that all that follows runs with no model and known truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from streamfer.action_units import facs
from streamfer.action_units.contract import CropInput
from streamfer.action_units.model import Encoded, ModelInfo
from streamfer.errors import ModelContract
from streamfer.records import Face


class FakeAUs:
    """`FakeAUs(("AU12_L", "AU12_R"), fn)`: fn(landmarks (478, 3)) gives the K intensities of one face."""

    needs_landmarks = True
    needs_crop = False
    spatial = False
    source = "fake 1"

    def __init__(self, names: Sequence[str], fn: Callable[[np.ndarray], Sequence[float] | np.ndarray]) -> None:
        self.names = tuple(facs.column(*facs.parse(name)) for name in names)
        self._fn = fn
        self.info = ModelInfo(
            name="fake", version="1", sha256="0" * 64, aus=self.names, provider="none", provider_reason="test double",
            threads=1, training_data="none", licence="Apache-2.0", path="",
        )  # fmt: skip

    def crops(self, image: np.ndarray, faces: Sequence[Face]) -> None:
        return

    def predict(self, landmarks: Sequence[np.ndarray], crops: Sequence[np.ndarray] | None = None) -> np.ndarray:
        rows = [np.asarray(self._fn(points), np.float32) for points in landmarks]
        return np.clip(np.stack(rows), 0, 5) if rows else np.zeros((0, len(self.names)), np.float32)

    @property
    def crop_input(self) -> CropInput:
        """It looks at no crop, which AUModel refuses too."""
        raise ModelContract("the test double looks at no crop")

    def encode(self, landmarks: Sequence[np.ndarray] | None, crops: Sequence[np.ndarray] | None) -> Encoded:
        """No early map."""
        raise ModelContract("the test double gives no early map")

    def express(
        self, landmarks: Sequence[np.ndarray] | None, crops: Sequence[np.ndarray] | None, *, mirror: bool = False
    ) -> np.ndarray:
        """It names no expression, which AUModel refuses too."""
        raise ModelContract("the test double names no expression")

    def look(self, picture: np.ndarray, landmarks: np.ndarray) -> None:
        """No spatial map."""
        return
