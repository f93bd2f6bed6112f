"""Synthetic faces with known truth, for the tests of streamfer/faces: a stiff 478-point shape, placed at will."""

from __future__ import annotations

import numpy as np

from streamfer.records import Frame


def face_at(x: float, y: float, width: float = 100.0, stretch: float = 1.0) -> np.ndarray:
    """(478, 3) float32: points spread over an ellipse round (x, y), inner eye corners level and a quarter apart."""
    spread = np.random.default_rng(7).uniform(-0.5, 0.5, (478, 3))
    spread[133] = (-0.125, -0.1, 0.0)
    spread[362] = (0.125, -0.1, 0.0)
    spread[:, 1] *= stretch
    return (np.array([x, y, 0.0]) + width * spread).astype(np.float32)


def textured(seed: int, height: int = 240, width: int = 320) -> np.ndarray:
    """(H, W, 3) uint8 with structure at several scales, different for each seed."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.integers(20, 200, (6, 8, 3)), np.ones((height // 6, width // 8, 1)))
    return np.clip(coarse + rng.integers(0, 40, (height, width, 3)), 0, 255).astype(np.uint8)


def frame(index: int, time_s: float, image: np.ndarray | None = None, segment: int = 0) -> Frame:
    return Frame(index, time_s, textured(0) if image is None else image, segment)
