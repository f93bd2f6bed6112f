"""The perception network: one look at an aligned face and its landmarks -> AU intensities, expression, feature map.

    crop (N, 3, 56, 56) uint8 --grey, its own mean and spread taken off--> residual CNN --> map (N, 96, 14, 14)
    landmarks (N, 478, 3) in the face frame --turned to the front--> small perceptron
    expression = softmax(linear(mean of the map) + linear(perceptron))   (N, 8), in the order of records.LABELS
    skin       = AU intensities read off the crop, 0 at rest             (N, K)

* **The skin's reading** (`Skin`) looks at an early map whose cells see 25 of the crop's 56 pixels, and each AU only at
  its own region there (`expression.cues` on the mean face). A frown is thus read off the brow and not off the mouth that goes
  with it, although many of its labels are expressions of whole faces.
* **The landmarks may be missing**: NaN or rows of zeros mean that no mesh was found, and the crop alone answers. The
  landmark branch is dropped now and then in training, so that the crop learns to do without.
* The map of the expression is 14 x 14, because the mean of its channels is aligned with the AU cue maps (Belharbi et al.
  2024, arXiv 2402.00281). A class's activation is linear in it: weights of the class x map, to the scale of the logits.

It reads one frame, smooths nothing over time and knows no person. Left and right are the person's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from streamfer.records import LABELS
from streamfer.training.face_crops import GREY
from streamfer.training.landmark_net import to_front

MAP = 14
"""Cells along a side of the feature map."""


@dataclass(frozen=True, slots=True)
class NetSize:
    stem: int = 24
    mid: int = 64
    deep: int = 128
    deep_blocks: int = 2
    out: int = 96
    points: int = 96  # hidden units of the landmark branch


class Block(nn.Module):
    """Two 3 x 3 convolutions around a shortcut."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.one = _conv(before, after, 3, stride)
        self.two = _conv(after, after, 3)
        self.short = nn.Identity() if before == after and stride == 1 else _conv(before, after, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.two(functional.relu(self.one(x))) + self.short(x))


def _conv(before: int, after: int, size: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, size, stride, size // 2, bias=False), nn.BatchNorm2d(after))


class Trunk(nn.Module):
    """Grey crop (N, 1, 56, 56), normalised -> early map (N, mid, 14, 14) and expression map (N, out, 14, 14)."""

    def __init__(self, size: NetSize) -> None:
        super().__init__()
        self.stem = _conv(1, size.stem, 5, 2)
        self.fine = Block(size.stem, size.stem)
        self.early = Block(size.stem, size.mid, 2)
        self.mid = Block(size.mid, size.mid)
        blocks = [Block(size.mid, size.deep, 2), *(Block(size.deep, size.deep) for _ in range(size.deep_blocks - 1))]
        self.deep = nn.Sequential(*blocks)
        self.lateral = _conv(size.mid, size.out, 1)
        self.down = _conv(size.deep, size.out, 1)
        self.join = nn.Sequential(nn.Conv2d(size.out, size.out, 3, 1, 1, groups=size.out, bias=False), _conv(size.out, size.out, 1))

    def forward(self, x: torch.Tensor, whole: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """`whole`: how many of the crops go on to the expression map; the others are wanted for their skin alone."""
        early = self.early(self.fine(functional.relu(self.stem(x))))
        mid = self.mid(early[:whole])
        deep = functional.interpolate(self.down(self.deep(mid)), size=(MAP, MAP), mode="bilinear", align_corners=False)
        return early, functional.relu(self.join(functional.relu(self.lateral(mid) + deep)))


class Skin(nn.Module):
    """Early map -> AU intensities (N, K): each AU sees its region and nothing else."""

    regions: torch.Tensor  # (K, MAP * MAP), each sums to 1

    def __init__(self, channels: int, regions: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("regions", torch.tensor(regions, dtype=torch.float32).flatten(1))
        self.read = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
        self.weight = nn.Parameter(torch.randn(len(regions), channels) * 0.05)
        self.bias = nn.Parameter(torch.zeros(len(regions)))

    def forward(self, early: torch.Tensor) -> torch.Tensor:
        seen = self.read(early).flatten(2)  # (N, C, cells)
        by_au = torch.matmul(seen, self.regions.t())  # (N, C, K)
        return (by_au * self.weight.t()).sum(dim=1) + self.bias


@dataclass(frozen=True, slots=True)
class Seen:
    """What one pass gives, for N crops of which M are read whole (all, outside training)."""

    logits: torch.Tensor  # (M, 8)
    skin: torch.Tensor  # (N, K)
    features: torch.Tensor  # (M, out, MAP, MAP)
    embedding: torch.Tensor  # (M, out + points)
    early: torch.Tensor  # (N, mid, MAP, MAP)


class Perception(nn.Module):
    """`mean` and `std` (478, 3) standardise landmarks that `to_front` has turned; `regions` (K, MAP, MAP)."""

    mean: torch.Tensor
    scale: torch.Tensor
    grey: torch.Tensor

    def __init__(self, regions: np.ndarray, mean: np.ndarray, std: np.ndarray, size: NetSize) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(1 / std, dtype=torch.float32))
        self.register_buffer("grey", torch.tensor(GREY).view(1, 3, 1, 1))
        self.trunk = Trunk(size)
        self.skin = Skin(size.mid, regions)
        self.points = nn.Sequential(
            nn.Linear(mean.size, size.points), nn.GELU(), nn.Dropout(0.2), nn.Linear(size.points, size.points), nn.GELU()
        )
        self.dropout = nn.Dropout(0.3)
        self.label = nn.Linear(size.out + size.points, len(LABELS))

    def see(self, grey: torch.Tensor, front: torch.Tensor, present: torch.Tensor, whole: int | None = None) -> Seen:
        """`grey` (N, 1, 56, 56) 0-255, `front` (M, 478, 3) of `to_front`, `present` (M, 1) 1 where there are landmarks.

        M is N, or `whole`: crops beyond these (renders in training) are read for their skin and have no logits.
        """
        early, features = self.trunk(normalised(grey), whole)
        points = self.points(((front - self.mean) * self.scale).flatten(1)) * present
        embedding = torch.cat([features.mean(dim=(2, 3)), points], dim=1)
        return Seen(self.label(self.dropout(embedding)), self.skin(early), features, embedding, early)

    def forward(self, crop: torch.Tensor, landmarks: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What is exported: crop (N, 3, 56, 56) uint8 RGB, landmarks (N, 478, 3) in the face frame -> expression,
        skin, features, embedding, early."""
        grey = (crop.float() * self.grey).sum(dim=1, keepdim=True)
        front, present = front_of(landmarks, self.mean)
        seen = self.see(grey, front, present)
        return torch.softmax(seen.logits, dim=1), seen.skin, seen.features, seen.embedding, seen.early


def front_of(landmarks: torch.Tensor, mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Landmarks turned to the front, and (N, 1) whether they are there; missing ones become the mean face."""
    total = landmarks.abs().sum(dim=(1, 2)).view(-1, 1)
    there = torch.logical_not(torch.isnan(total)) & (total > 0)
    kept = torch.where(there.view(-1, 1, 1), landmarks, mean)
    return to_front(kept), there.float()


def normalised(grey: torch.Tensor) -> torch.Tensor:
    """Each crop with its own mean and spread taken off: light and camera say nothing about a face's action."""
    centred = grey - grey.mean(dim=(1, 2, 3), keepdim=True)
    return centred / (centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + 4.0)
