"""Overall Emotional Interpretation and Conclusion: how the action units read together, what speaks against, how sure.

Everything follows from the verdict of rules.py and from fixed knowledge about configurations (phrases.py). Rivals and
conflicting action units are named, flags become cautions, and the conclusion says what it does not prove.
"""

from __future__ import annotations

import random

from streamfer.expllm.evidence import AUEvidence, Evidence
from streamfer.expllm.phrases import COMBINATIONS
from streamfer.expllm.prose import Part, codes, join, sentence
from streamfer.expllm.rules import LIDS, MOUTH, ONE_SIDED, Verdict, speaks_for
from streamfer.records import LABELS, Label


class Interpreter:
    """Writes the two sections for one event; `random` decides between equivalent wordings."""

    def __init__(self, evidence: Evidence, verdict: Verdict, rng: random.Random) -> None:
        self.evidence = evidence
        self.verdict = verdict
        self.random = rng

    def pick(self, *options: str) -> str:
        return self.random.choice(options)

    def interpretation(self) -> list[Part]:
        parts = [(rank, sentence(text)) for rank, text in self.meetings()] if self.evidence.aus else []
        parts += [(0, sentence(text)) for text in self.whole_face()]
        parts += [(0, sentence(text)) for text in self.conflicts()]
        parts += [(0, sentence(text)) for text in self.cautions()]
        if self.evidence.kind == "micro":
            length = f"{self.evidence.duration_s:.2f} s"
            lead = self.pick(
                f"at {length} this is a micro-expression by its duration",
                f"lasting {length}, it counts as a micro-expression",
                f"with {length} from onset to offset it falls among micro-expressions",
                f"its duration of {length} makes it a micro-expression",
                f"it was over within {length}, the range of micro-expressions",
                f"a length of {length} is that of a micro-expression",
            )
            tail = self.pick(
                ", and such brief events often show only part of a pattern",
                ", where one or two actions may be all that appears",
                "; missing actions mean little at that length",
                "; what is absent should not be read as a sign",
                ", so an incomplete pattern is no surprise",
                ", seldom more than a fragment of a full expression",
            )
            parts.append((0, sentence(lead + (tail if len(self.evidence.aus) < 3 else ""))))
        elif self.evidence.kind == "macro" and self.random.random() < 0.5:
            length = f"{self.evidence.duration_s:.2f} s"
            parts.append((7, self.pick(
                f"At {length} it is a macro-expression, long enough to be seen in full.",
                f"With {length} it has the length of an ordinary expression.",
                f"Its {length} put it among macro-expressions.",
                f"Being a macro-expression ({length}), it can be expected to show most of its parts.",
            )))  # fmt: skip
        return parts

    def meetings(self) -> list[Part]:
        """How the action units read together, strongest configuration first."""
        e = self.evidence
        found: list[Part] = []
        used: set[int] = set()
        for numbers, kind, texts in COMBINATIONS:
            aus = [au for au in e.aus if au.number in numbers]
            if len(aus) < len(numbers) or numbers <= used or (kind == "surprise upper face" and 4 in e.numbers):
                continue
            if any(au.unilateral for au in aus) and numbers & ONE_SIDED:
                continue
            listed = codes(sorted(aus, key=lambda au: au.number))
            found.append((8 if found else 0, self.pick(*texts).format(codes=listed)))
            used |= numbers
            if len(found) == 2:
                break
        one_sided = [au for au in e.aus if au.unilateral and au.number in ONE_SIDED]
        if one_sided:
            first = one_sided[0]
            found.insert(0, (0, self.pick(
                f"{first.code} stayed on the {first.side}; a one-sided lip corner speaks for contempt or irony rather "
                "than for shared pleasure",
                f"That {first.code} was confined to the {first.side} side matters: contempt more than others shows in "
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
                f"{codes(e.aus[:2])} were about equally strong and form no fixed configuration",
                f"no single action dominates: {codes(e.aus[:2])} were about as strong as each other",
            )))  # fmt: skip
        return found

    def whole_face(self) -> list[str]:
        """What the expression model makes of the face as a whole, and whether the label goes with it."""
        e, label = self.evidence, self.verdict.label
        if e.expressed is None:
            return []
        read, sure = e.expressed.best
        told = f"{read} {sure:.2f}"
        if not e.aus:
            return [self.pick(
                f"the expression model, which looks at the whole face, gives {told}",
                f"seen as a whole, the face reads as {told} in the expression model",
            )]  # fmt: skip
        if read == label == "neutral":
            return [self.pick(
                f"the expression model, which looks at the whole face, finds no expression in it ({told})",
                f"seen as a whole, the face carries no expression: {told} in the expression model",
                f"the face as a whole stays {told} in the expression model",
            )]  # fmt: skip
        if read == label and not self.verdict.supporting:
            return [self.pick(
                f"what names an expression here is the face as a whole: {told} in the expression model",
                f"it is the whole face that the label comes from, {told} in the expression model",
                f"only the whole face tells more: the expression model reads it as {told}",
            )]  # fmt: skip
        if read == label:
            return [self.pick(
                f"the expression model, which looks at the whole face, agrees ({told})",
                f"seen as a whole, the face fits that: {told} in the expression model",
                f"the face as a whole points the same way ({told} by the expression model)",
                f"the expression model reads the whole face likewise, as {told}",
            )]  # fmt: skip
        if e.kind == "micro":
            return [self.pick(
                f"the whole face still reads as {told} in the expression model, which such a brief movement seldom changes",
                f"for the expression model the whole face is {told}, which counts little in so short an event",
            )]  # fmt: skip
        return [self.pick(
            f"the expression model sees the whole face otherwise ({told}), which the action units outweigh",
            f"against this stands the whole face, {told} in the expression model",
            f"the face as a whole would be {told} for the expression model; the actions measured say otherwise",
        )]  # fmt: skip

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
            f"{au.code} stands alone, and alone it can belong to {join(labels, 'or')}",
            f"with {au.code} as the only action, {join(labels, 'and')} stay possible",
            f"a single action has to carry the reading: {au.code}, known from {join(labels, 'and')}",
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
                f"{codes(aus)} {'are' if many else 'is'} out of place in {label}; {weighed}",
                f"{label} leaves {codes(aus)} unexplained; {weighed}",
            )]  # fmt: skip
        towards = join(others, "or")
        return [self.pick(
            f"{codes(aus)} {'pull' if many else 'pulls'} the other way, towards {towards}; {weighed}",
            f"against {label} {'stand' if many else 'stands'} {codes(aus)}, better suited to {towards}; {weighed}",
            f"{codes(aus)} {'are' if many else 'is'} out of place in {label} and nearer to {towards}; {weighed}",
        )]  # fmt: skip

    def cautions(self) -> list[str]:
        """The flags of the event in words."""
        e, texts = self.evidence, []
        mouth = [au for au in e.aus if au.number in MOUTH]
        lids = [au for au in e.aus if au.number in LIDS]
        for flag in e.flags:
            if flag == "talking":
                texts.append(
                    f"the person was talking, so {codes(mouth[:3])} may belong to speech and counts less"
                    if len(mouth) == 1
                    else f"the person was talking, so {codes(mouth[:3])} may belong to speech and count less"
                    if mouth
                    else "the person was talking, though the actions found here lie outside the mouth"
                )
            elif flag == "blink":
                texts.append(f"a blink fell into the event, which blurs {codes(lids) if lids else 'the eye region'}")
            elif flag == "head_motion":
                texts.append(self.pick("the head moved, and part of the change may be due to that",
                                       "head movement during the event may have added to the measures"))  # fmt: skip
            elif flag == "low_fps":
                texts.append(self.pick("the frame rate was low, so the times are coarse",
                                       "at this low frame rate onset and duration are approximate"))  # fmt: skip
            elif flag == "edge_of_gap":
                texts.append("the event borders on a gap in the recording and may be cut off")
            elif flag == "edge_of_track":
                texts.append("the face came or went just then, so the event may be incomplete")
            elif flag == "cut_short":
                texts.append("the expression went on beyond what is followed, so its end was not seen")
            else:
                texts.append(f"the screener also noted: {flag.replace('_', ' ')}")
        return texts

    # --------------------------------------------------------------------------------- conclusion

    def conclusion(self) -> list[Part]:
        v = self.verdict
        if not v.supporting and (v.label != "neutral" or not self.evidence.aus):
            return [(0, f"{self.whole_face_alone()}."), (0, sentence(self.limit()))]
        if v.label == "neutral" and v.opposing:
            listed = codes([au for au in self.evidence.aus if au.number in v.opposing][:3])
            return [(0, self.pick(
                f"{listed} are not enough for an expression, so the label stays neutral.",
                f"What {listed} might mean stays undecided; neutral says here that no expression is supported.",
                f"The evidence ({listed}) settles on no expression: neutral, though not at rest.",
            ))]  # fmt: skip
        if v.label == "neutral":
            listed = codes(self.evidence.aus[:3])
            return [(0, self.pick(
                f"The actions seen ({listed}) support no emotion; neutral means just that, not a face at rest.",
                f"No expression can be named from {listed}, hence neutral: something moved, but nothing that tells an "
                "emotion.",
                f"Nothing here singles out an emotion, so the label is neutral although the face moved ({listed}).",
            ))]  # fmt: skip
        sure = f"{v.confidence} confidence"
        rivals = [rival for rival in v.rivals if rival != "neutral"]
        if v.confidence == "low" and rivals:
            near = [rival for rival in rivals if v.scores[rival] >= 0.6 * v.scores[v.label]]
            others = join(near or rivals, "and")
            fits = "fit nearly as well" if len(near) > 1 else "fits nearly as well" if near else "cannot be ruled out"
            first = self.pick(
                f"The best-fitting label is {v.label}, with {sure} only: {others} {fits}",
                f"If one expression has to be named it is {v.label}, at {sure}; {others} {fits}",
                f"{v.label.capitalize()} comes first by a narrow margin ({sure}), while {others} {fits}",
                f"This leans towards {v.label}, but only with {sure}, because {others} {fits}",
                f"No label is secure here; {v.label} comes first ({sure}), while {others} {fits}",
                f"With {sure}, {v.label} is named, and {others} {fits}",
                f"{v.label.capitalize()} is the nearest label, at {sure}: {others} {fits}",
            )
        else:
            left = f"; {join(rivals, 'and')} {'remain' if len(rivals) > 1 else 'remains'} possible" if rivals else ""
            first = self.pick(
                f"On this evidence the expression is best described as {v.label}, with {sure}{left}",
                f"Taken together the actions resemble an expression of {v.label} ({sure}){left}",
                f"The configuration points to {v.label}, with {sure}{left}",
                f"Overall this reads as {v.label}, with {sure}{left}",
                f"All in all {v.label} is the reading that fits ({sure}){left}",
                f"These actions support {v.label}, with {sure}{left}",
                f"What moved is in keeping with {v.label} ({sure}){left}",
                f"The measured actions make {v.label} the likeliest label ({sure}){left}",
            )
        return [(0, f"{first}."), (0, sentence(self.limit()))]

    def whole_face_alone(self) -> str:
        """The conclusion where no action unit speaks for the label, as in a still in which none reaches the floor."""
        label = self.verdict.label
        return self.pick(
            f"The label {label} rests on the whole face alone, with low confidence",
            f"With no action unit to confirm it, {label} is named from the whole face only, with low confidence",
            f"This looks like {label} as a whole (low confidence), though no single action shows it",
        )

    def limit(self) -> str:
        """What the conclusion does not prove, said a little differently each time."""
        if self.evidence.kind == "micro" and self.random.random() < 0.3:
            return self.pick(
                "its brevity is no evidence of concealment or lying",
                "that it was brief does not show that anything was hidden",
                "a short expression is not a sign of lying",
                "brief does not mean hidden",
            )
        subject = self.pick("this", "the label", "the reading", "such a reading")
        verb = self.pick("describes", "names", "sums up", "stays with", "covers")
        matter = self.pick("what the face did", "a movement of the face", "facial action", "what was visible")
        rest = self.pick(
            ", not what the person felt",
            " and leaves open what was felt",
            "; the situation has to tell what it meant",
            ", no inner state",
            "; any feeling behind it is a separate question",
            " without saying why it happened",
        )
        return f"{subject} {verb} {matter}{rest}"
