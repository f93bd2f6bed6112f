"""Several drafts of each text in one batch, proof-read while they are written, and the one that says nothing unmeasured.

A small model is cheap to ask and errs at random, so `draw` has each text written a few times at once, sentences that bring a
fault written again (retakes.py), and keeps the first that verify.py and wording.py find no fault in, else the one with the
fewest. What is kept is still judged by attempts.py; nothing is repaired. `unaided` is what the model says by itself, one draft
without any of this: the figure beside which all others have to be read (`streamfer evaluate expllm`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from streamfer.errors import ParseError
from streamfer.expllm.des2exp import Des2Exp
from streamfer.expllm.encoding import SEP, Codec
from streamfer.expllm.evidence import Evidence
from streamfer.expllm.generate import How, LanguageModel, Written, write
from streamfer.expllm.text import parse_cot
from streamfer.expllm.verify import check, slips
from streamfer.records import ChainOfThought

CANDIDATES = (2, 4, 4)
"""Of the first, second and later attempts."""
TEMPERATURE = 0.7
"""Of drafts that are proof-read: a sentence that is written again should be another one (0.3 to 0.9 tried: benchmarks/LOG.md)."""
TEMPERATURE_UNAIDED = 0.5


@dataclass(frozen=True, slots=True)
class Drawn:
    """A text as written, what it says if it can be read, what is wrong with it, and the `tokens` that were drawn for it."""

    text: str
    cot: ChainOfThought | None
    faults: tuple[str, ...]
    tokens: int
    label_probabilities: dict[str, float] | None

    @property
    def badness(self) -> tuple[bool, int]:
        return self.cot is None, len(self.faults)

    @property
    def clean(self) -> bool:
        return self.badness == (False, 0)


def unaided(
    net: LanguageModel, codec: Codec, evidence: Sequence[Evidence], looks: Any, names: Sequence[str], how: How | None = None
) -> list[Drawn]:
    """One draft for each evidence table, whatever is wrong with it."""
    how = replace(how or How(), temperature=TEMPERATURE_UNAIDED)
    written = write(net, codec, evidence, looks, [f"{name}/0/0" for name in names], how)
    return [_read(codec, one, table) for one, table in zip(written, evidence, strict=True)]


def draw(
    net: LanguageModel, codec: Codec, evidence: Sequence[Evidence], looks: Any, names: Sequence[str], turn: int,
    *, how: How | None = None,
) -> list[list[Drawn]]:  # fmt: skip
    """The candidates for each evidence table; `names` and `turn` (0, 1 ...) decide what is drawn.

    The first that ends well is taken, or else the first without a fault; the others of its table, which may then be left in the
    middle, are not among the answers. Which one that is does not depend on what else is in the batch. Texts whose label comes
    first are not proof-read.
    """
    candidates = CANDIDATES[min(turn, len(CANDIDATES) - 1)]
    seeds = [f"{name}/{turn}/{place}" for name in names for place in range(candidates)]
    how = replace(how or How(), temperature=TEMPERATURE)
    proof = None if how.label_first else _Proof(codec, [table for table in evidence for _ in range(candidates)])
    written = write(net, codec, evidence, looks, seeds, how, copies=candidates, proof=proof)
    read, liked = ({}, set()) if proof is None else (proof.read, proof.liked)
    drawn = []
    for n, table in enumerate(evidence):
        places = range(n * candidates, (n + 1) * candidates)
        clean = [k for k in places if k in read and read[k].clean]
        taken = next((read[k] for k in sorted(clean, key=lambda k: k not in liked)), None)
        if taken is not None:
            drawn.append([replace(taken, tokens=sum(written[k].tokens for k in places))])
        else:
            drawn.append([read[k] if k in read else _read(codec, written[k], table) for k in places])
    return drawn


def best(drawn: Sequence[Drawn]) -> Drawn:
    """Readable first, then fewest faults, then the earlier one."""
    return min(drawn, key=lambda one: one.badness)


@lru_cache(maxsize=1)
def _reader() -> Des2Exp:
    return Des2Exp.load()


class _Proof:
    """Holds texts to their evidence while they are written; `read` are those that ended, by their places, at their best.

    A text is good when nothing is wrong with it and Des2Exp, who is not shown the conclusion, would have given its label. One with
    another label is given one other ending, but no fault is made of it: the reader errs in one of twenty texts itself.
    """

    def __init__(self, codec: Codec, evidence: Sequence[Evidence]) -> None:
        self._codec, self._evidence = codec, evidence
        self._reader = _reader() if codec.wording is not None else None  # it knows the engine's language only
        self.read: dict[int, Drawn] = {}
        self.liked: set[int] = set()
        self._disliked: set[int] = set()

    def faults(self, n: int, ids: Sequence[int]) -> int:
        begin = max((k + 1 for k, token in enumerate(ids) if token == self._codec.ids[SEP]), default=0)
        (section,) = self._codec.sections(ids[begin:], self._evidence[n])
        strange = self._codec.wording.strange_in(section) if self._codec.wording is not None else ()
        return len(slips(section, self._evidence[n])) + len(strange)

    def good(self, n: int, written: Written) -> bool:
        told = _read(self._codec, written, self._evidence[n])
        if n not in self.read or told.badness <= self.read[n].badness:
            self.read[n] = told
        if told.cot is None or not told.clean:
            return False
        if self._reader is None or self._reader.label(told.cot) == told.cot.label:
            self.liked.add(n)
            return True
        before = n in self._disliked
        self._disliked.add(n)
        return before


def _read(codec: Codec, written: Written, evidence: Evidence) -> Drawn:
    text = codec.decode(written.ids, evidence)
    try:
        cot = parse_cot(text)
    except ParseError as error:
        return Drawn(text, None, error.reasons, written.tokens, written.label_probabilities)
    faults = (*check(cot, evidence), *(codec.wording.strange(cot) if codec.wording is not None else ()))
    return Drawn(text, cot, faults, written.tokens, written.label_probabilities)
