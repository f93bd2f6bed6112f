"""How the small ExpLLM reads and writes: its tokenizer, the evidence table as tokens, a sample as one sequence.

    <bos> <img> x V  <micro> <AU12> <both> <B> <d3> ...  <cot>
    observations <sep> interpretation <sep> conclusion <label> <L:happiness> <eos>

Words are byte-pair pieces (tokenizers, trained on the engine's texts); pieces may run over spaces inside a clause, which
halves the length of texts that share so many phrases (Liu et al., "SuperBPE", 2025). Numbers are slots (slots.py). The
evidence table comes as a few tokens for each action unit: its number, side, FACS letter, change in half steps, what else
measured it.

Before a sentence that speaks of action units the model writes down which: `<AU12> <left> <B>`, and `<at:mouth_corner_L>
<agrees> <up>` where it quotes a movement. These *plans* are no part of the text; they make each sentence depend on tokens
that stand right before it, which a small model learns soon, and when it writes only what is in the table may be planned
(generate.py). Content planning before realisation is old (Reiter & Dale 2000; Puduppully et al. 2019 for neural models).

A language model that was trained before brings its own tokenizer: `extended` (pretrained.py) adds these tokens to it, and the
codes `AU1` to `AU46`, which its pieces would spell digit by digit, so that bounds.py can tell them.

A mirrored face would swap <left> and <right> here and in the text; nothing else knows of sides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamfer.expllm.engine import Family, Sample
from streamfer.expllm.evidence import AUEvidence, Evidence, Support
from streamfer.expllm.slots import REGIONS, SLOTS, delexicalise, fill
from streamfer.expllm.text import SECTIONS
from streamfer.expllm.vocabulary import Tokens
from streamfer.records import LABELS, Label

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from streamfer.expllm.wording import Wording

PAD, BOS, EOS, IMAGE, SEP, LABEL = "<pad>", "<bos>", "<eos>", "<img>", "<sep>", "<label>"
TASKS: dict[Family, str] = {"reasoning": "<cot>", "action_units": "<list>", "expression": "<describe>"}
LABEL_FIRST, LABEL_ONLY, NO_TABLE = "<label_first>", "<which>", "<no_table>"
LABEL_TOKENS = tuple(f"<L:{label}>" for label in LABELS)
FLAGS = ("talking", "blink", "head_motion", "low_fps", "edge_of_gap", "edge_of_track", "cut_short")
_AUS = tuple(f"<AU{n}>" for n in range(1, 47))
_SIDES = ("<both>", "<left>", "<right>", "<more_left>", "<more_right>")
_LETTERS = ("<->", "<A>", "<B>", "<C>", "<D>", "<E>")
_STEPS = tuple(f"<d{n}>" for n in range(11))
_WAYS = ("<agrees>", "<against>", "<up>", "<down>", "<out>", "<in>", "<to_left>", "<to_right>")
_PLACES = tuple(f"<at:{region}{side}>" for region in REGIONS for side in ("", "_L", "_R"))
_FACES = tuple(f"<face:{label}>" for label in LABELS) + tuple(f"<from:{label}>" for label in LABELS)
_SURE = tuple(f"<p{n}>" for n in range(10))
SPECIALS: tuple[str, ...] = (
    PAD, BOS, EOS, IMAGE, SEP, LABEL, *TASKS.values(), LABEL_FIRST, LABEL_ONLY, NO_TABLE, *LABEL_TOKENS,
    "<micro>", "<macro>", "<still>", *(f"<flag:{flag}>" for flag in FLAGS), "<flag:other>", *_AUS, *_SIDES, *_LETTERS, *_STEPS,
    "<moved>", "<before>", "<ahead>", "<eased>", *_WAYS, *_PLACES, *_FACES, *_SURE, *SLOTS,
)  # fmt: skip
PLAN_TOKENS = (*_AUS, *_SIDES, *_LETTERS, *_WAYS, *_PLACES)
CODES = tuple(f"AU{n}" for n in range(1, 47))
SPACES = ("\u0120", "\u2581")
"""How byte-level and sentencepiece vocabularies write a space."""
VOCABULARY = 3072


def train_tokenizer(texts: Iterable[str], size: int = VOCABULARY) -> Tokenizer:
    """A BPE tokenizer on delexicalised texts; clauses, not words, bound its pieces."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=None, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[^.,;:()]{1,48}(?=[ .,;:()]|$)|[.,;:()]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[AddedToken(token, special=True) for token in SPECIALS], show_progress=False,
        initial_alphabet=[chr(code) for code in range(32, 127)], min_frequency=8,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def surface(token: str) -> str:
    """What a token of a vocabulary looks like in a text; exact for printable ASCII, which is all that is written."""
    for space in SPACES:
        token = token.replace(space, " ")
    return token


