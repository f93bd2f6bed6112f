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
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from streamfer.expllm.evidence import AUEvidence, Evidence, Support
from streamfer.expllm.phrases import COMBINATIONS, MIDDLE, PHRASES
from streamfer.expllm.rules import LIDS, MOUTH, ONE_SIDED, REVISION, Verdict, judge, speaks_for
from streamfer.expllm.text import strength, word_count
from streamfer.expllm.verify import check
from streamfer.records import LABELS, ChainOfThought, Job, Label, Result

if TYPE_CHECKING:
    import numpy as np

    from streamfer.config import Explain

WORDS_MAX = 150
FULL_CLAUSES, NAMED = 3, 2
"""Action units with a clause of their own, and those named in one sentence after them; the rest is listed by code."""


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
            evidence = Evidence.of(job.event, self._floor)
            verdict = judge(evidence)
            cot = compose(evidence, verdict)
            reasons = tuple(check(cot, evidence))  # its own text is held to the same rule as a model's
            results.append(
                Result(
                    id=job.id,
                    cot=cot,
                    verified=not reasons,
                    reasons=reasons,
                    backend=self.name,
                    model=self.model,
                    revision=self.revision,
                    order="cot_first",
                    attempts=1,
                    tokens=word_count(cot),
                    latency_s=time.perf_counter() - start,
                    worker="",
                    label_probabilities={str(label): score for label, score in verdict.scores.items()},
                )
            )
        return results


def compose(evidence: Evidence, verdict: Verdict | None = None) -> ChainOfThought:
    """The chain of thought of one event."""
    verdict = verdict or judge(evidence)
    if not evidence.visible:
        return _no_action(evidence)
    return _Writer(evidence, verdict).write()


def _no_action(evidence: Evidence) -> ChainOfThought:
    eased = f" {_codes(evidence.eased)} eased off." if evidence.eased else ""
    return ChainOfThought(
        f"No visible action: between {evidence.onset_s:.2f} s and {evidence.apex_s:.2f} s no action unit rose by "
        f"{evidence.floor:g} or more on the FACS scale of 0 to 5.{eased}",
        "With no action above the floor there is nothing to interpret.",
        "No expression can be named from this event; the label neutral says only that no visible action was measured.",
        "neutral",
    )


