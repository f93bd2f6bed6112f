"""Test double: landmarks from a function, so that all that follows runs with no model and known truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from streamfer.faces.landmarks import Mesh
from streamfer.records import Frame


class FakeLandmarks:
    """`FakeLandmarks(fn)`: fn(frame) gives a list of (478, 3) arrays in image pixels, one for each face."""

    def __init__(self, fn: Callable[[Frame], list[np.ndarray]]) -> None:
        self._fn = fn
        self.resets = 0  # how often the follower said that the picture has changed

    def find(self, frame: Frame) -> list[Mesh]:
        return [Mesh(np.asarray(points, np.float32), 1.0) for points in self._fn(frame)]

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        pass
