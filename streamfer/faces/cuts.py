"""Scene cuts, cheaply: two 32 x 32 thumbnails and two numbers for each frame.

A frame begins a new shot when its *structure* changed (1 - correlation of the grey thumbnails; brightness and
contrast cancel out, so flashes and fades do not count) and its *colours* changed too (histogram distance; a fast
head or a pan moves pixels but keeps colours). Frames without structure (black, washed out by a flash) are no shot:
they are skipped for up to `HOLD_S`, and the next real frame is compared with the last real one.

Measured on 11 clips of real faces, 3,000 frame pairs (benchmarks/LOG.md): true cuts have a structure change of 0.73
to 1.3, cuts between two portraits framed alike 0.48 and more, everything else 0.35 at most, 0.05 as a rule.
It does not find dissolves: there tracks end by themselves when the face is no longer found.
"""

from __future__ import annotations

import numpy as np

SIDE = 32
MIN_COLOUR = 0.12
"""Histogram distance below which no cut is believed; the true cuts measured had 0.19 and more."""
HOLD_S = 0.5
"""So long a frame without structure may last before it counts as a picture of its own."""
_BINS = 16
_CHANNEL = np.arange(3, dtype=np.uint8) * _BINS


class CutDetector:
    """`threshold`: change of structure, 0 (same) to 2 (negative), from which a frame begins a new shot."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self.reset()

    def reset(self) -> None:
        """The next frame is the first."""
        self._grey: np.ndarray | None = None
        self._colours: np.ndarray | None = None
        self._washed = False
        self._time_s = 0.0

    def is_cut(self, image: np.ndarray, time_s: float) -> bool:
        """Whether this frame (H, W, 3, uint8) begins a new shot. The first one does not."""
        small = thumbnail(image)
        grey = small.astype(np.float32).reshape(-1, 3) @ np.full(3, 1 / 3, np.float32)
        washed = bool(grey.std() < 4 or (grey > 245).mean() > 0.35 or (grey < 4).mean() > 0.9)
        if self._grey is None or self._colours is None:
            self._remember(grey, _colours(small), washed, time_s)
            return False
        if washed and not self._washed and time_s - self._time_s < HOLD_S:
            return False
        colours = _colours(small)
        structure, colour = 1.0 - _correlation(grey, self._grey), _distance(colours, self._colours)
        self._remember(grey, colours, washed, time_s)
        return structure > self._threshold and colour > MIN_COLOUR

    def _remember(self, grey: np.ndarray, colours: np.ndarray, washed: bool, time_s: float) -> None:
        self._grey, self._colours, self._washed, self._time_s = grey, colours, washed, time_s


def thumbnail(image: np.ndarray) -> np.ndarray:
    """(32, 32, 3) uint8: means of 2 x 2 samples of an even grid. 0.02 ms; an exact mean of all pixels takes 1 ms."""
    import cv2

    samples = cv2.resize(image, (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.resize(samples, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def _colours(small: np.ndarray) -> np.ndarray:
    """(48,) share of the pixels in each of 16 levels of red, green and blue; each channel sums to 1."""
    level = (small // (256 // _BINS)).reshape(-1, 3) + _CHANNEL
    return np.bincount(level.ravel(), minlength=3 * _BINS) / (SIDE * SIDE)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """0 the same colours ... 1 none in common (one minus the histogram intersection)."""
    return float(1 - np.minimum(a, b).sum() / 3)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(np.sqrt((a * a).sum() * (b * b).sum()), 1e-6))
