"""Writing with ExpLLM: prompts of a batch in, texts and label probabilities out, the chain of thought before its label.

One prefill of the padded prompts, then one token for every text a turn, over a static key-value cache that is allocated
once (decoder.py without torch, batches.py with it). Sampling noise (Gumbel) comes from a generator for each text, seeded by
its event and attempt: a text does not depend on who shares its batch. What may come next is bounded by the format and the
evidence table (bounds.py). The label is chosen last, from the eight of the closed list, by the probabilities of their tokens,
which are returned. With `label_first` it is chosen before the first word, the order of ExpLLM's released code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from streamfer.expllm.bounds import Bounds
from streamfer.expllm.encoding import LABEL, SEP, TASKS, Codec
from streamfer.expllm.evidence import Evidence
from streamfer.expllm.retakes import SPARE, Proof, Retakes
from streamfer.records import LABELS

MOST_LIKELY = 64
"""Tokens among which is drawn."""


@dataclass(frozen=True, slots=True)
class Written:
    """One answer: token ids without the prompt, probabilities of the labels at the place of the label, 8 of LABELS.

    `tokens` were drawn for it, those among them that were taken back.
    """

    ids: tuple[int, ...]
    label_probabilities: dict[str, float] | None
    tokens: int


@dataclass(frozen=True, slots=True)
class How:
    temperature: float = 0.7
    top_p: float = 0.95
    label_first: bool = False
    table: bool = True
    most_tokens: int | None = None  # as the model has it; a text that gets there is cut, and then fails to parse


class State(Protocol):
    """Texts on their way. `logits` (N, vocabulary) float32 of what comes next."""

    logits: np.ndarray

    def repeat(self, copies: int) -> None:
        """Go on with so many texts of each prompt, copies beside each other."""
        ...

    def step(self, tokens: list[int]) -> np.ndarray:
        """One more token of each text -> the new logits, which are the caller's to write into."""
        ...

    def back(self, tokens: Mapping[int, int]) -> None:
        """Text -> how many of its last tokens are taken back."""
        ...


class LanguageModel(Protocol):
    """What can write: `decoder.Decoder`, or torch's `model.ExpLLM`. `looks` are each one's own."""

    @property
    def positions(self) -> int: ...

    @property
    def answer(self) -> int: ...

    def begin(self, prompts: list[list[int]], looks: Any, room: int) -> State: ...


def write(
    model: LanguageModel, codec: Codec, evidence: Sequence[Evidence], looks: Any, seeds: Sequence[str], how: How = How(),
    *, copies: int = 1, proof: Proof | None = None,
) -> list[Written]:  # fmt: skip
    """`copies` chains of thought for each evidence table, beside each other. `seeds` decide the sampling, one for each text.

    A prompt is read once for all its texts. A `proof` reads along (retakes.py; only where the label comes last): what it finds
    wrong is written again, and once a text is good the others of its evidence table are left as far as they are.
    """
    prompts = [codec.prompt(e, TASKS["reasoning"], table=how.table, label_first=how.label_first) for e in evidence]
    count, longest = len(prompts) * copies, max(map(len, prompts))
    most = how.most_tokens or model.answer
    if longest + most > model.positions:
        raise ValueError(f"a prompt of {longest} tokens leaves no room for {most} in {model.positions}")
    bounds = Bounds(codec, evidence, how.table, copies)
    noise = [np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")) for seed in seeds]
    answers: list[list[int]] = [[] for _ in range(count)]
    labels: list[dict[str, float] | None] = [None] * count
    drawn = [0] * count
    steps = most + (int(SPARE * most) if proof is not None else 0)
    state = model.begin(prompts, looks, longest + steps)
    if copies > 1:
        state.repeat(copies)

    logits = state.logits
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
    retakes = None if proof is None else Retakes(proof, bounds, logits, codec.ids[SEP], copies)
    for _ in range(steps - (2 if how.label_first else 0) - 1):
        picked = _sample(logits + bounds.mask(how.label_first, codec.eos), how, noise)
        token = [one if on else codec.pad for one, on in zip(picked, going, strict=True)]
        bounds.take(token)
        for n, one in enumerate(token):
            if going[n]:
                answers[n].append(one)
                drawn[n] += 1
                going[n] = one != end and len(answers[n]) < most - 1
        logits = state.step([codec.ids[LABEL] if one == codec.pad else one for one in token])
        ended = [n for n, one in enumerate(token) if one == end]
        if ended and not how.label_first:
            chosen = _choose_labels(logits, codec, labels, ended)
            for n, one in zip(ended, chosen, strict=True):
                answers[n].append(one)
        if retakes is not None:
            told = {n: Written(tuple(answers[n]), labels[n], drawn[n]) for n in ended}
            state.back(retakes.look(answers, told, going, logits))
        if not any(going):
            break
    return [Written(tuple(answer), label, spent) for answer, label, spent in zip(answers, labels, drawn, strict=True)]


def _sample(logits: np.ndarray, how: How, noise: list[np.random.Generator]) -> list[int]:
    """One token of each row: the likeliest at temperature 0, else drawn from the smallest set with `top_p` of it."""
    if how.temperature <= 0:
        return [int(n) for n in logits.argmax(axis=1)]
    some = np.argpartition(logits, -MOST_LIKELY, axis=1)[:, -MOST_LIKELY:]
    some.sort(axis=1)  # of two equal logits the lower token comes first, however they were found
    order = np.take_along_axis(some, np.argsort(-np.take_along_axis(logits, some, 1), axis=1, kind="stable"), 1)
    values = np.take_along_axis(logits, order, 1) / np.float32(how.temperature)
    chances = _softmax(values)
    kept = (chances.cumsum(axis=1) - chances) < how.top_p
    gumbel = np.stack([one.gumbel(size=MOST_LIKELY) for one in noise]).astype(np.float32)
    best = np.where(kept, values + gumbel, -np.inf).argmax(axis=1)
    return [int(n) for n in order[np.arange(len(order)), best]]


def _softmax(values: np.ndarray) -> np.ndarray:
    raised = np.exp(values - values.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def _choose_labels(
    logits: np.ndarray, codec: Codec, labels: list[dict[str, float] | None], rows: Sequence[int] | range
) -> list[int]:
    chosen = []
    for n in rows:
        chances = _softmax(logits[n, codec.labels]).tolist()
        labels[n] = {label: round(chance, 4) for label, chance in zip(LABELS, chances, strict=True)}
        chosen.append(codec.labels[int(np.argmax(chances))])
    return chosen
