"""Writing with ExpLLM: prompts of a batch in, texts and label probabilities out, the chain of thought before its label.

One prefill of the left-padded prompts, then one token for every text a turn, over a static key-value cache that is
allocated once. Sampling noise (Gumbel) comes from a generator for each text, seeded by its event and attempt: a text does
not depend on who shares its batch. What may come next is bounded by what the format allows: words without markup; plans of
what is in the evidence table (encoding.py) and the slots that it can fill; two section marks; then `<label>`. The label is
then chosen from the eight of the closed list by the probabilities of their tokens, which are returned. With `label_first`
it is chosen before the first word, the order of ExpLLM's released code. Without the evidence table (an ablation) plans and
slots are open to whatever the model sees in the picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from streamfer.expllm.encoding import LABEL, PLAN_TOKENS, SEP, TASKS, Codec, motion_plans, plan_of
from streamfer.expllm.evidence import Evidence
from streamfer.expllm.model import ExpLLM, Looks
from streamfer.expllm.slots import SLOTS, fill
from streamfer.records import LABELS

MOST_TOKENS = 320
"""Longest answer; the engine's longest has about 260. A text that gets there is cut, and then fails to parse."""
SECTION_MARKS = 2
MARKUP = frozenset("<>[]{}*#`_|\\")
"""Characters that the model may not write: it has no use for them, and other formats have."""


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


class Bounds:
    """Which tokens may come next, as a mask (N, vocabulary) that is added to the logits."""

    def __init__(self, codec: Codec, evidence: Sequence[Evidence], bounded: bool) -> None:
        never = torch.zeros(codec.size, dtype=torch.bool)
        never[[n for token, n in codec.tokenizer.get_vocab().items() if token not in SLOTS and set(token) & MARKUP]] = (
            True
        )
        if not bounded:
            never[[codec.ids[token] for token in PLAN_TOKENS]] = False
        self._words = torch.zeros(len(evidence), codec.size).masked_fill(never, -torch.inf)
        self._plans: list[dict[int, list[int]]] = []  # first token of a plan -> the tokens that follow it
        for e in evidence if bounded else ():
            plans = [plan_of(au) for au in e.aus] + list(motion_plans(e).values())
            self._plans.append(
                {codec.ids[first]: [codec.ids[t] for t in rest] for first, *rest in plans if first in codec.ids}
            )
            self._words[len(self._plans) - 1, list(self._plans[-1])] = 0.0
        self._plans = self._plans or [{} for _ in evidence]
        self._forced: list[list[int]] = [[] for _ in evidence]
        if bounded:
            for n, e in enumerate(evidence):
                empty = [codec.ids[slot] for slot in SLOTS if "measured]" in fill(slot, e)]
                self._words[n, empty] = -torch.inf
        self._sep, self._label, self._labels = codec.ids[SEP], codec.ids[LABEL], codec.labels
        self._marks = [0] * len(evidence)
        self._begun = [False] * len(evidence)

    def mask(self, label_first: bool, end: int) -> torch.Tensor:
        """`end` is the token that ends an answer whose label came first."""
        mask = self._words.clone()
        for n, marks in enumerate(self._marks):
            if self._forced[n]:
                mask[n] = -torch.inf
                mask[n, self._forced[n][0]] = 0.0
            elif self._begun[n] and marks < SECTION_MARKS:
                mask[n, self._sep] = 0.0
            elif self._begun[n]:
                mask[n, end if label_first else self._label] = 0.0
        return mask

    def take(self, tokens: list[int]) -> None:
        for n, token in enumerate(tokens):
            if self._forced[n]:
                self._forced[n].pop(0)
                continue
            if token in self._plans[n]:
                self._forced[n] = list(self._plans[n][token])
                self._begun[n] = False  # a plan is followed by words
                continue
            self._marks[n] += token == self._sep
            self._begun[n] = token not in (self._sep, self._label) and token not in self._labels


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
