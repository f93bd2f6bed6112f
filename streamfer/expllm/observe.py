"""Key Observations: what moved, where, how strongly and when, one clause for each action unit above the floor.

Facts come from the evidence table, words from phrases.py; nothing is interpreted beyond the hint that belongs to an
action unit on its own. Movement of the regions is set beside the first two, and wherever it disagrees.
"""

from __future__ import annotations

import random

from streamfer.action_units import facs
from streamfer.expllm.evidence import AUEvidence, Evidence, Support
from streamfer.expllm.phrases import MIDDLE, PHRASES
from streamfer.expllm.prose import Part, codes, join, only_side, sentence
from streamfer.expllm.text import strength

FULL_CLAUSES, NAMED = 3, 2
"""Action units with a clause of their own, and those named in one sentence after them; the rest is listed by code."""


class Observer:
    """Writes the section for one event; `random` decides between equivalent wordings."""

    def __init__(self, evidence: Evidence, rng: random.Random) -> None:
        self.evidence = evidence
        self.random = rng
        self._ied_named = False

    def pick(self, *options: str) -> str:
        return self.random.choice(options)

    def write(self) -> list[Part]:
        aus = self.evidence.aus
        if not aus:
            return [(0, self.pick(
                f"No single action unit stands out by {self.evidence.floor:g} or more against a face at rest.",
                f"Held against a face at rest, no action unit reaches {self.evidence.floor:g}.",
            ))]  # fmt: skip
        still = self.evidence.kind == "still"
        opening = self.pick(
            "This is one picture, held against a face at rest.", "In this still the face is compared with one at rest.",
            "What follows was measured in one picture, against a face at rest.",
        ) if still else sentence(self.timing())
        parts: list[Part] = [(6 if still else 0, opening)]
        if any(au.unilateral or au.stronger for au in aus):
            parts.append((2, self.pick("Left and right are the person's own.", "Sides are given as the person's own.")))
        for place, au in enumerate(aus[:FULL_CLAUSES]):
            clause, hint = self.clause(au, place), self.hint(au)
            if place and len(aus) > 2:
                parts.append((0, sentence(clause)))
                link = self.pick("this is", f"{au.code} is", "such a movement is", "by itself it is")
                parts.append((4 + place, sentence(f"{link} {hint}")))
            elif self.random.random() < 0.6 and len(aus) < 5:
                parts.append((0, sentence(f"{clause}, {hint}")))
            else:
                parts.append((0, sentence(clause)))
                link = self.pick("this is", "on its own that is", f"{au.code} is", "by itself it is")
                parts.append((3, sentence(f"{link} {hint}")))
            support = self.evidence.support(au)
            if support and (place < 2 or not support.agrees):
                parts.append(((1 if place == 0 else 6) if support.agrees else 0, sentence(self.motion(support, au))))
        named = aus[FULL_CLAUSES : FULL_CLAUSES + NAMED]
        if named:
            nouns = join([self.noun(au) for au in named], "and")
            opening = self.pick("weaker was", "last came", "less strong was")
            if len(named) > 1:
                opening = self.pick("weaker, but above the floor, were", "to a lesser degree there were", "then came")
            parts.append((0, sentence(f"{opening} {nouns}")))
        rest = aus[FULL_CLAUSES + NAMED :]
        if rest:
            listed = ", ".join(f"{au.code} ({au.letter}, {au.delta:+.1f}{only_side(au)})" for au in rest)
            parts.append((0, f"{self.pick('Also above the floor', 'Measurable as well', 'In addition')}: {listed}."))
        if self.evidence.eased:
            when = self.pick("meanwhile", "over the same time")
            parts.append((4, f"{codes(self.evidence.eased)} eased off {when}."))
        return parts

    def timing(self) -> str:
        e = self.evidence
        onset, apex, offset = (f"{t:.2f} s" for t in (e.onset_s, e.apex_s, e.offset_s))
        rise, length = f"{e.rise_s:.2f} s", f"{e.duration_s:.2f} s"
        return self.pick(
            f"The action set in at {onset}, reached its apex at {apex} and was over by {offset}",
            f"Onset was at {onset}, apex at {apex} after a rise of {rise}, offset at {offset}",
            f"Between {onset} and {offset} the face moved for {length}, strongest at {apex}",
            f"Starting at {onset}, the action rose for {rise} to its apex at {apex} and ended at {offset}",
            f"At {apex} an action peaked that had begun at {onset} and lasted {length}",
            f"The event runs from {onset} to {offset}, with the apex at {apex}, {rise} into it",
            f"the face began to move at {onset}; the apex came at {apex}, the offset at {offset}",
            f"an action of {length} was found, from {onset} over its apex at {apex} to {offset}",
            f"after onset at {onset} it took {rise} to the apex at {apex}; the end came at {offset}",
            f"what follows happened between {onset} and {offset}, most strongly at {apex}",
        )

    def clause(self, au: AUEvidence, place: int) -> str:
        """What moved, how strongly, on which side, with the numbers in parentheses."""
        phrase = PHRASES.get(au.number)
        numbers = _numbers(au)
        if phrase is None:
            return f"there was {self.noun(au)}"
        if place == 0 and facs.UNITS[au.number].muscles:
            numbers = f"{facs.UNITS[au.number].muscles[0]}; {numbers}"
        if place and self.random.random() < 0.4:
            verb = self.pick("there was {}", "{} joined in", "{} came with it", "added to this was {}")
            return f"{verb.format(self.noun(au, bare=True))} ({numbers})"
        if not place and self.random.random() < 0.4:
            what = ("what stood out was", "the strongest change was", "the leading action was")
            if len(self.evidence.aus) == 1:
                what = ("the one change above the floor was", "what could be measured is", "the only action was")
            return f"{self.pick(*what)} {self.noun(au, bare=True)} ({numbers})"
        adverb, _ = _strength(au)
        only = "only " if au.unilateral and "{side}" in phrase.one else ""
        act = self.pick(*phrase.acts).format(adv=adverb)
        return f"{self.lead(place)}{only}the {_subject(au)} {act}{self.tail(au)} ({numbers})"

    def noun(self, au: AUEvidence, bare: bool = False) -> str:
        """The same as a noun phrase with its article; with the numbers unless `bare`."""
        phrase = PHRASES.get(au.number)
        if phrase is None:
            text = f"a {_strength(au)[1]} {facs.UNITS[au.number].noun}{only_side(au, ' on the {} side only')}"
        else:
            alone = " alone" if au.unilateral and "{side}" in phrase.one else ""
            text = f"a {self.pick(*phrase.nouns).format(adj=_strength(au)[1], of=_subject(au) + alone)}{self.tail(au)}"
        return text if bare else f"{text} ({_numbers(au)})"

    def tail(self, au: AUEvidence) -> str:
        if au.unilateral:
            return ""
        if au.stronger:
            return f", more on the {au.stronger}"
        plain = au.number not in MIDDLE and "both" not in PHRASES[au.number].both
        return " on both sides" if plain and self.random.random() < 0.25 else ""

    def lead(self, place: int) -> str:
        if place:
            return self.pick("", "", "at the same time ", "along with this, ", "in the same movement ")
        return self.pick("", "most clearly, ", "above all, ") if len(self.evidence.aus) > 1 else ""

    def motion(self, support: Support, au: AUEvidence) -> str:
        """Optical flow set beside the action unit. Where the strength was itself read off the flow, it confirms nothing."""
        region = f"{support.side} {support.region}" if support.side else support.region
        region = region.replace("_", " ").replace("lip upper", "upper lip").replace("lip lower", "lower lip")
        for order in ("brow inner", "brow outer", "lid upper", "lid lower"):
            region = region.replace(order, " ".join(reversed(order.split())))
        unit = "IED" if self._ied_named else "of the inner-eye distance (IED)"
        self._ied_named = True
        way = f"{max(support.motion.distance * 100, 1):.0f} % {unit} {_direction(support)}"
        if support.agrees and au.source == "movement":
            return self.pick(
                f"this was measured as flow: the {region} moved {way}",
                f"it is read off the flow, in which the {region} moved {way}",
                f"measured as flow, the {region} moved {way}",
                f"in optical flow the {region} moved {way}",
            )
        if support.agrees:
            return self.pick(
                f"optical flow agrees: the {region} moved {way}",
                f"independent of that, the {region} was tracked moving {way}",
                f"the pixels bear this out, with the {region} moving {way}",
                f"measured as flow, the {region} moved {way}",
                f"in optical flow the {region} moved {way}",
                f"tracking agrees, as the {region} moved {way}",
            )
        return self.pick(
            f"optical flow speaks against it: the {region} moved {way}",
            f"the flow does not confirm this, as the {region} moved {way}",
        )

    def hint(self, au: AUEvidence) -> str:
        """What the action may speak for on its own."""
        phrase = PHRASES.get(au.number)
        if phrase is None:
            return "without a settled meaning"
        return self.pick(*(phrase.hints_one if au.unilateral and phrase.hints_one else phrase.hints))


def _subject(au: AUEvidence) -> str:
    phrase = PHRASES[au.number]
    return phrase.one.format(side=au.side) if au.unilateral else phrase.both


def _strength(au: AUEvidence) -> tuple[str, str]:
    """Adverb and adjective."""
    step = strength(au.intensity)
    return (step.adverb, step.word) if step else ("just measurably", "just measurable")


def _numbers(au: AUEvidence) -> str:
    """'AU12, B, +1.8', what it started from when it was active before, and whether movement says so, not the AU model."""
    before = au.intensity - au.delta
    start = f" from {before:.1f}" if before >= 0.75 else ""
    return f"{au.code}, {au.letter}, {au.delta:+.1f}{start}{' by movement' if au.source == 'movement' else ''}"


def _direction(support: Support) -> str:
    """Words in the person's own frame: up, down, inward, outward; towards the left or right in the middle."""
    words = []
    if abs(support.upward) > 0.38:  # 22.5 degrees: the edge of an octant
        words.append("up" if support.upward > 0 else "down")
    if abs(support.outward) > 0.38:
        if support.side:
            words.append("outward" if support.outward > 0 else "inward")
        else:
            words.append(f"towards the {'left' if support.outward > 0 else 'right'}")
    return " and ".join(words)
