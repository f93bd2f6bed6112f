"""Writing with ExpLLM: prompts of a batch in, texts and label probabilities out, the chain of thought before its label.

One prefill of the left-padded prompts, then one token for every text a turn, over a static key-value cache that is
allocated once. Sampling noise (Gumbel) comes from a generator for each text, seeded by its event and attempt: a text does
not depend on who shares its batch. What may come next is bounded by the format and the evidence table (bounds.py). The label is
chosen last, from the eight of the closed list, by the probabilities of their tokens, which are returned. With `label_first`
it is chosen before the first word, the order of ExpLLM's released code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from streamfer.expllm.bounds import Bounds
from streamfer.expllm.encoding import LABEL, TASKS, Codec
from streamfer.expllm.evidence import Evidence
from streamfer.expllm.model import ExpLLM, Looks
from streamfer.records import LABELS

MOST_TOKENS = 320
"""Longest answer; the engine's longest has about 260. A text that gets there is cut, and then fails to parse."""


@dataclass(frozen=True, slots=True)
class Written:
    """One answer: token ids without the prompt, probabilities of the labels at the place of the label, 8 of LABELS."""

    ids: tuple[int, ...]
    label_probabilities: dict[str, float] | None


@dataclass(frozen=True, slots=True)
class How:
    temperature: float = 0.7
    top_p: float = 0.95
    label_first: bool = False
    table: bool = True
    most_tokens: int = MOST_TOKENS


@torch.inference_mode()
def write(
    model: ExpLLM,
    codec: Codec,
    evidence: Sequence[Evidence],
    looks: Looks | None,
    seeds: Sequence[str],
    how: How = How(),
) -> list[Written]:
    """One chain of thought for each evidence table. `seeds` decide the sampling, one for each."""
    from transformers import StaticCache

    device = next(model.parameters()).device
    prompts = [codec.prompt(e, TASKS["reasoning"], table=how.table, label_first=how.label_first) for e in evidence]
    count, longest = len(prompts), max(map(len, prompts))
    if longest + how.most_tokens > model.size.positions:
        raise ValueError(f"a prompt of {longest} tokens leaves no room for {how.most_tokens} in {model.size.positions}")
    ids = torch.full((count, longest), codec.pad)
    for n, prompt in enumerate(prompts):
        ids[n, longest - len(prompt) :] = torch.tensor(prompt)
    room = longest + how.most_tokens
    attention = torch.zeros(count, room, dtype=torch.long)
    attention[:, :longest] = ids != codec.pad
    positions = (attention[:, :longest].cumsum(1) - 1).clamp(min=0)
    cache = StaticCache(config=model.lm.config, max_cache_len=room)
    bounds = Bounds(codec, evidence, how.table)
    noise = [np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")) for seed in seeds]
    answers: list[list[int]] = [[] for _ in prompts]
    labels: list[dict[str, float] | None] = [None] * count
    state = _State(model, codec, cache, attention.to(device), positions.to(device))

    logits = state.prefill(ids.to(device), looks)
    if how.label_first:
        token = [codec.ids[LABEL]] * count
        for answer in answers:
            answer.append(codec.ids[LABEL])
        logits = state.step(token)
        token = _choose_labels(logits, codec, labels, range(count))
        for answer, one in zip(answers, token, strict=True):
            answer.append(one)
        logits = state.step(token)
    going = [True] * count
    end = codec.eos if how.label_first else codec.ids[LABEL]
    for _ in range(how.most_tokens - (2 if how.label_first else 0) - 1):
        picked = _sample(logits + bounds.mask(how.label_first, codec.eos).to(device), how, noise)
        token = [one if on else codec.pad for one, on in zip(picked, going, strict=True)]
        bounds.take(token)
        for n, one in enumerate(token):
            if going[n]:
                answers[n].append(one)
                going[n] = one != end
        logits = state.step([codec.ids[LABEL] if one == codec.pad else one for one in token])
        ended = [n for n, one in enumerate(token) if one == end]
        if ended and not how.label_first:
            chosen = _choose_labels(logits, codec, labels, ended)
            for n, one in zip(ended, chosen, strict=True):
                answers[n].append(one)
        if not any(going):
            break
    return [Written(tuple(answer), label) for answer, label in zip(answers, labels, strict=True)]


class _State:
    """The language model with its cache: which position comes next."""

    def __init__(
        self, model: ExpLLM, codec: Codec, cache: Any, attention: torch.Tensor, positions: torch.Tensor
    ) -> None:
        self._model, self._codec, self._cache = model, codec, cache
        self._attention, self._positions = attention, positions
        self._at = positions.shape[1]

    def prefill(self, ids: torch.Tensor, looks: Looks | None) -> torch.Tensor:
        looks = looks if looks is not None else Looks.none(len(ids), self._model.size).to(ids.device)
        embedded = self._model.embed(ids, looks)
        return self._run(embedded, self._positions)

    def step(self, tokens: list[int]) -> torch.Tensor:
        ids = torch.tensor(tokens, device=self._attention.device)[:, None]
        self._attention[:, self._at] = 1
        self._positions = self._positions[:, -1:] + 1
        self._at += 1
        return self._run(self._model.embed(ids, None), self._positions)

    def _run(self, embedded: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        out = self._model.lm(
            inputs_embeds=embedded, attention_mask=self._attention[:, : self._at], position_ids=positions,
            past_key_values=self._cache, use_cache=True, logits_to_keep=1,
        )  # fmt: skip
        return out.logits[:, -1].float()


def _sample(logits: torch.Tensor, how: How, noise: list[np.random.Generator]) -> list[int]:
    """One token of each row: the likeliest at temperature 0, else drawn from the smallest set with `top_p` of it."""
    if how.temperature <= 0:
        return [int(n) for n in logits.argmax(dim=1)]
    values, order = torch.topk(logits / how.temperature, 64, dim=1)
    chances = values.softmax(dim=1)
    kept = (chances.cumsum(dim=1) - chances) < how.top_p
    gumbel = torch.from_numpy(np.stack([one.gumbel(size=64) for one in noise])).to(values)
    best = (values + gumbel).masked_fill(~kept, -torch.inf).argmax(dim=1)
    return [int(n) for n in order.gather(1, best[:, None])[:, 0]]


def _choose_labels(
    logits: torch.Tensor, codec: Codec, labels: list[dict[str, float] | None], rows: Sequence[int] | range
) -> list[int]:
    chosen = []
    for n in rows:
        chances = logits[n, codec.labels].softmax(dim=0).tolist()
        labels[n] = {label: round(chance, 4) for label, chance in zip(LABELS, chances, strict=True)}
        chosen.append(codec.labels[int(np.argmax(chances))])
    return chosen