def evidence_tokens(evidence: Evidence) -> list[str]:
    """The evidence table, strongest action unit first; numbers in half FACS steps and tenths."""
    tokens = [f"<{evidence.kind}>"]
    tokens += [f"<flag:{flag}>" if flag in FLAGS else "<flag:other>" for flag in evidence.flags]
    for place, au in enumerate(evidence.aus):
        tokens += _row(au)
        if place == 0 and len(evidence.aus) > 1 and au.delta - evidence.aus[1].delta >= 0.5:
            tokens.append("<ahead>")
        support = evidence.support(au)
        if support is not None:
            tokens += _support(support)
    if evidence.eased:
        tokens += ["<eased>", *(f"<AU{au.number}>" for au in evidence.eased)]
    if evidence.expressed is not None:
        label, probability = evidence.expressed.best
        onset = LABELS[max(range(len(LABELS)), key=evidence.expressed.onset.__getitem__)]
        tokens += [f"<from:{onset}>", f"<face:{label}>", f"<p{min(int(probability * 10), 9)}>"]
        second = sorted(range(len(LABELS)), key=evidence.expressed.apex.__getitem__)[-2]
        if evidence.expressed.apex[second] >= 0.1:
            tokens += [f"<face:{LABELS[second]}>", f"<p{int(evidence.expressed.apex[second] * 10)}>"]
    return tokens


def plan_of(au: AUEvidence) -> list[str]:
    """The tokens that announce an action unit: what it is, its side, its strength."""
    return [f"<AU{au.number}>", f"<more_{au.stronger}>" if au.stronger else f"<{au.side}>", f"<{au.letter}>"]


def motion_plans(evidence: Evidence) -> dict[str, list[str]]:
    """Region -> the tokens that announce its movement, for every movement that says something of an action unit."""
    plans: dict[str, list[str]] = {}
    for au in evidence.aus:
        support = evidence.support(au)
        if support is not None:
            way, place, *rest = _support(support)
            plans[support.motion.region] = [place, way, *rest]
    return plans


def with_plans(text: str, evidence: Evidence) -> str:
    """A delexicalised text with the plan of each sentence before it. What the evidence has not is not planned."""
    aus = {au.number: plan_of(au) for au in evidence.aus}
    motion = motion_plans(evidence)
    sentences = []
    for sentence in _SENTENCE.split(text):
        numbers = dict.fromkeys(int(a or b) for a, b in _NAMED.findall(sentence))
        regions = dict.fromkeys(_MOVED.findall(sentence))
        plan = [token for number in numbers for token in aus.get(number, ())]
        plan += [token for region in regions for token in motion.get(region, ())]
        sentences.append("".join(plan) + sentence)
    return "".join(sentences)


_SENTENCE = re.compile(r"(?<=[.!?])(?= [A-Z<])")
_NAMED = re.compile(r"<[nl](\d+)>|\bAU(\d+)")
_MOVED = re.compile(r"<m:([a-z_]+(?:_[LR])?)>")


def _support(support: Support) -> list[str]:
    side = {"left": "_L", "right": "_R", None: ""}[support.side]
    tokens = ["<agrees>" if support.agrees else "<against>", f"<at:{support.region}{side}>"]
    if abs(support.upward) > 0.38:
        tokens.append("<up>" if support.upward > 0 else "<down>")
    if abs(support.outward) > 0.38 and support.side:
        tokens.append("<out>" if support.outward > 0 else "<in>")
    elif abs(support.outward) > 0.38:
        tokens.append("<to_left>" if support.outward > 0 else "<to_right>")
    return tokens


def _row(au: AUEvidence) -> list[str]:
    row = [*plan_of(au), f"<d{min(int(au.delta * 2), 10)}>"]
    if au.source == "movement":
        row.append("<moved>")
    if au.intensity - au.delta >= 0.75:
        row.append("<before>")
    return row


@dataclass(frozen=True, slots=True)
class Encoding:
    """Token ids of one sample; `answer` is where what is learned begins."""

    ids: list[int]
    answer: int


