"""Crops as the perception network sees them in training: turned, scaled, shifted, relit, coarsened, partly covered.

Everything is drawn from a torch generator, so a step of a training is the same whenever it is taken.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from streamfer.training.face_crops import CROP_PX, MARGIN_PX, STORED_PX


def centre(crops: torch.Tensor) -> torch.Tensor:
    """The product's crop (N, 1, 56, 56) float of stored crops (N, 72, 72) uint8."""
    end = MARGIN_PX + CROP_PX
    return crops[:, None, MARGIN_PX:end, MARGIN_PX:end].float()


def augmented(
    crops: torch.Tensor, flip: torch.Tensor, rng: torch.Generator, maps: torch.Tensor | None, coarse: float = 0.2
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Stored crops (N, 72, 72) uint8 -> (N, 1, 56, 56) float 0-255; `maps` (N, h, w) over the product's crop move along.

    `flip` (N,) bool says which are mirrored. `coarse` is the share brought to FER+'s resolution and back.
    """
    n = len(crops)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand(n, *shape, generator=rng) * (high - low) + low

    angle, scale = uniform(-0.2, 0.2), uniform(0.88, 1.14)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    sign = torch.where(flip, -1.0, 1.0)
    rows = [torch.stack([cos * sign, -sin, uniform(-0.1, 0.1)], 1), torch.stack([sin * sign, cos, uniform(-0.1, 0.1)], 1)]
    theta = torch.stack(rows, 1)  # output -> input, in halves of the product's crop
    grid = functional.affine_grid(theta, [n, 1, CROP_PX, CROP_PX], align_corners=False)
    pictures = functional.grid_sample(
        crops[:, None].float(), grid * (CROP_PX / STORED_PX), mode="bilinear", padding_mode="border", align_corners=False
    )
    if maps is not None:
        cells = functional.affine_grid(theta, [n, 1, *maps.shape[1:]], align_corners=False)
        maps = functional.grid_sample(maps[:, None], cells, mode="bilinear", padding_mode="zeros", align_corners=False)[:, 0]
    if coarse:
        few = torch.rand(n, generator=rng) < coarse
        small = functional.interpolate(pictures[few], size=(36, 36), mode="area")
        pictures[few] = functional.interpolate(small, size=(CROP_PX, CROP_PX), mode="bilinear", align_corners=False)
    pictures = 255 * (pictures / 255).clamp(1e-3, 1) ** torch.exp(uniform(-0.35, 0.35, 1, 1, 1))
    pictures = pictures + torch.randn(pictures.shape, generator=rng) * uniform(0, 5, 1, 1, 1)
    cover = torch.rand(n, generator=rng) < 0.3
    side, x, y = uniform(0.15, 0.4, 2) * CROP_PX, uniform(0, CROP_PX), uniform(0, CROP_PX)
    at = torch.arange(CROP_PX).float()
    inside = ((at[None, :] - y[:, None]).abs() < side[:, :1] / 2)[:, :, None] & (
        (at[None, :] - x[:, None]).abs() < side[:, 1:] / 2
    )[:, None, :]
    filled = torch.where((inside & cover[:, None, None])[:, None], uniform(0, 255, 1, 1, 1), pictures)
    return filled, maps


def mixed(parts: tuple[torch.Tensor, ...], parameter: float, rng: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Each row of all `parts` (N, ...) laid over by another row of the batch, the same for all, with a share of at most a half.

    Mixup: the shares are those of a beta distribution with both parameters `parameter`.
    """
    n = len(parts[0])
    other = torch.randperm(n, generator=rng)
    seed = int(torch.randint(2**31, (1,), generator=rng))  # torch's own beta distribution takes no generator
    share = torch.from_numpy(np.random.default_rng(seed).beta(parameter, parameter, n)).float()
    share = torch.minimum(share, 1 - share)
    return tuple(torch.lerp(p, p[other], share.view(n, *[1] * (p.dim() - 1)).to(p.dtype)) for p in parts)
