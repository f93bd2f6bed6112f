"""The Exp-CoT Engine: from measured evidence and a known label to a chain of thought that is worth learning from.

    evidence -> description -> label from the description alone -> the truth? -> else reflect and write again -> sample

After Lan et al., "ExpLLM: Towards Chain of Thought for Facial Expression Recognition" (IEEE TMM 2025), figure 2: AUs are
described (AU2Des), a reader who has seen only the description names the label (Des2Exp), and a mismatch goes back as
feedback, with the memory of what was tried. Different here: the description is also held to the evidence (verify.py) on
every turn, a sample whose evidence does not bear its label is *dropped and counted* instead of being argued for, and the
writer is a choice: the composer (deterministic, no model) or any model behind the OpenAI protocol. Their prompts,
temperatures and number of retries are not published; `ATTEMPTS` is ours.

Nothing is mirrored: a mirrored picture needs its sides swapped in the evidence and then a text of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from streamfer.expllm.backends.composer import compose
from streamfer.expllm.evidence import Evidence
from streamfer.expllm.rules import Verdict, judge
from streamfer.expllm.verify import NEAR, check
from streamfer.records import SCHEMA, ChainOfThought, Label

ATTEMPTS = 3

Family = Literal["reasoning", "action_units", "expression"]
FAMILIES: tuple[Family, ...] = ("reasoning", "action_units", "expression")
"""FEALLM's three kinds of instruction (Hu et al., 2025; the split of the text is ours): from AUs to the expression, the
AUs alone, the expression alone."""

QUESTIONS: dict[Family, str] = {
    "reasoning": "Explain the facial action step by step, from what was measured to what it means, then give the label.",
    "action_units": "Which action units does the face show, on which side and how strongly?",
    "expression": "What does the face express, and how sure is that? Then give the label.",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One accepted text, as a line of cot.jsonl. `pictures` name what belongs to it; `row` where its features are."""

    id: str
    pictures: tuple[str, ...]
    evidence: Evidence
    label: Label
    cot: ChainOfThought
    attempts: int
    reflections: tuple[str, ...]  # why earlier descriptions were refused
    writer: str
    row: int = -1
    schema: int = SCHEMA

    def text(self, family: Family) -> str:
        """What the sample answers to a question of that family, without the label turn."""
        cot = self.cot
        return {
            "reasoning": f"{cot.observations}\n\n{cot.interpretation}\n\n{cot.conclusion}",
            "action_units": cot.observations,
            "expression": f"{cot.interpretation} {cot.conclusion}",
        }[family]


@dataclass(frozen=True, slots=True)
class Case:
    """What goes in: evidence of one face, and its label where there is a truth."""

    id: str
    evidence: Evidence
    truth: Label | None
    pictures: tuple[str, ...] = ()
    row: int = -1


@dataclass(slots=True)
class Counts:
    """What became of the cases."""

    taken: int = 0
    no_action: int = 0  # nothing above the floor: there is nothing to describe
    refused: dict[str, int] = field(default_factory=dict)  # last reason: cases
    attempts: int = 0


class CoTWriter(Protocol):
    """Writes a description of the evidence; `memory` has the reasons why earlier ones were refused."""

    name: str

    def write(self, case: Case, memory: tuple[str, ...]) -> ChainOfThought | None: ...


class ComposerWriter:
    """The composer; after a refusal it argues for the truth, if the evidence bears that, in other words."""

    name = "composer"

    def write(self, case: Case, memory: tuple[str, ...]) -> ChainOfThought | None:
        evidence = case.evidence
        verdict = judge(evidence)
        if memory:
            evidence = replace(evidence, event_id=f"{evidence.event_id}/{len(memory)}")  # the seed of the wording
            verdict = towards(verdict, case.truth, evidence)
        return compose(evidence, verdict)


def towards(verdict: Verdict, label: Label | None, evidence: Evidence) -> Verdict:
    """The verdict with `label` first where its score is near the best one's, else as it is."""
    if label is None or label == verdict.label or verdict.scores[label] < NEAR * verdict.scores[verdict.label]:
        return verdict
    from streamfer.expllm.rules import CARRIES_NOTHING, speaking_for

    supporting = tuple(au.number for au in speaking_for(evidence, label))
    opposing = tuple(
        au.number for au in evidence.aus if au.number in {*verdict.supporting, *verdict.opposing} - {*supporting}
        and au.number not in CARRIES_NOTHING
    )  # fmt: skip
    rivals = (verdict.label, *(rival for rival in verdict.rivals if rival != label))[:3]
    return replace(verdict, label=label, confidence="low", rivals=rivals, supporting=supporting, opposing=opposing)


def build(cases: Iterable[Case], writer: CoTWriter, counts: Counts, attempts: int = ATTEMPTS) -> Iterator[Sample]:
    """The accepted samples; `counts` is filled as it goes."""
    for case in cases:
        if not case.evidence.visible:
            counts.no_action += 1
            continue
        memory: list[str] = []
        for attempt in range(1, attempts + 1):
            counts.attempts += 1
            cot = writer.write(case, tuple(memory))
            fault = "nothing could be written" if cot is None else fault_of(cot, case)
            if cot is not None and fault is None:
                counts.taken += 1
                yield Sample(
                    case.id, case.pictures, case.evidence, cot.label, cot, attempt, tuple(memory), writer.name, case.row
                )
                break
            memory.append(str(fault))
        else:
            reason = memory[-1].partition(":")[0]
            counts.refused[reason] = counts.refused.get(reason, 0) + 1


def fault_of(cot: ChainOfThought, case: Case) -> str | None:
    """Why a description is refused, or None: claims that were not measured, another label than the truth."""
    faults = check(cot, case.evidence)
    if faults:
        return f"unsupported: {faults[0]}"
    if case.truth is not None and cot.label != case.truth:
        return f"label: the description says {cot.label}, the truth is {case.truth}"
    return None
