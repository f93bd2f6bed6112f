"""From action units to scores over the eight labels, by published tables and plain arithmetic.

Two kinds of event, two rules:

* **micro**: log-likelihood ratios. Micro-expressions are partial, so prototypes rarely complete; what counts is how
  often an action unit occurs in micro-expressions of each label: `MICRO_SHARE` of action_units/emotions.py, the mean
  of the counts on DFME (2,629 clips) and on CASME II + SAMM (414 clips). Each action unit
  is soft evidence (Pearl's virtual evidence): how surely it was there grows with its change above the floor. Action
  units that are absent count less (`ABSENT`), because an event may show only part of an expression. All labels start
  equal.
* **macro**: coverage of the prototype minus contradiction. `LISTED` holds which share of four tables list an action
  unit for a label: the three `PROTOTYPES` of action_units/emotions.py and the codebook of Belharbi et al. (2024).
  An action unit listed for few labels weighs more than one listed for many. Brow lowering without the inner brow
  raise counts half for sadness and fear, since every table lists it for them together with AU1.

* **the whole face**: where an expression model read it (`Evidence.expressed`), the logarithm of its probabilities at the
  apex is added to the scores of a macro-expression or a still, weighted by `WHOLE_FACE`. In a micro-expression the whole
  face is mostly at rest, and counts nothing.

Neutral means here: *no label is supported*. It wins when nothing is above the floor or when only action units moved
that carry no expression by themselves (blinks, lips parting, speech), unless the whole face was read as another label; such
a verdict has no supporting action unit and low confidence, and the text has to say so (verify.py). Contempt needs one-sided 12 or 14.
While somebody talks, mouth action units are half as sure; while blinking, those of the lids.

The numbers returned are comparable scores that add up to 1, **not** calibrated probabilities. `confidence` is a word:
a micro-expression never gets more than "moderate", and flags cost one step. Deterministic; no randomness, no clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from streamfer.action_units.emotions import MICRO_SHARE, PROTOTYPES
from streamfer.expllm.evidence import AUEvidence, Evidence, EvidenceKind
from streamfer.records import LABELS, Label

REVISION = "rules-2"
"""Grows whenever a table or the arithmetic changes: part of every result."""

Confidence = Literal["low", "moderate", "high"]

UNLISTED = 0.04
"""Share assumed for an action unit that the tables do not list for a label: below the smallest they list (0.10)."""
PROTOTYPE_SHARE = 0.20
"""Share assumed for an action unit that all tables of prototypes list, when the counts say less (rare labels were
counted on few clips: fear on 10, contempt on 12 in CASME II + SAMM)."""
ABSENT = 0.35
"""Weight of an absent action unit in a micro-expression against one that is present."""

CODEBOOK: dict[str, frozenset[int]] = {
    "happiness": frozenset({6, 12, 25}),
    "surprise": frozenset({1, 2, 5, 26, 27}),
    "fear": frozenset({1, 2, 4, 5, 20, 25, 26, 27}),
    "anger": frozenset({4, 5, 7, 10, 17, 23, 24, 25, 26}),
    "disgust": frozenset({9, 10, 16, 17, 25, 26}),
    "sadness": frozenset({1, 4, 6, 15, 17}),
}
"""Belharbi et al. (2024), with AU10 where the published code has AU5 for disgust (they name it "upper lid raiser")."""


def _listed(label: Label) -> dict[int, float]:
    """For each AU the share of the tables about a label that list it."""
    tables = [table[label] for table in (*PROTOTYPES.values(), CODEBOOK) if label in table]
    every: frozenset[int] = frozenset().union(*tables)
    return {au: sum(au in table for table in tables) / len(tables) for au in sorted(every)}


_EMOTIONS: tuple[Label, ...] = tuple(label for label in LABELS if label != "neutral")
LISTED: dict[Label, dict[int, float]] = {label: _listed(label) for label in _EMOTIONS}
"""label: {AU: share of the four tables that list it}."""
COMPANION: dict[tuple[Label, int], int] = {("sadness", 4): 1, ("fear", 4): 1}
"""(label, AU): the AU it always comes with in the tables of prototypes."""
SUFFICIENT = frozenset({9, 12, 14})
"""Action units that EMFACS accepts as the one sign of a label (14 and contempt: on one side only)."""
ONE_SIDED = frozenset({12, 14})
"""Signs of contempt only when on one side of the face."""

CARRIES_NOTHING = frozenset({18, 19, 22, 25, 26, 27, 28, 29, 30, 32, 33, 34, 35, 36, 37, 38, 39, 43, 45, 46})
"""Lips parting, jaw, pucker, funnel, bite, blow, blink: by themselves speech, breath or a blink, not an expression."""

MOUTH = frozenset({10, 12, 13, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 27, 28})
"""Confounded by speech."""
LIDS = frozenset({5, 7, 43, 45, 46})
"""Confounded by a blink."""

WHOLE_FACE: dict[EvidenceKind, float] = {"micro": 0.0, "macro": 2.0, "still": 12.0}
"""Weight of the expression model's log-probabilities beside the action units'. In a still, whose AUs have no baseline of
the person, rules alone name 38 % of 1,694 held-out FER+ labels, the expression model 86 %, both at this weight 85 %
(benchmarks/LOG.md). For macro-expressions there is no such truth at hand: the weight is a judgement, that of equal footing."""
_UNLIKELY = 0.02  # the least probability that the expression model can say anything by

_TEMPERATURE = 0.12  # macro: a lead of 0.12 of a prototype makes a label e times as likely as the next
_NEUTRAL_MACRO = 0.08  # coverage below which no label is supported
_NEUTRAL_RATE = {14: 0.15, 17: 0.08, 24: 0.08}  # one assumption: bilateral dimpling and pressing also serve control


@dataclass(frozen=True, slots=True)
class Verdict:
    """Scores over the labels (sum 1), the best, how sure in a word, who else is in the running, and why."""

    scores: dict[Label, float]
    label: Label
    confidence: Confidence
    rivals: tuple[Label, ...]
    supporting: tuple[int, ...]  # AU numbers that speak for the label
    opposing: tuple[int, ...]  # AU numbers that the label does not explain and another one would
    reasons: tuple[str, ...]


def judge(evidence: Evidence) -> Verdict:
    """The label that the action units of an event support best."""
    if not evidence.visible:
        return _neutral(("no action unit changed by more than the floor",))
    told = [au for au in evidence.aus if any(speaks_for(au, name, evidence.kind) for name in _EMOTIONS)]
    weight = WHOLE_FACE[evidence.kind]
    read = evidence.expressed.apex if evidence.expressed is not None and weight else None
    if read is None and all(au.number in CARRIES_NOTHING for au in told):
        codes = ", ".join(au.code for au in evidence.aus)
        return _neutral((f"{codes}: carries no expression by itself",), sure="low")
    raw = _micro(evidence) if evidence.kind == "micro" else _macro(evidence)
    # a label that none of the action units is listed for is out of the running, however few it lacks
    possible = [name for name in LABELS if name == "neutral" or any(speaks_for(a, name, evidence.kind) for a in told)]
    if read is not None:
        raw = {name: raw[name] + weight * math.log(max(p, _UNLIKELY)) for name, p in zip(LABELS, read, strict=True)}
        possible += [name for name, p in zip(LABELS, read, strict=True) if p >= 0.3 and name not in possible]
    top = max(raw[name] for name in possible)
    weights = {name: math.exp(raw[name] - top) if name in possible else 0.0 for name in LABELS}
    total = sum(weights.values())
    scores = {name: weights[name] / total for name in LABELS}
    label = max(LABELS, key=lambda name: scores[name])  # ties go to the order of LABELS
    rivals = tuple(
        sorted((r for r in LABELS if r != label and scores[r] >= 0.25 * scores[label]), key=lambda r: -scores[r])
    )[:3]
    supporting = tuple(au.number for au in speaking_for(evidence, label))
    opposing = tuple(
        au.number for au in told if au.number not in supporting and au.number not in CARRIES_NOTHING
    )
    confidence = _confidence(evidence, label, scores[label], supporting, opposing)
    reasons = _reasons(evidence, label, rivals, scores)
    return Verdict(scores, label, confidence, rivals, supporting, opposing, reasons)


def presence(au: AUEvidence, evidence: Evidence) -> float:
    """How surely the action unit was there: 0.75 at the floor, towards 1 above it, half-way to a toss-up if masked."""
    sure = 1.0 - 0.25 * math.exp(-2.0 * (au.delta - evidence.floor))
    masked = ("talking" in evidence.flags and au.number in MOUTH) or ("blink" in evidence.flags and au.number in LIDS)
    return 0.5 + (sure - 0.5) / 2 if masked else sure


def speaks_for(au: AUEvidence, label: Label, kind: EvidenceKind) -> bool:
    """Is the action unit listed for the label in that kind of event, with the side it was seen on?"""
    if label == "neutral" or (label == "contempt" and not (au.unilateral and au.number in ONE_SIDED)):
        return False
    return au.number in LISTED[label] or (kind == "micro" and micro_rate(label, au.number) > UNLISTED)


def speaking_for(evidence: Evidence, label: Label) -> list[AUEvidence]:
    """The action units above the floor that are listed for the label, strongest first."""
    return [au for au in evidence.aus if speaks_for(au, label, evidence.kind)]


def micro_rate(label: Label, number: int) -> float:
    """Share of micro-expressions of a label that contain the action unit."""
    if label == "neutral":
        return 0.30 if number in CARRIES_NOTHING else _NEUTRAL_RATE.get(number, UNLISTED)
    counted = [table[label].get(number, UNLISTED) for table in MICRO_SHARE.values()]
    return max(sum(counted) / len(counted), PROTOTYPE_SHARE * LISTED[label].get(number, 0.0), UNLISTED)


_TABLE = frozenset().union(*LISTED.values(), *(shares for table in MICRO_SHARE.values() for shares in table.values()))


def _micro(evidence: Evidence) -> dict[Label, float]:
    """Log-likelihoods."""
    scores = dict.fromkeys(LABELS, 0.0)
    for label in LABELS:
        for number in _TABLE | evidence.numbers:
            au = evidence.get(number)
            rate = micro_rate(label, number)
            if label == "contempt" and number in ONE_SIDED and au is not None and not au.unilateral:
                rate = UNLISTED
            if au is None:
                scores[label] += ABSENT * math.log(1.0 - rate)
            else:
                sure = presence(au, evidence)
                scores[label] += math.log(sure * rate + (1.0 - sure) * (1.0 - rate))
    return scores


def coverage(label: Label, evidence: Evidence) -> float:
    """Share of the label's prototype that was seen, 0-1, action units weighted by how specific they are."""
    if label == "neutral":
        return 0.0
    listed = LISTED[label]
    whole = sum(max(_weight(label, n, evidence, one) for one in (True, False)) * share for n, share in listed.items())
    seen = sum(
        presence(au, evidence) * _weight(label, au.number, evidence, au.unilateral) * listed.get(au.number, 0.0)
        for au in evidence.aus
    )
    return seen / whole


