"""What the vision encoder saw of N key moments, as numpy arrays: the same fields as model.Looks, which is torch's.

Pooling here and in torch is the same sum over the same windows, so that what the model learned from is what it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

CELLS = 3
"""Cells along a side of the map that the language model is shown."""
EARLY = 7
"""Cells along a side of the early map, pooled from 14."""
VIEWS = 2  # apex, apex minus onset
REGIONS = 16
PATCH = 3


class Channels(NamedTuple):
    """Of what the encoder gives: its map, its early map, its embedding."""

    features: int
    early: int
    embedding: int


@dataclass(slots=True)
class ArrayLooks:
    """float32. `seen` is 0 where there was no picture or no face in it; for a still the change is zeros."""

    apex: np.ndarray  # (N, features, CELLS, CELLS)
    change: np.ndarray  # (N, features, CELLS, CELLS): apex minus onset
    embedding: np.ndarray  # (N, embedding), of the apex
    early: np.ndarray  # (N, early, EARLY, EARLY), of the apex
    early_change: np.ndarray  # (N, early, EARLY, EARLY)
    points: np.ndarray  # (N, REGIONS, 2), x and y over the crop, -1 to 1
    seen: np.ndarray  # (N,) 0 or 1

    def __len__(self) -> int:
        return len(self.seen)

    def take(self, rows: Sequence[int]) -> ArrayLooks:
        return ArrayLooks(*(getattr(self, name)[list(rows)] for name in self.__slots__))

    @classmethod
    def none(cls, count: int, size: Channels) -> ArrayLooks:
        cells, side = (size.features, CELLS, CELLS), (size.early, EARLY, EARLY)
        shapes = (cells, cells, (size.embedding,), side, side, (REGIONS, 2), ())
        return cls(*(np.zeros((count, *shape), np.float32) for shape in shapes))

    @classmethod
    def joined(cls, parts: Sequence[ArrayLooks]) -> ArrayLooks:
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))


def image_tokens(projector: str) -> int:
    """Positions that a projector fills: the cells of both views and the embedding; `mpp` has its local token too.

    `patches` (patches.py): a grid of 16 x 16 of the apex, one of 4 x 4 of the change since the onset.
    """
    if projector == "patches":
        return 16 * 16 + 4 * 4
    return VIEWS * CELLS * CELLS + 1 + (projector == "mpp")


def pooled(maps: np.ndarray, side: int) -> np.ndarray:
    """(N, C, h, w) -> (N, C, side, side): means of windows that cover the map, overlapping where they must.

    The windows of PyTorch's adaptive_avg_pool2d: cell i spans floor(i h / side) to ceil((i + 1) h / side).
    """
    maps = np.asarray(maps, np.float32)
    for axis in (2, 3):
        length = maps.shape[axis]
        cells = [
            maps.take(range(i * length // side, -(-(i + 1) * length // side)), axis=axis).mean(axis=axis, keepdims=True)
            for i in range(side)
        ]
        maps = np.concatenate(cells, axis=axis)
    return maps


__all__ = ["CELLS", "EARLY", "PATCH", "REGIONS", "VIEWS", "ArrayLooks", "Channels", "image_tokens", "pooled"]
