"""The chain of thought written from the evidence table by rules: no model, no picture, no download.

Every sentence is built from a measured fact of the event (an action unit above the floor, a movement of a region, a
time, a flag) or from the verdict of rules.py on these facts, so verify.py must find nothing unsupported: a test holds
that over thousands of random events. Words are chosen by a generator seeded with the event's id: the same event gives
the same text on every machine, different events do not read as one template.

About 90-150 words when several action units moved, fewer when there is little to say: it never pads. Nothing is said
about what a person felt, hid or intended, except that the text does not show it.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Literal

from streamfer.expllm.evidence import Evidence
from streamfer.expllm.interpret import Interpreter
from streamfer.expllm.observe import Observer
from streamfer.expllm.prose import Part, codes
from streamfer.expllm.rules import REVISION, Verdict, judge
from streamfer.expllm.text import word_count
from streamfer.expllm.verify import check
from streamfer.records import ChainOfThought, Job, Result

if TYPE_CHECKING:
    import numpy as np

    from streamfer.config import Explain

WORDS_MAX = 150


class Composer:
    """A Backend (see backends/__init__.py) that cannot fail and needs no warm-up."""

    name = "composer"
    model = "rules"
    revision = REVISION
    order: Literal["cot_first", "label_first", "none"] = "cot_first"

    def __init__(self, config: Explain) -> None:
        self._floor = config.floor

    def explain(self, jobs: list[Job], images: list[dict[str, np.ndarray]]) -> list[Result]:
        """One Result a job, in the same order. Pictures are not looked at. `tokens` counts words."""
        results = []
        for job in jobs:
            start = time.perf_counter()
            cot, scores, reasons = self._one(job)
            results.append(
                Result(
                    id=job.id,
                    cot=cot,
                    verified=cot is not None and not reasons,
                    reasons=reasons,
                    backend=self.name,
                    model=self.model,
                    revision=self.revision,
                    order="cot_first",
                    attempts=1,
                    tokens=word_count(cot) if cot else 0,
                    latency_s=time.perf_counter() - start,
                    worker="",
                    label_probabilities=scores,
                )
            )
        return results

    def _one(self, job: Job) -> tuple[ChainOfThought | None, dict[str, float] | None, tuple[str, ...]]:
        try:
            evidence = Evidence.of(job.event, self._floor)
        except ValueError as error:  # an action unit that has no number
            return None, None, (str(error),)
        verdict = judge(evidence)
        cot = compose(evidence, verdict)
        # its own text is held to the same rule as a model's
        return cot, {str(label): score for label, score in verdict.scores.items()}, tuple(check(cot, evidence))


def compose(evidence: Evidence, verdict: Verdict | None = None) -> ChainOfThought:
    """The chain of thought of one event."""
    verdict = verdict or judge(evidence)
    if not evidence.visible:
        return _no_action(evidence)
    rng = random.Random(evidence.event_id)
    interpreter = Interpreter(evidence, verdict, rng)
    texts = _shorten([Observer(evidence, rng).write(), interpreter.interpretation(), interpreter.conclusion()])
    if "(IED)" not in texts[0]:  # the sentence that spelled it out was left away
        texts[0] = texts[0].replace("% IED", "% of the inner-eye distance", 1)
    return ChainOfThought(texts[0], texts[1], texts[2], verdict.label)


def _no_action(evidence: Evidence) -> ChainOfThought:
    eased = f" {codes(evidence.eased)} eased off." if evidence.eased else ""
    return ChainOfThought(
        f"No visible action: between {evidence.onset_s:.2f} s and {evidence.apex_s:.2f} s no action unit rose by "
        f"{evidence.floor:g} or more on the FACS scale of 0 to 5.{eased}",
        "With no action above the floor there is nothing to interpret.",
        "No expression can be named from this event; the label neutral says only that no visible action was measured.",
        "neutral",
    )


def _shorten(parts: list[list[Part]]) -> list[str]:
    """The sections as text, without the least important parts when they are longer than WORDS_MAX together."""
    while sum(len(text.split()) for part in parts for _, text in part) > WORDS_MAX:
        least = max(rank for part in parts for rank, _ in part)
        if not least:
            break
        parts = [[(rank, text) for rank, text in part if rank != least] for part in parts]
    return [" ".join(text for _, text in part) for part in parts]
