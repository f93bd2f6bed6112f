"""Self-distillation: an earlier run reads the photographs of its training, and its readings soften their votes.

Ten people voted on a FER+ photograph; the shares of ten votes are a noisy measure of what a face shows. A run that has learned
from 26,000 such votes says something about the one photograph that its ten votes do not. The targets of the next run are a
mixture of both (born-again networks: Furlanello et al. 2018, arXiv 1805.04770; Hinton et al. 2015, arXiv 1503.02531, at
temperature 1). The reading is the mean over a few views of the photograph, which is better than one view of it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional

from streamfer.errors import UsageError
from streamfer.faces.mirror import PARTNER
from streamfer.training.face_crops import CROP_PX, STORED_PX, in_batches
from streamfer.training.perception_data import Photos
from streamfer.training.perception_net import Perception

VIEWS = ((1.0, False), (1.0, True), (0.93, False), (0.93, True))
"""(side of what is seen, in sides of the product's crop; mirrored?)"""
FLIP = torch.tensor([-1.0, 1.0, 1.0])
"""Landmarks of the mirrored face, after PARTNER has renamed them."""


def softened(photos: Photos, net: Perception, run: Path, share: float) -> Photos:
    """`photos` whose votes have `share` of what the earlier `run` (a checkpoint) reads; `net` is a network of its size."""
    if not run.is_file():
        raise UsageError(f"{run} is not there: --distil takes the folder of an earlier run")
    try:
        net.load_state_dict(torch.load(run, map_location="cpu", weights_only=True)["averaged"])
    except RuntimeError as error:
        raise UsageError(f"{run} holds a network of another size: {error}".splitlines()[0]) from None
    shares = photos.shares * (1 - share) + readings(net.eval(), photos) * share
    return Photos(photos.crops, photos.front, photos.present, shares, photos.maps)


def readings(net: Perception, photos: Photos) -> torch.Tensor:
    """(N, 8): the expression, mean over VIEWS."""
    parts = []
    with torch.no_grad():
        for rows in in_batches(len(photos.crops), 256):
            total = torch.zeros(len(photos.crops[rows]), photos.shares.shape[1])
            for scale, mirrored in VIEWS:
                front = photos.front[rows][:, PARTNER] * FLIP if mirrored else photos.front[rows]
                seen = net.see(view(photos.crops[rows], scale, mirrored), front, photos.present[rows])
                total += seen.logits.softmax(1)
            parts.append(total / len(VIEWS))
    return torch.cat(parts)


def view(crops: torch.Tensor, scale: float, mirrored: bool) -> torch.Tensor:
    """Stored crops (N, STORED_PX, STORED_PX) uint8 -> (N, 1, CROP_PX, CROP_PX) float, about the same centre."""
    n = len(crops)
    theta = torch.tensor([[-scale if mirrored else scale, 0.0, 0.0], [0.0, scale, 0.0]]).expand(n, 2, 3)
    grid = functional.affine_grid(theta, [n, 1, CROP_PX, CROP_PX], align_corners=False) * (CROP_PX / STORED_PX)
    return functional.grid_sample(crops[:, None].float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