def _specific(label: Label, number: int) -> float:
    """Weight of an action unit for a label: its share of the tables over that of all labels. 1 = only this label."""
    listed = LISTED[label].get(number, 0.0)
    return listed / sum(LISTED[other].get(number, 0.0) for other in _EMOTIONS) if listed else 0.0


def _macro(evidence: Evidence) -> dict[Label, float]:
    """Coverage of the prototype minus contradiction, in units of the temperature."""
    scores: dict[Label, float] = {"neutral": _NEUTRAL_MACRO / _TEMPERATURE}
    for label in _EMOTIONS:
        contradicted = seen = 0.0
        for au in evidence.aus:
            sure = presence(au, evidence)
            strongest = max(_weight(other, au.number, evidence, au.unilateral) for other in _EMOTIONS)
            seen += sure * strongest
            if _weight(label, au.number, evidence, au.unilateral) == 0.0 and au.number not in CARRIES_NOTHING:
                contradicted += sure * strongest
        scores[label] = (coverage(label, evidence) - (contradicted / seen if seen else 0.0)) / _TEMPERATURE
    return scores


def _weight(label: Label, number: int, evidence: Evidence, unilateral: bool) -> float:
    if number in ONE_SIDED and not unilateral:
        return 1.0 if (label, number) == ("happiness", 12) else 0.0
    companion = COMPANION.get((label, number))
    return _specific(label, number) * (0.5 if companion and number in evidence.numbers - {companion}
                                       and companion not in evidence.numbers else 1.0)


