"""Does a text read like the texts its writer learned from? Runs of three words, each seen in training or not.

    wording = Wording.of(folder)          # wording.npy beside the weights; None where a model has none
    wording.strange(cot)                  # ("'of the inner of' is no wording that the model was taught",)

A small model that loses its thread writes words in orders that no text has ("of the inner of the inner", "That That"), and
nothing in them need be a claim that the evidence could refute. The texts of the engine (engine.py) use few words in many
orders: about 7,000 runs of three, numbers taken as one word. Of 3,000 texts of the engine that were kept out, 0.3 % hold a run
that the other 34,500 have not. So what holds one is refused like a false claim. Only for models that write the engine's language;
it says nothing about whether a text is good, and a garbled text of known runs passes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from streamfer.errors import ModelContract
from streamfer.expllm.text import SENTENCE_END
from streamfer.records import ChainOfThought

FILE = "wording.npy"
_RUN = 3
_WORD = re.compile(r"AU\d+|\d+(?:\.\d+)?|[^\W\d_][\w'’-]*|[^\s\w]|_")


class Wording:
    """`runs`: sorted 64-bit digests of the runs of words that were seen."""

    def __init__(self, runs: np.ndarray) -> None:
        self._runs = runs

    @classmethod
    def of(cls, folder: Path) -> Wording | None:
        """What lies in a model's folder. Raises ModelContract when the file is damaged."""
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            runs = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ModelContract(
                f"{path} cannot be read ({error}): take the model's folder anew, or delete the file"
            ) from None
        if runs.dtype != np.uint64 or runs.ndim != 1:
            raise ModelContract(f"{path} holds {runs.dtype} {runs.shape}, not digests: take the model's folder anew")
        return cls(np.sort(runs))

    @classmethod
    def learn(cls, texts: Iterable[ChainOfThought]) -> Wording:
        return cls(np.array(sorted({_digest(run) for cot in texts for run in _runs(*_parts(cot))}), np.uint64))

    def save(self, folder: Path) -> None:
        np.save(folder / FILE, self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def strange(self, cot: ChainOfThought) -> tuple[str, ...]:
        """One sentence for each run of three words that was never seen, in order."""
        return self.strange_in(*_parts(cot))

    def strange_in(self, *texts: str) -> tuple[str, ...]:
        """The same of texts that end with whole sentences."""
        runs = list(_runs(*texts))
        digests = np.array([_digest(run) for run in runs], np.uint64)
        known = np.isin(digests, self._runs)
        unknown = dict.fromkeys(run for run, seen in zip(runs, known, strict=True) if not seen)
        return tuple(f"'{' '.join(run).strip()}' is no wording that the model was taught" for run in unknown)


def _parts(cot: ChainOfThought) -> tuple[str, ...]:
    return cot.observations, cot.interpretation, cot.conclusion


def _runs(*texts: str) -> Iterable[tuple[str, ...]]:
    """Within sentences, whose beginning and end count as words: which sentence follows which is free."""
    for part in texts:
        for sentence in SENTENCE_END.split(part):
            words = ["", *map(_plain, _WORD.findall(sentence)), ""]
            yield from (tuple(words[i : i + _RUN]) for i in range(len(words) - _RUN + 1))


def _plain(word: str) -> str:
    if word[:2] == "AU" and word[2:].isdigit():
        return "AU"
    return "0" if word[0].isdigit() else word


def _digest(run: tuple[str, ...]) -> int:
    return int.from_bytes(hashlib.blake2b("\n".join(run).encode(), digest_size=8).digest(), "little")
