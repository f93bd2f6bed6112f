"""Which tokens ExpLLM may write next: the format, and what the evidence table allows.

* **Format**: words without markup; two section marks and then `<label>`, each only after the end of a sentence.
* **Plans** (encoding.py): only AUs and movements that are in the table, in Key Observations each twice at most; the side and
  strength that follow are the table's.
* **Inside a planned sentence**: slots and codes of the AUs that it is about; no other side than theirs; in Key Observations no
  other strength word and no part of the face that none of them has to do with.
* **The whole face** is not spoken of when no expression model was run.

This is a filter on tokens, not a proof: the model still chooses what to say and can be wrong in ways that no single token
shows. verify.py judges the finished text. `Bounds(..., table=False)` is for the ablation without the table: everything is open.

Words are judged a token at a time. Nano's pieces are whole words and more; a pretrained vocabulary may cut a word in two
("f" "aintly"), and such a word is left to verify.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from streamfer.expllm.encoding import CODES, LABEL, PLAN_TOKENS, SEP, Codec, motion_plans, plan_of, surface
from streamfer.expllm.evidence import Evidence
from streamfer.expllm.phrases import PHRASES
from streamfer.expllm.slots import SLOTS, fill
from streamfer.expllm.text import STRENGTHS

SECTION_MARKS = 2
PLANNED_MAX = 2
"""A plan may come so often in Key Observations: what an action is, and in a sentence of its own what it is common in."""
MARKUP = frozenset("<>[]{}*#`_|\\")
"""Characters that the model may not write: it has no use for them, and other formats have."""

_PARTS = (
    "brow",
    "lid",
    "eye",
    "cheek",
    "nose",
    "nasolabial",
    "lip",
    "chin",
    "jaw",
    "mouth",
    "cheekbone",
    "teeth",
    "tongue",
)
_CODE = re.compile(r"AU(\d+)(?!\d)")
_OPEN_CODE = re.compile(r"AU(\d+)$")
_WHOLE = re.compile(r"expression model|whole face|as a whole")


@dataclass(slots=True)
class _Vocabulary:
    """Tokens by what they would say."""

    never: np.ndarray  # (V,) bool: markup and control tokens
    ends: set[int]  # tokens that end a sentence
    codes: dict[int, tuple[str, ...]]  # token -> AU codes in it
    sides: dict[str, list[int]]
    strengths: dict[str, list[int]]  # FACS letter -> tokens with its words
    parts: dict[str, list[int]]  # part of the face -> tokens that name it
    whole: list[int]


def prepare(codec: Codec) -> None:
    """Sort the vocabulary now instead of at the first text."""
    _vocabulary(codec)


@lru_cache(maxsize=4)
def _vocabulary(codec: Codec) -> _Vocabulary:
    vocabulary = codec.tokenizer.get_vocab()
    words = {n: surface(token) for token, n in vocabulary.items() if token not in SLOTS}
    spelt = all(code in vocabulary for code in CODES)  # then none needs to be put together out of pieces
    plain = {
        n: token for n, token in words.items()
        if not set(token) & MARKUP and token.isascii() and token.isprintable() and not (spelt and token.endswith("AU"))
    }  # fmt: skip
    never = np.zeros(codec.size, bool)
    never[[n for n in words if n not in plain]] = True

    order = list(plain)
    text = "".join(f"{plain[n].lower()}\n" for n in order)  # one search through all of them is ten times faster than one each
    starts = np.cumsum([0, *(len(plain[n]) + 1 for n in order)])

    def having(pattern: str) -> list[int]:
        at = [found.start() for found in re.finditer(pattern, text)]
        return [order[k] for k in np.unique(np.searchsorted(starts, at, side="right") - 1).tolist()]

    return _Vocabulary(
        never, {n for n, token in plain.items() if token.rstrip().endswith((".", "!", "?"))},
        {n: tuple(found) for n, token in plain.items() if (found := _CODE.findall(token) + _OPEN_CODE.findall(token))},
        {side: having(rf"\b{side}\b") for side in ("left", "right")},
        {step.letter: [n for n in having(rf"(?<!less )\b(?:{step.word}|{step.adverb})\b") if not _is_hint(plain[n])]
         for step in STRENGTHS}
        | {"-": having("just measurabl")},
        {part: having(rf"(?<!-)\b{part}s?\b") for part in _PARTS},  # the inner-eye distance is a length
        having(_WHOLE.pattern),
    )  # fmt: skip


def _is_hint(token: str) -> bool:
    """Whether a token with a strength word is part of what an action is said to be common in ("strong joy"), not its strength."""
    words = token.strip()
    return " " in words and any(words in hint for p in PHRASES.values() for hint in (*p.hints, *p.hints_one))


@lru_cache(maxsize=128)
def _parts_of(number: int) -> frozenset[str]:
    """Parts of the face that the words for an action unit name."""
    phrase = PHRASES.get(number)
    texts = (
        []
        if phrase is None
        else [phrase.one, phrase.both, *phrase.acts, *phrase.nouns, *phrase.hints, *phrase.hints_one]
    )
    found = re.findall(r"[a-z]+", " ".join(texts).lower())
    return frozenset(part for part in _PARTS if part in found or f"{part}s" in found)


@dataclass(slots=True)
class _Sentence:
    """What the sentence being written was announced to be about."""

    numbers: set[int] = field(default_factory=set)
    regions: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text may go on from again: its beginning, the end of a sentence, a section mark."""

    marks: int
    ended: bool
    about: _Sentence | None
    told: Counter[int]