def _confidence(
    evidence: Evidence, label: Label, share: float, supporting: tuple[int, ...], opposing: tuple[int, ...]
) -> Confidence:
    steps: tuple[Confidence, ...] = ("low", "moderate", "high")
    telling = [number for number in supporting if number not in CARRIES_NOTHING]
    smile = evidence.get(12)
    half_smile = smile is not None and smile.unilateral  # irony, contempt and a beginning smile look alike
    level = 0
    pro = max((evidence.delta(number) for number in supporting), default=0.0)
    con = max((evidence.delta(number) for number in opposing), default=0.0)
    if con >= pro:
        level = 0  # what speaks against it is at least as strong
    elif share >= 0.5 and len(telling) >= 2:
        level = 1
        strongest = max(au.intensity for au in evidence.aus)
        if evidence.kind == "macro" and coverage(label, evidence) >= 0.6 and strongest >= 1.5 and not opposing:
            level = 2
    elif share >= 0.6 and SUFFICIENT.intersection(telling) - ({12} if half_smile else set()) and not opposing:
        level = 1
    masked = ("talking" in evidence.flags and evidence.numbers & MOUTH) or (
        "blink" in evidence.flags and evidence.numbers & LIDS
    )
    if masked or "head_motion" in evidence.flags or "low_fps" in evidence.flags:
        level -= 1
    return steps[max(level, 0)]


def _reasons(
    evidence: Evidence, label: Label, rivals: tuple[Label, ...], scores: dict[Label, float]
) -> tuple[str, ...]:
    reasons = []
    for au in evidence.aus:
        fits = [name for name in _EMOTIONS if speaks_for(au, name, evidence.kind)]
        side = f" on the {au.side} only" if au.unilateral else ""
        reasons.append(f"{au.code}{side} is listed for {', '.join(fits) if fits else 'no label'}")
    if label == "neutral":
        reasons.append("no label is supported")
    reasons += [f"{rival} scores {scores[rival]:.2f} against {scores[label]:.2f} for {label}" for rival in rivals]
    return tuple(reasons)


def _neutral(reasons: tuple[str, ...], sure: Confidence = "high") -> Verdict:
    scores: dict[Label, float] = dict.fromkeys(LABELS, 0.0)
    scores["neutral"] = 1.0
    return Verdict(scores, "neutral", sure, (), (), (), reasons)
