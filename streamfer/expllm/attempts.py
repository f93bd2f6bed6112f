"""Writing, checking, asking again: how a model's text becomes an explanation that may be believed.

A `Writer` turns asks into drafts and knows nothing of rules. `explain` does the rest, the same for every model:

1. evidence of each job; nothing above the floor: the composer's fixed text, no model is asked,
2. the writer writes all drafts of a round in one call,
3. each is cleaned, parsed (text.py) and held to the evidence (verify.py), which also reads the label again from the
   description alone,
4. only the refused ones are asked again, with the reasons as feedback, at most `attempts` times in all,
5. what is still refused ends as its best draft (readable before unreadable, then fewest faults) with `verified` False
   and that draft's reasons; if none could be read, as `cot` None with the reasons.

A draft with an `error` is not asked again: the writer has tried what it could. One job never takes others with it.
The idea of reflection with a bounded memory is the Exp-CoT Engine's (Lan et al., ExpLLM, IEEE TMM 2025), here without
the truth: only the measured evidence is held against the text.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from streamfer.errors import ParseError
from streamfer.expllm.backends.composer import compose
from streamfer.expllm.evidence import Evidence
from streamfer.expllm.rules import REVISION
from streamfer.expllm.text import parse_cot
from streamfer.expllm.verify import check
from streamfer.records import ChainOfThought, Job, Result

if TYPE_CHECKING:
    import numpy as np

Order = Literal["cot_first", "label_first", "none"]

FEEDBACK_MAX = 6
"""Reasons told to the writer at once: the first ones; a longer list is no better advice and costs tokens."""

_UNPRINTABLE = re.compile(
    # control characters (terminal escapes among them), lone surrogates (no UTF-8 holds them), orders to turn the
    # direction of writing, and what is no character at all
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One text to write. `images` by role: (H, W, 3) uint8 RGB. `feedback`: why the last draft was refused."""

    job: Job
    evidence: Evidence
    images: dict[str, np.ndarray]
    feedback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """What a writer gives for one ask: a text with its tokens, or the `error` for which there is none.

    `faults` are those that the writer itself knows of, besides what verify.py will find."""

    text: str
    tokens: int
    label_probabilities: dict[str, float] | None = None
    error: str | None = None
    faults: tuple[str, ...] = ()


class Writer(Protocol):
    """A model, in process or behind an address."""

    def write(self, asks: list[Ask]) -> list[Draft]:
        """One draft for each ask, in order. Raises ModelError or ExplainError only when it cannot work at all."""
        ...


@dataclass(frozen=True, slots=True)
class _Verdict:
    """A draft after parsing and checking: no reasons, no fault."""

    cot: ChainOfThought | None
    reasons: tuple[str, ...]
    label_probabilities: dict[str, float] | None


@dataclass(slots=True)
class _Case:
    """One job on its way."""

    ask: Ask
    verdicts: list[_Verdict] = field(default_factory=list)
    attempts: int = 0
    tokens: int = 0
    latency_s: float = 0.0
    ended: bool = False

    def take(self, draft: Draft, took_s: float) -> None:
        self.attempts, self.tokens, self.latency_s = self.attempts + 1, self.tokens + draft.tokens, self.latency_s + took_s
        if draft.error is not None:
            self.verdicts.append(_Verdict(None, (draft.error,), None))
            self.ended = True
            return
        verdict = _judge(draft, self.ask.evidence)
        self.verdicts.append(verdict)
        self.ended = not verdict.reasons
        self.ask = Ask(self.ask.job, self.ask.evidence, self.ask.images, verdict.reasons[:FEEDBACK_MAX])

    def best(self) -> _Verdict:
        """Readable first, then fewest faults; the later of two equals, which had more feedback."""
        return min(reversed(self.verdicts), key=lambda verdict: (verdict.cot is None, len(verdict.reasons)))


def explain(
    writer: Writer, jobs: Sequence[Job], images: Sequence[dict[str, np.ndarray]], *,
    floor: float, attempts: int, backend: str, model: str, revision: str, order: Order,
) -> list[Result]:
    """One Result for each job, in order. `tokens` and `latency_s` are sums over the job's attempts.

    `floor` is the AU change below which nothing is evidence. Raises what the writer raises when it cannot work at all.
    """  # fmt: skip
    found: dict[int, Result] = {}
    cases: dict[int, _Case] = {}
    for index, (job, pictures) in enumerate(zip(jobs, images, strict=True)):
        try:
            evidence = Evidence.of(job.event, floor)
        except ValueError as error:  # an action unit that FACS does not have
            found[index] = Result(job.id, None, False, (str(error),), backend, model, revision, order, 0, 0, 0.0, "")
            continue
        if evidence.visible:
            cases[index] = _Case(Ask(job, evidence, pictures))
        else:
            found[index] = _nothing_visible(job, evidence, backend)
    for _ in range(max(attempts, 1)):
        turn = [case for case in cases.values() if not case.ended]
        if not turn:
            break
        _round(writer, turn)
    for index, case in cases.items():
        best = case.best()
        found[index] = Result(
            id=case.ask.job.id,
            cot=best.cot,
            verified=not best.reasons,
            reasons=best.reasons,
            backend=backend,
            model=model,
            revision=revision,
            order=order,
            attempts=case.attempts,
            tokens=case.tokens,
            latency_s=case.latency_s,
            worker="",
            label_probabilities=best.label_probabilities,
        )
    return [found[index] for index in range(len(jobs))]


def _round(writer: Writer, cases: list[_Case]) -> None:
    """One call of the writer; the time it took is each job's waiting time, since it waits for the whole batch."""
    start = time.perf_counter()
    drafts = writer.write([case.ask for case in cases])
    took_s = time.perf_counter() - start
    for case, draft in zip(cases, drafts, strict=True):
        case.take(draft, took_s)


def _judge(draft: Draft, evidence: Evidence) -> _Verdict:
    try:
        cot = parse_cot(_UNPRINTABLE.sub("", draft.text))
    except ParseError as error:
        return _Verdict(None, error.reasons, draft.label_probabilities)
    return _Verdict(cot, tuple(dict.fromkeys((*check(cot, evidence), *draft.faults))), draft.label_probabilities)


def _nothing_visible(job: Job, evidence: Evidence, backend: str) -> Result:
    """No action above the floor: nothing that a model could say would be evidence, so none is asked."""
    start = time.perf_counter()
    cot = compose(evidence)
    reasons = tuple(check(cot, evidence))
    took_s = time.perf_counter() - start
    return Result(job.id, cot, not reasons, reasons, backend, "rules", REVISION, "none", 0, 0, took_s, "")
