"""Self-distillation: earlier runs read the photographs of their training, and the readings soften their votes.

Ten people voted on a FER+ photograph; the shares of ten votes are a noisy measure of what a face shows. A run that has learned
from 26,000 such votes says something about the one photograph that its ten votes do not. The targets of the next run are a
mixture of both (born-again networks: Furlanello et al. 2018, arXiv 1805.04770; Hinton et al. 2015, arXiv 1503.02531, at
temperature 1). The reading is the mean over the runs and over a few views of the photograph, which is better than one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from streamfer.training.face_crops import CROP_PX, STORED_PX
from streamfer.training.perception_data import Photos, load_run, probabilities
from streamfer.training.perception_net import Perception

VIEWS = ((1.0, False), (1.0, True), (0.93, False), (0.93, True))
"""(side of what is seen, in sides of the product's crop; mirrored?)"""


def softened(photos: Photos, net: Perception, runs: Sequence[Path], share: float) -> Photos:
    """`photos` whose votes have `share` of what the earlier `runs` (checkpoints) read; `net` is a network of their size."""
    total = torch.zeros_like(photos.shares)
    for run in runs:
        load_run(net, run, "--distil")
        total += readings(net.eval(), photos)
    return replace(photos, shares=photos.shares * (1 - share) + total * (share / len(runs)))


def readings(net: Perception, photos: Photos) -> torch.Tensor:
    """(N, 8): the expression, mean over VIEWS."""
    read = [probabilities(net, photos, partial(view, scale=scale, mirrored=turned), turned) for scale, turned in VIEWS]
    return torch.from_numpy(np.mean(read, axis=0))


def view(crops: torch.Tensor, scale: float, mirrored: bool) -> torch.Tensor:
    """Stored crops (N, STORED_PX, STORED_PX) uint8 -> (N, 1, CROP_PX, CROP_PX) float, about the same centre."""
    n = len(crops)
    theta = torch.tensor([[-scale if mirrored else scale, 0.0, 0.0], [0.0, scale, 0.0]]).expand(n, 2, 3)
    grid = functional.affine_grid(theta, [n, 1, CROP_PX, CROP_PX], align_corners=False) * (CROP_PX / STORED_PX)
    return functional.grid_sample(crops[:, None].float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
