"""Writing a sentence again as soon as it is wrong, instead of the whole text when it is finished.

Most drafts of a small model that fail do so by one sentence: an action compared with itself, words in an order that none of its
texts had. A `Proof` reads along; where a sentence brings a fault, the text goes back to the sentence's beginning and is drawn from
there again, at most `SENTENCES` times; where a text ends with a label that does not follow from it, it goes back to the beginning of
its interpretation, at most `ENDINGS` times. Going back costs nothing but the tokens: the key-value cache is cut where it was.
A sentence that stays wrong is left, and the text fails as it would have. Nothing is repaired and nothing is accepted here:
attempts.py judges every finished text as before.

What a text is does not depend on the others of its batch: it counts its own retakes and has its own noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from streamfer.expllm.bounds import Bounds, Place
    from streamfer.expllm.generate import Written

SENTENCES = 4
ENDINGS = 2
SPARE = 0.2
"""Tokens that may be written over again, as a share of the longest answer."""


class Proof(Protocol):
    """Reads along while texts are written. `n` is the place of a text among all."""

    def faults(self, n: int, ids: Sequence[int]) -> int:
        """How many there are in the section that is being written, up to the end of the last sentence."""
        ...

    def good(self, n: int, written: Written) -> bool:
        """Of a text that has ended; then the others about its evidence table are left as far as they are."""
        ...


@dataclass(slots=True)
class _Mark:
    """A place to go back to, what came next there, and how often it was gone back to."""

    length: int
    place: Place
    logits: np.ndarray
    faults: int = 0
    retakes: int = 0


class Retakes:
    """The places that each text can go back to."""

    def __init__(self, proof: Proof, bounds: Bounds, logits: np.ndarray, section: int, copies: int) -> None:
        """All texts are at their beginning. `section` is the token between two sections; `copies` texts share an evidence table."""
        self._proof, self._bounds, self._section, self._copies = proof, bounds, section, copies
        self._sentence = [_Mark(0, bounds.place(n), row.copy()) for n, row in enumerate(logits)]
        self._ending: list[_Mark | None] = [None] * len(logits)  # where the interpretation begins, if all before it is right
        self._done: set[int] = set()  # evidence tables that have a good text

    def look(self, answers: list[list[int]], ended: Mapping[int, Written], going: list[bool], logits: np.ndarray) -> dict[int, int]:
        """To be called after each token -> text -> how many tokens that the model has read are to be taken back.

        `answers`, `going` and `logits` are brought to that state. `ended` are the texts whose label was just given.
        """
        self._done |= {n // self._copies for n, written in ended.items() if self._proof.good(n, written)}
        back = {}
        for n, answer in enumerate(answers):
            mark = None
            if n // self._copies in self._done:
                going[n] = False
            elif n in ended:
                ending = self._ending[n]
                if ending is not None and ending.retakes < ENDINGS:
                    mark = ending
                    answer.pop()  # the label, which the model has not read
                    going[n] = True
                    self._sentence[n] = replace(mark, retakes=0)
            elif going[n] and answer[-1] == self._section:
                self._begin(n, answer, logits[n])
            elif going[n] and self._bounds.ended(n):
                mark = self._end(n, answer, logits[n])
            if mark is not None:
                mark.retakes += 1
                back[n] = len(answer) - mark.length
                del answer[mark.length :]
                logits[n] = mark.logits
                self._bounds.back(n, mark.place)
        return back

    def _begin(self, n: int, answer: list[int], logits: np.ndarray) -> None:
        """A section: what was before it stays."""
        right = not self._sentence[n].faults
        self._sentence[n] = _Mark(len(answer), self._bounds.place(n), logits.copy())
        if right and answer.count(self._section) == 1:
            self._ending[n] = replace(self._sentence[n])

    def _end(self, n: int, answer: list[int], logits: np.ndarray) -> _Mark | None:
        """A sentence -> where to go back to, if it brought a fault."""
        last, faults = self._sentence[n], self._proof.faults(n, answer)
        if faults > last.faults and last.retakes < SENTENCES:
            return last
        self._sentence[n] = _Mark(len(answer), self._bounds.place(n), logits.copy(), faults)
        return None