class Bounds:
    """Masks (N, vocabulary) to be added to the logits, one row a text; `take` tells it what was written."""

    def __init__(self, codec: Codec, evidence: Sequence[Evidence], table: bool, copies: int = 1) -> None:
        """`copies` texts about each evidence table, beside each other."""
        evidence = [e for e in evidence for _ in range(copies)]
        self._codec, self._evidence, self._table, self._copies = codec, evidence, table, copies
        self._words = _vocabulary(codec)
        self._sep, self._label = codec.ids[SEP], codec.ids[LABEL]
        count = len(evidence)
        self._base = np.where(self._words.never, np.float32(-np.inf), np.float32(0)) + np.zeros((count, 1), np.float32)
        self._rows: dict[object, np.ndarray] = {}
        self._plans: list[dict[int, tuple[list[int], int | str]]] = [{} for _ in evidence]
        self._marks, self._ended, self._planning = [0] * count, [False] * count, [False] * count
        self._open = [True] * count  # a sentence may begin
        self._forced: list[list[int]] = [[] for _ in evidence]
        self._about: list[_Sentence | None] = [None] * count
        self._told: list[Counter[int]] = [Counter() for _ in evidence]  # first token of a plan -> how often in this section
        if not table:
            self._base[:, [codec.ids[token] for token in PLAN_TOKENS]] = 0.0
            return
        for n, e in enumerate(evidence):
            if n % copies:  # the text before is about the same table
                self._base[n], self._plans[n] = self._base[n - 1], self._plans[n - 1]
                continue
            for au in e.aus:
                self._plan(n, plan_of(au), au.number)
            for region, plan in motion_plans(e).items():
                self._plan(n, plan, region)
            self._base[n, [codec.ids[slot] for slot in SLOTS if "measured]" in fill(slot, e)]] = -np.inf
            if e.expressed is None:
                self._base[n, self._words.whole] = -np.inf

    def _plan(self, n: int, plan: list[str], about: int | str) -> None:
        first, *rest = (self._codec.ids.get(token, -1) for token in plan)
        if first >= 0:
            self._plans[n][first] = (rest, about)
            self._base[n, first] = 0.0

    def mask(self, label_first: bool, end: int) -> np.ndarray:
        """`end` is the token that ends an answer whose label came first."""
        mask = np.empty_like(self._base)
        for n, marks in enumerate(self._marks):
            if self._forced[n]:
                mask[n] = -np.inf
                mask[n, self._forced[n][0]] = 0.0
                continue
            mask[n] = self._row(n)
            mask[n, [plan for plan, times in self._told[n].items() if times >= PLANNED_MAX]] = -np.inf
            if self._ended[n] and not self._planning[n]:
                mask[n, self._sep if marks < SECTION_MARKS else end if label_first else self._label] = 0.0
        return mask

    def _row(self, n: int) -> np.ndarray:
        """What may come in the sentence that is being written. It changes with the sentence, not with each token."""
        about, beginning = self._about[n], self._open[n] or self._planning[n]
        key = (n // self._copies, beginning, self._marks[n] == 0, about and (frozenset(about.numbers), frozenset(about.regions)))
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = self._base[n].copy()
            if not beginning:
                row[list(self._plans[n])] = -np.inf  # in the middle of a sentence
            if self._table:
                self._inside(row, n, observing=self._marks[n] == 0)
        return row

    def _inside(self, row: np.ndarray, n: int, observing: bool) -> None:
        """What the plan of the sentence leaves open."""
        about, e, ids, words = self._about[n], self._evidence[n], self._codec.ids, self._words
        numbers = about.numbers if about else set()
        codes = {str(number) for number in {*numbers, *(au.number for au in e.eased)}}
        row[
            [t for t, found in words.codes.items() if not all(any(c.startswith(f) for c in codes) for f in found)]
        ] = -np.inf
        for au in e.aus:
            if au.number not in numbers:
                row[[ids[s] for s in (f"<n{au.number}>", f"<l{au.number}>") if s in ids]] = -np.inf
        for motion in e.motion:
            if about is None or motion.region not in about.regions:
                row[ids[f"<m:{motion.region}>"]] = -np.inf
        if about is None:
            return
        aus = [au for au in e.aus if au.number in numbers]
        sides = {side for au in aus for side in (au.side, au.stronger)} | {
            {"L": "left", "R": "right"}.get(region[-1], "both") if region[-2:-1] == "_" else "both"
            for region in about.regions
        }
        for side in ("left", "right"):
            if side not in sides and not any(region in ("chin", "lip_upper", "lip_lower") for region in about.regions):
                row[words.sides[side]] = -np.inf
        if observing:
            letters = {au.letter for au in aus}
            for letter, tokens in words.strengths.items():
                if letter not in letters:
                    row[tokens] = -np.inf
            open_ = {part for number in numbers for part in _parts_of(number)}
            open_ |= {"cheek"} if "cheekbone" in open_ else set()  # a vocabulary may have it in two pieces
            open_ |= {
                part
                for region in about.regions
                for part in _PARTS
                if part in region or (region == "chin" and part == "chin")
            }
            for part, tokens in words.parts.items():
                if part not in open_:
                    row[tokens] = -np.inf

    def ended(self, n: int) -> bool:
        """Whether text `n` is at the end of a sentence."""
        return self._ended[n] and not self._planning[n]

    def place(self, n: int) -> Place:
        """Where text `n` is: not in the middle of a sentence or of a plan."""
        return Place(self._marks[n], self._ended[n], self._about[n], self._told[n].copy())

    def back(self, n: int, place: Place) -> None:
        """Text `n` goes on from an earlier `place`."""
        self._marks[n], self._ended[n], self._about[n], self._told[n] = place.marks, place.ended, place.about, place.told.copy()
        self._open[n], self._planning[n], self._forced[n] = True, False, []

    def take(self, tokens: list[int]) -> None:
        for n, token in enumerate(tokens):
            if self._forced[n]:
                self._forced[n].pop(0)
            elif token in self._plans[n]:
                rest, about = self._plans[n][token]
                self._forced[n] = list(rest)
                sentence = self._about[n] = self._about[n] if self._planning[n] and self._about[n] else _Sentence()
                assert sentence is not None
                if isinstance(about, int):
                    sentence.numbers.add(about)
                else:
                    sentence.regions.add(about)
                self._planning[n] = True
                self._told[n][token] += 1
            else:
                if self._open[n] and not self._planning[n]:
                    self._about[n] = None  # a sentence that was not announced
                self._planning[n] = False
                self._marks[n] += token == self._sep
                if self._marks[n]:  # in the later sections an action unit may come up again, but not twice in a plan
                    self._told[n].clear()
                self._ended[n] = token in self._words.ends
                self._open[n] = self._ended[n] or token == self._sep
