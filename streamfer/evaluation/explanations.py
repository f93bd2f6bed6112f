"""How true, how well formed and how varied a model's chains of thought are, against the measured evidence.

`run` writes for every case one draft as the model gives it unaided, then a text as the worker gets it: proof-read and asked for
again (drafting.py); `score` counts over all of it:

* **format**: share of first drafts that parse, of accepted texts that do;
* **claims**: share of the claims about action units that the evidence supports (precision), share of the action units
  in evidence that are claimed (recall), unsupported claims for each text; before verification and after;
* **label**: accuracy against the truth where there is one, beside that of the encoder's own reading of the whole face and
  of the rules; agreement of the label with the one that a reader of the text alone names: verify.py's rules, and Des2Exp, who does
  not see the conclusion;
* **text**: ROUGE-L against the composer's text of the same evidence, distinct-n, share of sentences that occur twice or more;
* **cost**: seconds a text, tokens a second.

FEABench (Hu et al. 2025) is not published: `feabench` is ours in its style, and docs/chain-of-thought.md defines it.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from streamfer.evaluation import bootstrap
from streamfer.evaluation.reports import Report, Row
from streamfer.evaluation.text_scores import words
from streamfer.expllm.backends.composer import compose
from streamfer.expllm.claims import extract
from streamfer.expllm.des2exp import Des2Exp
from streamfer.expllm.drafting import Drawn, best, draw, unaided
from streamfer.expllm.encoding import Codec
from streamfer.expllm.engine import Case
from streamfer.expllm.generate import How
from streamfer.expllm.looked import named_for, unlooked
from streamfer.expllm.model import ExpLLM, Looks
from streamfer.expllm.patches import Pictures
from streamfer.expllm.rules import judge
from streamfer.expllm.verify import described, label_from_description, supported_share
from streamfer.records import ChainOfThought


@dataclass(frozen=True, slots=True)
class Told:
    """One case: the first draft and the text that was kept, with their faults."""

    case: Case
    first: ChainOfThought | None
    first_faults: tuple[str, ...]
    kept: ChainOfThought | None
    kept_faults: tuple[str, ...]
    attempts: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Outcome:
    told: list[Told]
    no_action: list[Case]  # nothing above the floor: answered without a model
    seconds: float


def run(
    net: ExpLLM, codec: Codec, cases: Sequence[Case], looks: Looks | Pictures | None, *, batch: int = 8, attempts: int = 3,
    table: bool = True, label_first: bool = False,
) -> Outcome:  # fmt: skip
    """Explain every case, `batch` at a time, as the worker would."""
    asked = [case for case in cases if case.evidence.visible]
    told: list[Told] = []
    began = time.perf_counter()
    for start in range(0, len(asked), batch):
        told += _batch(net, codec, asked[start : start + batch], looks, attempts, table, label_first)
    return Outcome(told, [case for case in cases if not case.evidence.visible], time.perf_counter() - began)


def _batch(
    net: ExpLLM,
    codec: Codec,
    cases: Sequence[Case],
    looks: Looks | Pictures | None,
    attempts: int,
    table: bool,
    label_first: bool,
) -> list[Told]:
    names, evidence = [case.id for case in cases], [case.evidence for case in cases]
    how = How(label_first=label_first, table=table)
    firsts = unaided(net, codec, evidence, _looks_of(looks, cases), names, how)
    tried: list[list[Drawn]] = [[] for _ in cases]
    turns = [0] * len(cases)
    for turn in range(attempts):
        open_ = [n for n, drafts in enumerate(tried) if not drafts or not best(drafts).clean]
        if not open_:
            break
        seen = _looks_of(looks, [cases[n] for n in open_])
        drawn = draw(net, codec, [evidence[n] for n in open_], seen, [names[n] for n in open_], turn, how=how)
        for n, drafts in zip(open_, drawn, strict=True):
            tried[n] += drafts
            turns[n] += 1
    told = []
    for case, first, drafts, count in zip(cases, firsts, tried, turns, strict=True):
        kept = best(drafts)
        tokens = first.tokens + sum(one.tokens for one in drafts)
        told.append(Told(case, first.cot, first.faults, kept.cot, kept.faults, count, tokens))
    return told


def _looks_of(looks: Looks | Pictures | None, cases: Sequence[Case]) -> Looks | Pictures | None:
    """Of these cases; a case without pictures has seen nothing."""
    if looks is None:
        return None
    seen = looks.take(torch.tensor([max(case.row, 0) for case in cases]))
    seen.seen = seen.seen * torch.tensor([float(case.row >= 0) for case in cases])
    return seen


def score(outcome: Outcome, name: str) -> Report:
    """All measures, with intervals over cases (bootstrap)."""
    told = outcome.told
    rows: list[Row] = []
    reader = Des2Exp.load()

    def add(group: str, measure: str, values: Sequence[float], of: str = "") -> None:
        array = np.array([value for value in values if not np.isnan(value)], float)
        low, high = _interval(array)
        rows.append(
            Row(group, measure, float(array.mean()) if len(array) else float("nan"), low, high, of or f"{len(array)}")
        )

    for group, pick in (
        ("first draft", lambda t: (t.first, t.first_faults)),
        ("kept", lambda t: (t.kept, t.kept_faults)),
    ):
        pairs = [(t.case, *pick(t)) for t in told]
        add(group, "valid format", [float(cot is not None) for _, cot, _ in pairs])
        add(group, "passes verification", [float(cot is not None and not faults) for _, cot, faults in pairs])
        add(group, "claim precision", [precision(cot, case) for case, cot, _ in pairs])
        add(group, "claim recall", [recall(cot, case) for case, cot, _ in pairs])
        add(group, "rests on a region looked at or measured", [looked_at(cot, case) for case, cot, _ in pairs])
        add(group, "faults a text", [float(len(faults)) for _, cot, faults in pairs if cot is not None])
        add(group, "label = label of the description", [agrees(cot, case) for case, cot, _ in pairs])
    accepted = [t for t in told if t.kept is not None and not t.kept_faults]
    add("accepted", "faults a text", [float(len(t.kept_faults)) for t in accepted])
    add("accepted", "label = label of the description", [agrees(t.kept, t.case) for t in accepted])
    add("accepted", "label = Des2Exp's", [float(reader.label(t.kept) == t.kept.label) for t in accepted if t.kept])
    add("accepted", "attempts", [float(t.attempts) for t in accepted])
    _label_rows(outcome, add)
    kept = [t.kept for t in told if t.kept is not None]
    reference = [compose(t.case.evidence) for t in told if t.kept is not None]
    add(
        "text", "ROUGE-L with the composer", [rouge_l(_text(a), _text(b)) for a, b in zip(kept, reference, strict=True)]
    )
    for order in (1, 2, 3):
        mine, theirs = distinct([_text(cot) for cot in kept], order), distinct([_text(cot) for cot in reference], order)
        rows.append(Row("text", f"distinct-{order}", mine, float("nan"), float("nan"), f"composer {theirs:.3f}"))
    same, theirs = repeated([_text(cot) for cot in kept]), repeated([_text(cot) for cot in reference])
    rows.append(Row("text", "sentences said twice or more", same, float("nan"), float("nan"), f"composer {theirs:.3f}"))
    tokens = sum(t.tokens for t in told)
    rate = outcome.seconds and len(told) / outcome.seconds
    rows.append(
        Row(
            "cost",
            "texts a second",
            rate,
            float("nan"),
            float("nan"),
            f"{tokens / max(outcome.seconds, 1e-9):.0f} tokens/s",
        )
    )
    counts = {"texts": len(told), "without visible action": len(outcome.no_action), "accepted": len(accepted)}
    return Report(f"Chains of thought of {name} against the measured evidence", counts, tuple(rows))


def _label_rows(outcome: Outcome, add: Callable[[str, str, Sequence[float]], None]) -> None:
    """Accuracy where there is a truth: over the texts alone, and with the cases that were answered without a model."""
    known = [t for t in outcome.told if t.case.truth is not None]
    quiet = [case for case in outcome.no_action if case.truth is not None]
    if known:
        add(
            "label",
            "accuracy of the texts",
            [float(t.kept is not None and t.kept.label == t.case.truth) for t in known],
        )
        add("label", "... of the encoder on the same", [_reads(t.case) for t in known])
        add(
            "label",
            "... of the rules on the same",
            [float(judge(t.case.evidence).label == t.case.truth) for t in known],
        )
        every = [float(t.kept is not None and t.kept.label == t.case.truth) for t in known]
        add(
            "label",
            "accuracy with those without visible action",
            every + [float(case.truth == "neutral") for case in quiet],
        )
        add("label", "... of the encoder on the same", [_reads(case) for case in (*(t.case for t in known), *quiet)])


def _reads(case: Case) -> float:
    expressed = case.evidence.expressed
    return float("nan") if expressed is None else float(expressed.best[0] == case.truth)


def _interval(values: np.ndarray) -> tuple[float, float]:
    if len(values) < 2:
        return float("nan"), float("nan")
    draws = bootstrap.multiplicities(len(values))
    return bootstrap.percentiles(draws @ values / draws.sum(axis=1))


def precision(cot: ChainOfThought | None, case: Case) -> float:
    share = None if cot is None else supported_share(cot, case.evidence)
    return float("nan") if share is None else share


def recall(cot: ChainOfThought | None, case: Case) -> float:
    if cot is None or not case.evidence.numbers:
        return float("nan")
    told = described(extract(f"{cot.observations}\n{cot.interpretation}\n{cot.conclusion}"), case.evidence).numbers
    return len(told & case.evidence.numbers) / len(case.evidence.numbers)


def looked_at(cot: ChainOfThought | None, case: Case) -> float:
    """Of texts that rest their label on a region of the face by name: 1 when each was measured or looked at (looked.py)."""
    expressed = case.evidence.expressed
    if cot is None or expressed is None or expressed.looked is None or not named_for(cot):
        return float("nan")
    return float(not unlooked(cot, case.evidence))


def agrees(cot: ChainOfThought | None, case: Case) -> float:
    """Is the label that of a reader by rules, who has the text alone (verify.label_from_description)?"""
    return float("nan") if cot is None else float(label_from_description(cot, case.evidence) == cot.label)


def _text(cot: ChainOfThought) -> str:
    return f"{cot.observations} {cot.interpretation} {cot.conclusion}"


def rouge_l(answer: str, reference: str) -> float:
    """F1 of the longest common subsequence of words (Lin 2004)."""
    a, b = words(answer), words(reference)
    if not a or not b:
        return 0.0
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for n, other in enumerate(b, 1):
            diagonal, row[n] = row[n], diagonal + 1 if word == other else max(row[n], row[n - 1])
    precision, recall = row[-1] / len(a), row[-1] / len(b)
    return 2 * precision * recall / (precision + recall) if row[-1] else 0.0


def distinct(texts: Sequence[str], order: int) -> float:
    """Different n-grams over all n-grams (Li et al. 2016), numbers counted as one word so that they do not pass for variety."""
    grams: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        tokens = words(re.sub(r"\d+(?:\.\d+)?", "0", text))
        grams.update(zip(*(tokens[n:] for n in range(order)), strict=False))
    return len(grams) / max(sum(grams.values()), 1)


def repeated(texts: Sequence[str]) -> float:
    """Share of sentences that some other text has too, numbers left aside."""
    seen = Counter(
        sentence
        for text in texts
        for sentence in re.split(r"(?<=[.!?]) ", re.sub(r"\d+(?:\.\d+)?", "0", text))
        if sentence
    )
    return sum(count for count in seen.values() if count > 1) / max(sum(seen.values()), 1)


def feabench(outcome: Outcome) -> Report:
    """FEABench-style: expression (accuracy), action units (F1 of the claimed against the measured), reasoning (ROUGE-L)."""
    told = [t for t in outcome.told if t.kept is not None]
    rows = []
    known = np.array([float(t.kept.label == t.case.truth) for t in told if t.kept and t.case.truth is not None])
    rows.append(
        Row(
            "expression",
            "accuracy",
            float(known.mean()) if len(known) else float("nan"),
            *_interval(known),
            str(len(known)),
        )
    )
    claimed, measured = [], []
    for t in told:
        assert t.kept is not None
        told_now = described(extract(t.kept.observations), t.case.evidence).numbers
        claimed.append(told_now)
        measured.append(t.case.evidence.numbers)
    numbers = sorted(set().union(*measured)) if measured else []
    f1 = []
    for number in numbers:
        hit = sum(number in a and number in b for a, b in zip(claimed, measured, strict=True))
        said, there = sum(number in a for a in claimed), sum(number in b for b in measured)
        f1.append(2 * hit / (said + there) if said + there else 0.0)
    rows.append(
        Row(
            "action units",
            "mean F1 over AUs",
            float(np.mean(f1)) if f1 else float("nan"),
            float("nan"),
            float("nan"),
            f"{len(f1)} AUs",
        )
    )
    rouge = np.array([rouge_l(t.kept.interpretation, compose(t.case.evidence).interpretation) for t in told if t.kept])
    rows.append(
        Row(
            "reasoning",
            "ROUGE-L",
            float(rouge.mean()) if len(rouge) else float("nan"),
            *_interval(rouge),
            str(len(rouge)),
        )
    )
    return Report(
        "FEABench-style (docs/chain-of-thought.md): measured evidence as truth of the AUs",
        {"texts": len(told)},
        tuple(rows),
    )
