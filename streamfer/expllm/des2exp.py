"""Des2Exp: a reader that has seen only a description names the label that it leads to.

    reader = Des2Exp.load()                    # the bundled one; Des2Exp.load(path) for another
    reader.probabilities(cot)                  # (8,) in the order of LABELS

The reader of ExpLLM's engine is GPT-4o; this one is a linear classifier on the words and word pairs of `Key
Observations` and `Overall Emotional Interpretation` (the conclusion and the label are not shown to it), hashed to
`BUCKETS`, numbers left out. It is the second opinion beside the rules (verify.py): both are told to people who ask whether
a label follows from its text. `training/des2exp.py` trains it.
"""

from __future__ import annotations

import itertools
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamfer.errors import ModelContract, ModelMissing
from streamfer.records import LABELS, ChainOfThought, Label

BUCKETS = 4096
BUNDLED = Path(__file__).parents[1] / "models" / "des2exp.npz"
_WORD = re.compile(r"[a-z]+(?:\d+)?|\d+(?:\.\d+)?")


def features(cot: ChainOfThought) -> np.ndarray:
    """Indices of the buckets that the description fills, each once."""
    words = [
        "0" if word[0].isdigit() else word for word in _WORD.findall(f"{cot.observations} {cot.interpretation}".lower())
    ]
    grams = {*words, *(" ".join(pair) for pair in itertools.pairwise(words))}
    return np.array(sorted({zlib.crc32(gram.encode()) % BUCKETS for gram in grams}), np.int64)


@dataclass(frozen=True, slots=True)
class Des2Exp:
    weights: np.ndarray  # (BUCKETS, 8)
    bias: np.ndarray  # (8,)

    def probabilities(self, cot: ChainOfThought) -> np.ndarray:
        logits = self.weights[features(cot)].astype(np.float32).sum(axis=0) + self.bias
        shifted = np.exp(logits - logits.max())
        return shifted / shifted.sum()

    def label(self, cot: ChainOfThought) -> Label:
        return LABELS[int(self.probabilities(cot).argmax())]

    def save(self, path: Path) -> None:
        np.savez_compressed(path, weights=self.weights.astype(np.float16), bias=self.bias.astype(np.float32))

    @classmethod
    def load(cls, path: Path = BUNDLED) -> Des2Exp:
        """Raises ModelMissing or ModelContract."""
        if not path.is_file():
            raise ModelMissing(f"{path} is not there: `streamfer train des2exp` makes one")
        try:
            with np.load(path, allow_pickle=False) as data:
                weights, bias = data["weights"], data["bias"]
        except (KeyError, ValueError, OSError) as error:
            raise ModelContract(f"{path} is no Des2Exp: {error}") from None
        if weights.shape != (BUCKETS, len(LABELS)) or bias.shape != (len(LABELS),):
            raise ModelContract(f"{path} is a Des2Exp of another size: {weights.shape}")
        return cls(weights, bias)