class _Writer:
    """The parts of one text. Optional parts carry a rank: the highest ranks go first when the text is too long."""

    def __init__(self, evidence: Evidence, verdict: Verdict) -> None:
        self.evidence = evidence
        self.verdict = verdict
        self.random = random.Random(evidence.event_id)
        self.ied_named = False

    def pick(self, *options: str) -> str:
        return self.random.choice(options)

    def write(self) -> ChainOfThought:
        observations = self.observations()
        interpretation = self.interpretation()
        conclusion = self.conclusion()
        parts = [observations, interpretation, conclusion]
        while sum(len(text.split()) for part in parts for _, text in part) > WORDS_MAX:
            ranks = [rank for part in parts for rank, _ in part]
            if not max(ranks):
                break
            for part in parts:
                part[:] = [(rank, text) for rank, text in part if rank != max(ranks)]
        texts = [" ".join(text for _, text in part) for part in parts]
        return ChainOfThought(texts[0], texts[1], texts[2], self.verdict.label)

    # ------------------------------------------------------------------------------- observations

    def observations(self) -> list[tuple[int, str]]:
        aus = self.evidence.aus
        parts = [(0, _sentence(self.timing()))]
        if any(au.unilateral or au.stronger for au in aus):
            parts.append((3, self.pick("Left and right are the person's own.", "Sides are given as the person's own.")))
        for place, au in enumerate(aus[:FULL_CLAUSES]):
            clause, hint = self.clause(au, place), self.hint(au)
            if place and len(aus) > 2:
                parts.append((0, _sentence(clause)))
                link = self.pick("this is", f"{au.code} is", "such a movement is")
                parts.append((1 + place, _sentence(f"{link} {hint}")))
            elif self.random.random() < 0.6 and len(aus) < 5:
                parts.append((0, _sentence(f"{clause}, {hint}")))
            else:
                parts.append((0, _sentence(clause)))
                link = self.pick("this is", "on its own that is", f"{au.code} is")
                parts.append((1, _sentence(f"{link} {hint}")))
            support = self.evidence.support(au)
            if support and (place < 2 or not support.agrees):
                parts.append(((4 if place == 0 else 6) if support.agrees else 0, _sentence(self.motion(support))))
        named = aus[FULL_CLAUSES : FULL_CLAUSES + NAMED]
        if named:
            nouns = _join([self.noun(au) for au in named], "and")
            opening = self.pick("weaker was", "last came", "less strong was")
            if len(named) > 1:
                opening = self.pick("weaker, but above the floor, were", "to a lesser degree there were", "then came")
            parts.append((0, _sentence(f"{opening} {nouns}")))
        rest = aus[FULL_CLAUSES + NAMED :]
        if rest:
            listed = ", ".join(f"{au.code} ({au.letter}, {au.delta:+.1f}{_only(au)})" for au in rest)
            parts.append((0, f"{self.pick('Also above the floor', 'Measurable as well', 'In addition')}: {listed}."))
        if self.evidence.eased:
            when = self.pick("meanwhile", "over the same time")
            parts.append((4, f"{_codes(self.evidence.eased)} eased off {when}."))
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
        )

    def clause(self, au: AUEvidence, place: int) -> str:
        """What moved, how strongly, on which side, with the numbers in parentheses."""
        phrase = PHRASES.get(au.number)
        numbers = _numbers(au)
        if phrase is None:
            return f"{au.name} was active{_only(au, ' on the {} side only')} ({numbers})"
        if place == 0:
            numbers = f"{phrase.muscle}; {numbers}"
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
            text = f"{au.name}{_only(au, ' on the {} side only')}"
        else:
            alone = " alone" if au.unilateral and "{side}" in phrase.one else ""
            text = f"a {self.pick(*phrase.nouns).format(adj=_strength(au)[1], of=_subject(au) + alone)}{self.tail(au)}"
        return text if bare else f"{text} ({_numbers(au)})"

    def tail(self, au: AUEvidence) -> str:
        if au.unilateral:
            phrase = PHRASES[au.number]
            return "" if "{side}" in phrase.one else f" on the {au.side} side"
        if au.stronger:
            return f", more on the {au.stronger}"
        plain = au.number not in MIDDLE and "both" not in PHRASES[au.number].both
        return " on both sides" if plain and self.random.random() < 0.25 else ""

    def lead(self, place: int) -> str:
        if place:
            return self.pick("", "", "at the same time ", "along with this, ", "in the same movement ")
        return self.pick("", "most clearly, ", "above all, ") if len(self.evidence.aus) > 1 else ""

    def motion(self, support: Support) -> str:
        """Optical flow set beside the action unit."""
        region = f"{support.side} {support.region}" if support.side else support.region
        region = region.replace("_", " ").replace("lip upper", "upper lip").replace("lip lower", "lower lip")
        for order in ("brow inner", "brow outer", "lid upper", "lid lower"):
            region = region.replace(order, " ".join(reversed(order.split())))
        unit = "IED" if self.ied_named else "of the inner-eye distance (IED)"
        self.ied_named = True
        way = f"{max(support.motion.distance * 100, 1):.0f} % {unit} {_direction(support)}"
        if support.agrees:
            return self.pick(
                f"optical flow agrees: the {region} moved {way}",
                f"independent of that, the {region} was tracked moving {way}",
                f"the pixels bear this out, with the {region} moving {way}",
                f"measured as flow, the {region} moved {way}",
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

    # ----------------------------------------------------------------------------- interpretation

    def interpretation(self) -> list[tuple[int, str]]:
        parts = [(rank, _sentence(text)) for rank, text in self.meetings()]
        parts += [(0, _sentence(text)) for text in self.conflicts()]
        parts += [(0, _sentence(text)) for text in self.cautions()]
        if self.evidence.kind == "micro":
            length = f"{self.evidence.duration_s:.2f} s"
            parts.append((0, self.pick(
                f"At {length} this is a micro-expression by its duration, and may be only part of a pattern.",
                f"Lasting {length}, it counts as a micro-expression; those are often fragments.",
                f"It took {length}: a micro-expression, of which often only a part shows.",
                f"With {length} it falls among micro-expressions, where one or two actions may be all that appears.",
                f"Its duration of {length} makes it a micro-expression, so missing actions mean little.",
            )))  # fmt: skip
        elif self.random.random() < 0.5:
            length = f"{self.evidence.duration_s:.2f} s"
            parts.append((7, self.pick(
                f"At {length} it is a macro-expression, long enough to be seen in full.",
                f"With {length} it has the length of an ordinary expression.",
            )))  # fmt: skip
        return parts

    def meetings(self) -> list[tuple[int, str]]:
        """How the action units read together, strongest configuration first."""
        e = self.evidence
        found: list[tuple[int, str]] = []
        used: set[int] = set()
        for numbers, kind, texts in COMBINATIONS:
            aus = [au for au in e.aus if au.number in numbers]
            if len(aus) < len(numbers) or numbers <= used or (kind == "surprise upper face" and 4 in e.numbers):
                continue
            if any(au.unilateral for au in aus) and numbers & ONE_SIDED:
                continue
            codes = _codes(sorted(aus, key=lambda au: au.number))
            found.append((8 if found else 0, self.pick(*texts).format(codes=codes)))
            used |= numbers
            if len(found) == 2:
                break
        one_sided = [au for au in e.aus if au.unilateral and au.number in ONE_SIDED]
        if one_sided:
            first = one_sided[0]
            found.insert(0, (0, self.pick(
                f"{first.code} stayed on the {first.side}; a one-sided lip corner speaks for contempt or irony rather "
                "than for shared pleasure",
                f"That {first.code} was confined to the {first.side} side matters: contempt is the one expression with "
                "a lopsided mouth",
            )))  # fmt: skip
        main = e.aus[0]
        if len(e.aus) == 1 and not one_sided:
            found.append((0, self.alone(main)))
        elif len(e.aus) > 1 and e.aus[0].delta - e.aus[1].delta >= 0.5:
            second = e.aus[1]
            found.append((5 if found else 0, self.pick(
                f"{main.code} dominates, ahead of {second.code} by {main.delta - second.delta:.1f}",
                f"the leading cue is {main.code}; {second.code} is secondary",
                f"{main.code} carries most of the weight, {second.code} less",
            )))  # fmt: skip
        elif not found:
            found.append((0, self.pick(
                f"{_codes(e.aus[:2])} were about equally strong and form no fixed configuration",
                f"no single action dominates: {_codes(e.aus[:2])} were about as strong as each other",
            )))  # fmt: skip
        return found

    def alone(self, au: AUEvidence) -> str:
        """One action unit and nothing else: what it leaves open."""
        labels = self.labels_of(au)
        if not labels or self.verdict.label == "neutral":
            return self.pick(
                f"{au.code} stands alone and by itself belongs to no emotion",
                f"one action without others, {au.code} is no ground for an emotion",
            )
        if len(labels) == 1:
            return self.pick(
                f"{au.code} stands alone, so the reading rests on one action",
                f"the whole reading hangs on {au.code}, with nothing beside it to confirm",
            )
        return self.pick(
            f"{au.code} stands alone, and alone it can belong to {_join(labels, 'or')}",
            f"with {au.code} as the only action, {_join(labels, 'and')} stay possible",
            f"a single action has to carry the reading: {au.code}, known from {_join(labels, 'and')}",
        )

    def labels_of(self, au: AUEvidence) -> list[Label]:
        """Labels that the action unit is listed for, likeliest first."""
        labels = [label for label in LABELS if speaks_for(au, label, self.evidence.kind)]
        return sorted(labels, key=lambda label: -self.verdict.scores[label])

    def conflicts(self) -> list[str]:
        """Action units that the label does not explain, weighed openly."""
        label = self.verdict.label
        aus = [au for au in self.evidence.aus if au.number in self.verdict.opposing][:3]
        supporting = [au for au in self.evidence.aus if au.number in self.verdict.supporting]
        if not aus or label == "neutral" or not supporting:
            return []
        strongest = supporting[0]
        many = len(aus) > 1
        gap = round(strongest.delta, 1) - round(aus[0].delta, 1)
        if gap > 0:
            weighed = f"{'they are' if many else 'it is'} weaker than {strongest.code}"
        elif gap < 0:
            weighed = f"{aus[0].code} even exceeds {strongest.code}, which keeps the reading open"
        else:
            weighed = f"{aus[0].code} is as strong as {strongest.code}, which keeps the reading open"
        others = [x for x in self.labels_of(aus[0]) if x != label and all(x in self.labels_of(au) for au in aus)][:3]
        if not others:
            return [self.pick(
                f"{_codes(aus)} {'are' if many else 'is'} out of place in {label}; {weighed}",
                f"{label} leaves {_codes(aus)} unexplained; {weighed}",
            )]  # fmt: skip
        towards = _join(others, "or")
        return [self.pick(
            f"{_codes(aus)} {'pull' if many else 'pulls'} the other way, towards {towards}; {weighed}",
            f"against {label} {'stand' if many else 'stands'} {_codes(aus)}, better suited to {towards}; {weighed}",
            f"{_codes(aus)} {'are' if many else 'is'} out of place in {label} and nearer to {towards}; {weighed}",
        )]  # fmt: skip

    def cautions(self) -> list[str]:
        """The flags of the event in words."""
        e, texts = self.evidence, []
        mouth = [au for au in e.aus if au.number in MOUTH]
        lids = [au for au in e.aus if au.number in LIDS]
        for flag in e.flags:
            if flag == "talking":
                texts.append(
                    f"the person was talking, so {_codes(mouth[:3])} may belong to speech and counts less"
                    if len(mouth) == 1
                    else f"the person was talking, so {_codes(mouth[:3])} may belong to speech and count less"
                    if mouth
                    else "the person was talking, though the actions found here lie outside the mouth"
                )
            elif flag == "blink":
                texts.append(f"a blink fell into the event, which blurs {_codes(lids) if lids else 'the eye region'}")
            elif flag == "head_motion":
                texts.append(self.pick("the head moved, and part of the change may be due to that",
                                       "head movement during the event may have added to the measures"))  # fmt: skip
            elif flag == "low_fps":
                texts.append(self.pick("the frame rate was low, so the times are coarse",
                                       "at this low frame rate onset and duration are approximate"))  # fmt: skip
            elif flag == "edge_of_gap":
                texts.append("the event borders on a gap in the recording and may be cut off")
            else:
                texts.append(f"the screener also noted: {flag.replace('_', ' ')}")
        return texts

    # --------------------------------------------------------------------------------- conclusion

    def conclusion(self) -> list[tuple[int, str]]:
        v = self.verdict
        if v.label == "neutral" and v.opposing:
            codes = _codes([au for au in self.evidence.aus if au.number in v.opposing][:3])
            return [(0, self.pick(
                f"{codes} are not enough for an expression, so the label stays neutral.",
                f"What {codes} might mean stays undecided; neutral says here that no expression is supported.",
                f"The evidence ({codes}) settles on no expression: neutral, though not at rest.",
            ))]  # fmt: skip
        if v.label == "neutral":
            codes = _codes(self.evidence.aus[:3])
            return [(0, self.pick(
                f"The actions seen ({codes}) support no emotion; neutral means just that, not a face at rest.",
                f"No expression can be named from {codes}, hence neutral: something moved, but nothing that tells an "
                "emotion.",
                f"Nothing here singles out an emotion, so the label is neutral although the face moved ({codes}).",
            ))]  # fmt: skip
        sure = f"{v.confidence} confidence"
        rivals = [rival for rival in v.rivals if rival != "neutral"]
        if v.confidence == "low" and rivals:
            near = [rival for rival in rivals if v.scores[rival] >= 0.6 * v.scores[v.label]]
            others = _join(near or rivals, "and")
            fits = "fit nearly as well" if len(near) > 1 else "fits nearly as well" if near else "cannot be ruled out"
            first = self.pick(
                f"The best-fitting label is {v.label}, with {sure} only: {others} {fits}",
                f"If one expression has to be named it is {v.label}, at {sure}; {others} {fits}",
                f"{v.label.capitalize()} comes first by a narrow margin ({sure}), while {others} {fits}",
                f"This leans towards {v.label}, but only with {sure}, because {others} {fits}",
            )
        else:
            left = f"; {_join(rivals, 'and')} {'remain' if len(rivals) > 1 else 'remains'} possible" if rivals else ""
            first = self.pick(
                f"On this evidence the expression is best described as {v.label}, with {sure}{left}",
                f"Taken together the actions resemble an expression of {v.label} ({sure}){left}",
                f"The configuration points to {v.label}, with {sure}{left}",
                f"Overall this reads as {v.label}, with {sure}{left}",
            )
        limits = [
            "It describes what the face did, not what the person felt.",
            "What was felt, and why, does not follow from this.",
            "A movement is not a feeling: the situation has to decide what it meant.",
            "It does not establish an inner state or a reason for it.",
            "Whether a feeling went with it has to come from context.",
            "This names a facial pattern, no more.",
        ]
        if self.evidence.kind == "micro":
            limits += [
                "Its brevity is no evidence of concealment or lying.",
                "That it was brief does not show that anything was hidden.",
            ]
        return [(0, f"{first}."), (0, self.pick(*limits))]


def _delta(au: AUEvidence | None) -> float:
    return au.delta if au else 0.0


def _subject(au: AUEvidence) -> str:
    phrase = PHRASES[au.number]
    return phrase.one.format(side=au.side) if au.unilateral else phrase.both


def _strength(au: AUEvidence) -> tuple[str, str]:
    """Adverb and adjective."""
    step = strength(au.intensity)
    return (step.adverb, step.word) if step else ("just measurably", "just measurable")


def _numbers(au: AUEvidence) -> str:
    """'AU12, B, +1.8', and what it started from when it was active before."""
    before = au.intensity - au.delta
    return f"{au.code}, {au.letter}, {au.delta:+.1f}{f' from {before:.1f}' if before >= 0.75 else ''}"


def _codes(aus: Sequence[AUEvidence]) -> str:
    return _join([au.code for au in aus], "and")


def _join(words: Sequence[str], last: str) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _only(au: AUEvidence, form: str = ", {} only") -> str:
    return form.format(au.side) if au.unilateral else ""


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


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