class Codec:
    """A tokenizer with the layout of the sequences. `images` is the number of image positions V; `wording` is what the model's texts
    are held to besides the evidence, if anything."""

    def __init__(self, tokenizer: Tokens, images: int, wording: Wording | None = None) -> None:
        self.tokenizer, self.images, self.wording = tokenizer, images, wording
        self.ids = {token: self._id(token) for token in SPECIALS}
        self.labels = [self.ids[token] for token in LABEL_TOKENS]
        self._silent = {self.ids[token] for token in SPECIALS if token not in SLOTS}
        self.pad, self.eos = self.ids[PAD], self.ids[EOS]
        self._unspoken = {self.ids[LABEL], self.pad, *self.labels}

    def _id(self, token: str) -> int:
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"the tokenizer has no {token}: it is not one of this version of ExpLLM")
        return int(found)

    @property
    def size(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    def words(self, text: str) -> list[int]:
        encode = getattr(self.tokenizer, "encode", None)
        if encode is None:
            raise TypeError(
                "this codec has a vocabulary only: encoding texts needs a tokenizer of the package tokenizers"
            )
        return list(encode(text, add_special_tokens=False).ids)

    def planned(self, text: str, evidence: Evidence) -> list[int]:
        return self.words(with_plans(delexicalise(text, evidence), evidence))

    def prompt(self, evidence: Evidence, task: str, *, table: bool = True, label_first: bool = False) -> list[int]:
        """Everything before the answer."""
        tokens = [BOS, *[IMAGE] * self.images]
        tokens += evidence_tokens(evidence) if table else [f"<{evidence.kind}>", NO_TABLE]
        tokens += [task, *([LABEL_FIRST] if label_first else [])]
        return [self.ids[token] for token in tokens if token in self.ids]

    def encode(self, sample: Sample, family: Family, *, table: bool = True, label_first: bool = False) -> Encoding:
        """A sample as one sequence with its answer."""
        e, ids = sample.evidence, self.ids
        prompt = self.prompt(e, TASKS[family], table=table, label_first=label_first)
        label = [ids[LABEL], ids[f"<L:{sample.label}>"]]
        if family == "reasoning":
            cot = sample.cot
            parts = [self.planned(part, e) for part in (cot.observations, cot.interpretation, cot.conclusion)]
            body = [*parts[0], ids[SEP], *parts[1], ids[SEP], *parts[2]]
        else:
            body = self.planned(sample.text(family), e)
        if family != "action_units":
            body = [*label, *body] if label_first else [*body, *label]
        return Encoding([*prompt, *body, self.eos], len(prompt))

    def label_turn(self, evidence: Evidence, label: Label, *, table: bool = True) -> Encoding:
        """The label alone, as ExpLLM mixes it in."""
        prompt = self.prompt(evidence, LABEL_ONLY, table=table)
        return Encoding([*prompt, self.ids[LABEL], self.ids[f"<L:{label}>"], self.eos], len(prompt))

    def decode(self, ids: Sequence[int], evidence: Evidence) -> str:
        """An answer as text, slots filled: sections with their headers, then the label line where there is a label."""
        label = next((LABELS[self.labels.index(token)] for token in ids if token in self.labels), None)
        bodies = self.sections(ids, evidence)
        if len(bodies) == len(SECTIONS):
            text = "\n\n".join(f"**{name}:**\n{body}" for name, body in zip(SECTIONS, bodies, strict=True))
        else:
            text = "\n\n".join(bodies)
        return text if label is None else f"{text}\n\nLabel: {label}"

    def sections(self, ids: Sequence[int], evidence: Evidence) -> list[str]:
        """The sections of an answer, or of the beginning of one, without headers and label."""
        sections: list[list[int]] = [[]]
        for token in ids:
            if token == self.ids[SEP]:
                sections.append([])
            elif token == self.eos:
                break
            elif token not in self._unspoken:
                sections[-1].append(token)
        return [self._text(section, evidence) for section in sections]

    def _text(self, ids: Sequence[int], evidence: Evidence) -> str:
        tokens = [self.tokenizer.id_to_token(token) or "" for token in ids if token not in self._silent]
        text = "".join(map(surface, tokens))
        return fill(re.sub(r" {2,}", " ", text), evidence).strip()


def texts_for_tokenizer(samples: Iterable[Sample]) -> Iterable[str]:
    for sample in samples:
        cot = sample.cot
        for part in (cot.observations, cot.interpretation, cot.conclusion):
            yield delexicalise(part, sample.evidence)
