"""Writing with torch: the prompts of a batch, left-padded, and their static key-value cache.

For models on an accelerator, and for any causal language model of transformers; `decoder.py` runs the small one without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from streamfer.expllm.looks import ArrayLooks
from streamfer.expllm.model import Looks

if TYPE_CHECKING:
    from streamfer.expllm.model import ExpLLM
    from streamfer.expllm.patches import Pictures


class TorchState:
    """The language model with its cache: which position comes next. `logits` (N, vocabulary) float32."""

    def __init__(
        self, model: ExpLLM, prompts: list[list[int]], looks: Looks | Pictures | ArrayLooks | None, room: int
    ) -> None:
        from transformers import StaticCache

        device = next(model.parameters()).device
        count, longest = len(prompts), max(map(len, prompts))
        ids = torch.full((count, longest), PAD)
        attention = torch.zeros(count, room, dtype=torch.long)
        for n, prompt in enumerate(prompts):
            ids[n, longest - len(prompt) :] = torch.tensor(prompt)
            attention[n, longest - len(prompt) : longest] = 1
        positions = (attention[:, :longest].cumsum(1) - 1).clamp(min=0)
        self._model, self._at = model, longest
        self._cache = StaticCache(config=model.lm.config, max_cache_len=room)
        self._attention, self._positions = attention.to(device), positions.to(device)
        looks = Looks.of(looks) if isinstance(looks, ArrayLooks) else looks
        looks = looks if looks is not None else model.blind(count)
        with torch.inference_mode():
            self.logits = self._run(model.embed(ids.to(device), looks.to(device, model.nothing.dtype)), self._positions)

    @torch.inference_mode()
    def repeat(self, copies: int) -> None:
        layers: list[Any] = self._cache.layers
        for layer in layers:
            layer.keys = layer.keys.repeat_interleave(copies, dim=0)
            layer.values = layer.values.repeat_interleave(copies, dim=0)
            layer.max_batch_size = len(layer.keys)
        self._attention = self._attention.repeat_interleave(copies, dim=0)
        self._positions = self._positions.repeat_interleave(copies, dim=0)
        self.logits = np.repeat(self.logits, copies, axis=0)

    @torch.inference_mode()
    def step(self, tokens: list[int]) -> np.ndarray:
        ids = torch.tensor(tokens, device=self._attention.device)[:, None]
        self._attention[:, self._at] = 1
        self._positions = self._positions[:, -1:] + 1
        self._at += 1
        self.logits = self._run(self._model.embed(ids, None), self._positions)
        return self.logits

    @torch.inference_mode()
    def back(self, tokens: Mapping[int, int]) -> None:
        """What is taken back stays in the cache, and is not attended to."""
        for n, count in tokens.items():
            self._attention[n, self._attention[n].nonzero()[-count:, 0]] = 0
            self._positions[n, -1] -= count

    def _run(self, embedded: torch.Tensor, positions: torch.Tensor) -> np.ndarray:
        out = self._model.lm(
            inputs_embeds=embedded, attention_mask=self._attention[:, : self._at], position_ids=positions,
            past_key_values=self._cache, use_cache=True, logits_to_keep=1,
        )  # fmt: skip
        return out.logits[:, -1].float().cpu().numpy()


PAD = 0
"""What stands before a shorter prompt; it is not attended to."""
