"""Several drafts of each text in one batch, and the one that says nothing unmeasured.

A small model is cheap to ask and errs at random, so `draw` has each text written a few times at once and keeps the
first that verify.py and wording.py find no fault in, else the one with the fewest. What is kept is still judged by attempts.py;
nothing is repaired. The first candidate is reported apart: it is what the model says unaided (`streamfer evaluate expllm`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from streamfer.errors import ParseError
from streamfer.expllm.encoding import Codec
from streamfer.expllm.evidence import Evidence
from streamfer.expllm.generate import How, LanguageModel, Written, write
from streamfer.expllm.text import parse_cot
from streamfer.expllm.verify import check
from streamfer.records import ChainOfThought

CANDIDATES = (4, 6, 6)
"""Of the first, second and later attempts. Four at once take hardly longer than two, and seldom need a second turn."""
TEMPERATURES = (0.5, 0.4, 0.3)
"""A model of this size does not read advice: it draws again, more carefully."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A text as written, what it says if it can be read, and what is wrong with it. `tokens` that were written for it."""

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


def draw(
    net: LanguageModel, codec: Codec, evidence: Sequence[Evidence], looks: Any, names: Sequence[str], turn: int,
    *, how: How | None = None, every: bool = True,
) -> list[list[Drawn]]:  # fmt: skip
    """The candidates for each evidence table; `names` and `turn` (0, 1 ...) decide what is drawn.

    With `every` False the first to end without a fault is taken and the others of its table, which are then left in the middle, are
    not among the answers. Which one that is does not depend on what else is in the batch.
    """
    candidates = CANDIDATES[min(turn, len(CANDIDATES) - 1)]
    seeds = [f"{name}/{turn}/{place}" for name in names for place in range(candidates)]
    how = replace(how or How(), temperature=TEMPERATURES[min(turn, len(TEMPERATURES) - 1)])
    read: dict[int, Drawn] = {}  # texts that were looked at when they ended

    def enough(n: int, one: Written) -> bool:
        read[n] = _read(codec, one, evidence[n // candidates])
        return read[n].clean

    written = write(net, codec, evidence, looks, seeds, how, copies=candidates, enough=None if every else enough)
    drawn = []
    for n, table in enumerate(evidence):
        places = range(n * candidates, (n + 1) * candidates)
        taken = next((read[k] for k in places if k in read and read[k].clean), None)
        if taken is not None:
            drawn.append([replace(taken, tokens=sum(len(written[k].ids) for k in places))])
        else:
            drawn.append([read[k] if k in read else _read(codec, written[k], table) for k in places])
    return drawn


def best(drawn: Sequence[Drawn]) -> Drawn:
    """Readable first, then fewest faults, then the earlier one."""
    return min(drawn, key=lambda one: one.badness)


def _read(codec: Codec, written: Written, evidence: Evidence) -> Drawn:
    text = codec.decode(written.ids, evidence)
    try:
        cot = parse_cot(text)
    except ParseError as error:
        return Drawn(text, None, error.reasons, len(written.ids), written.label_probabilities)
    faults = (*check(cot, evidence), *(codec.wording.strange(cot) if codec.wording is not None else ()))
    return Drawn(text, cot, faults, len(written.ids), written.label_probabilities)
