"""The eye of large ExpLLMs: DINOv2's patches of the apex, their change since the onset, and the projector for both.

    apex (N, 3, 224, 224) --ViT-L/14--> 256 patches --two layers with GELU--> 256 vectors for the language model
    apex - onset, patches pooled to 4 x 4                --the same layers--> 16 more

Setting of ExpLLM (Lan et al., IEEE TMM 2025; released code): normalised patch tokens without the class token, pictures
padded to a square with (123, 117, 104) and scaled to 224 px, and CLIP's mean and deviation although the encoder is
DINOv2. The change since the onset is ours: theirs sees one picture. The encoder is frozen but for its LoRA adapters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from streamfer.errors import ModelContract

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from streamfer.expllm.model import ModelSize

SIDE_PX = 224
GRID, CHANGE_GRID = 16, 4
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""CLIP's (Radford et al. 2021)."""
PADDING = (123, 117, 104)


@dataclass(slots=True)
class Pictures:
    """Apex and onset of N key moments: uint8 RGB, (N, side, side, 3). The encoder scales them to 224 px.

    `seen` is 0 where there is no picture; `moved` 0 where there is no onset, as with a photograph.
    """

    apex: torch.Tensor
    onset: torch.Tensor
    seen: torch.Tensor  # (N,) float
    moved: torch.Tensor  # (N,) float

    def __len__(self) -> int:
        return len(self.seen)

    def take(self, rows: torch.Tensor | list[int]) -> Pictures:
        return Pictures(*(getattr(self, name)[rows] for name in self.__slots__))

    def to(self, device: str | torch.device, dtype: torch.dtype = torch.float32) -> Pictures:
        """`dtype` is taken by the encoder when it looks; pictures stay bytes."""
        return Pictures(*(getattr(self, name).to(device) for name in self.__slots__))

    @classmethod
    def none(cls, count: int) -> Pictures:
        empty = torch.zeros(count, SIDE_PX, SIDE_PX, 3, dtype=torch.uint8)
        return cls(empty, empty, torch.zeros(count), torch.zeros(count))

    @classmethod
    def joined(cls, parts: list[Pictures]) -> Pictures:
        if len({part.apex.shape[1] for part in parts}) > 1:
            parts = [cls(scaled(part.apex), scaled(part.onset), part.seen, part.moved) for part in parts]
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in cls.__slots__))

    @classmethod
    def of_crops(cls, apex: np.ndarray, onset: np.ndarray | None = None) -> Pictures:
        """Of grey crops (N, side, side) uint8; photographs have no onset."""

        def colour(crops: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(crops)[..., None].repeat(1, 1, 1, 3)

        count, shown = len(apex), colour(apex)
        before = torch.zeros_like(shown) if onset is None else colour(onset)
        return cls(shown, before, torch.ones(count), torch.full((count,), float(onset is not None)))

    @classmethod
    def of(cls, images: Sequence[Mapping[str, np.ndarray]]) -> Pictures:
        """Of each job's `apex` and `onset`, (H, W, 3) uint8 RGB of any size."""

        def side(role: str) -> torch.Tensor:
            return torch.stack([squared(one[role]) if role in one else empty for one in images])

        empty = torch.zeros(SIDE_PX, SIDE_PX, 3, dtype=torch.uint8)
        seen = [float("apex" in one) for one in images]
        moved = [float("apex" in one and "onset" in one) for one in images]
        return cls(side("apex"), side("onset"), torch.tensor(seen), torch.tensor(moved))


def squared(picture: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 RGB -> (224, 224, 3): padded to a square, scaled (bicubic, antialiased)."""
    height, width = picture.shape[:2]
    side = max(height, width)
    square = np.full((side, side, 3), PADDING, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = picture
    return scaled(torch.from_numpy(square)[None])[0]


def scaled(pictures: torch.Tensor) -> torch.Tensor:
    """(N, side, side, 3) uint8 -> (N, 224, 224, 3), bicubic, antialiased."""
    if pictures.shape[1] == SIDE_PX:
        return pictures
    found = functional.interpolate(
        pictures.permute(0, 3, 1, 2).float(), (SIDE_PX, SIDE_PX), mode="bicubic", antialias=True
    )
    return found.permute(0, 2, 3, 1).round().clamp(0, 255).to(torch.uint8)


class Eye:
    """Looks at key frames as they are: they are crops of one face already. As look.Encoder for the backend."""

    def __init__(self, name: str) -> None:
        self.source = name
        self.unseen = 0

    def look(self, images: Sequence[Mapping[str, np.ndarray]]) -> Pictures:
        found = Pictures.of(images)
        self.unseen += int((found.seen == 0).sum())
        return found

    see = look

    def close(self) -> None:
        """Nothing is held open."""


class Patches(nn.Module):
    """The encoder, and two layers with GELU on each of its patches."""

    def __init__(self, size: ModelSize, vision: PreTrainedModel) -> None:
        super().__init__()
        self.vision = vision
        self.cells = nn.Sequential(nn.Linear(size.features, size.width), nn.GELU(), nn.Linear(size.width, size.width))
        self.change = nn.Parameter(torch.zeros(CHANGE_GRID**2, size.width))  # tells change from looks, and where it is

    def forward(self, pictures: Pictures) -> torch.Tensor:
        """-> (N, 272, width)."""
        apex, onset = self._patches(pictures.apex), self._patches(pictures.onset)
        change = (apex - onset) * pictures.moved[:, None, None].to(apex.dtype)
        grid = change.transpose(1, 2).unflatten(2, (GRID, GRID))
        pooled = functional.adaptive_avg_pool2d(grid, CHANGE_GRID).flatten(2).transpose(1, 2)
        return torch.cat([self.cells(apex), self.cells(pooled) + self.change], dim=1)

    def _patches(self, pictures: torch.Tensor) -> torch.Tensor:
        dtype = self.change.dtype
        mean, deviation = (torch.tensor(v, device=pictures.device) * 255 for v in (MEAN, DEVIATION))
        pixels = ((scaled(pictures).float() - mean) / deviation).permute(0, 3, 1, 2).to(dtype)
        hidden = self.vision(pixel_values=pixels).last_hidden_state  # after the last norm; class token first
        return hidden[:, -(GRID**2) :].to(dtype)


def vision_model(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """A vision transformer with patches of 14 px. Raises ModelMissing or ModelContract."""
    from transformers import AutoModel

    from streamfer.expllm.pretrained import fingerprint

    fingerprint(folder)
    try:
        vision: PreTrainedModel = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=dtype
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ModelContract(
            f"{folder} cannot be read as a vision model: {' '.join(str(error).split())[:200]}"
        ) from None
    if getattr(vision.config, "patch_size", None) != SIDE_PX // GRID:
        raise ModelContract(
            f"{folder}: a vision transformer with patches of {SIDE_PX // GRID} px is wanted, as DINOv2's"
        )
    return vision
