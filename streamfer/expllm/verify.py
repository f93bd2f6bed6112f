"""Holding a chain of thought to the measured evidence, whoever wrote it.

`check(cot, evidence)` returns one sentence for each claim that the evidence does not support, and is empty when
all is well. It checks: action units by code or in plain words (claims.py) against those above the floor; sides;
strength words, FACS letters and changes; movements of regions; times; claims about lying, hiding or true feelings,
which no measurement supports; probabilities of the expression model; whether the label rests on a part of the face that
nothing speaks for (looked.py); and whether the label follows from the description: the rules of rules.py, given only the
action units that the text claims, must put the label first or near it, and the conclusion must name it.

A text passes when everything it says about the face was measured. It may leave things out; it is not graded on style.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

from streamfer.expllm.claims import Claim, MotionClaim, extract, extract_motion
from streamfer.expllm.evidence import AUEvidence, Evidence, split_region
from streamfer.expllm.looked import unlooked
from streamfer.expllm.rules import Verdict, judge, speaking_for, speaks_for
from streamfer.expllm.text import SENTENCE_END, labels_in
from streamfer.records import LABELS, ChainOfThought, Label

NEAR = 0.6
"""A label also agrees when its score reaches this part of the best one's: the rules are not that exact."""

_TIME = re.compile(r"(?<![\w.])(\d+(?:\.(\d+))?) ?(s|ms|seconds?|milliseconds?)\b")
_READ = re.compile(rf"\b({'|'.join(LABELS)}) (0\.\d+|1\.0+)(?![\d%])")
_WHOLE = re.compile(r"\b(?:expression model|whole face|as a whole)\b", re.IGNORECASE)
_CONDITIONS = {
    "talking": re.compile(r"\b(?:person|speaker) (?:was|is) (?:talking|speaking)\b", re.IGNORECASE),
    "blink": re.compile(r"\bblink fell into\b", re.IGNORECASE),
    "head_motion": re.compile(r"\b(?:the head (?:moved|turned)|head movement during)\b", re.IGNORECASE),
    "low_fps": re.compile(r"\b(?:frame rate (?:was|is) low|low frame rate)\b", re.IGNORECASE),
    "edge_of_gap": re.compile(r"\bborders on a gap\b", re.IGNORECASE),
    "edge_of_track": re.compile(r"\bface came or went just then\b", re.IGNORECASE),
    "cut_short": re.compile(r"\bwent on beyond what is followed\b", re.IGNORECASE),
}
"""Flag of an event -> the words for it. Others may be said in other words; these are the composer's and what is near them."""

_CODE = re.compile(r"\bAU(\d+)")
_LIST = re.compile(r"\bAU\d+(?: \([^)]*\))?(?:(?:,|;|,? and) AU\d+(?: \([^)]*\))?)+")
_MEASURED = re.compile(r"\bAU(\d+)(?:, | \()[A-E-], \+")
_ALONE = re.compile(
    r"\b(?:stands alone|nothing beside it|as the only action|a single action has to carry|one action without others"
    r"|the one change above the floor|the only action was)\b",
    re.IGNORECASE,
)
_EQUAL = re.compile(r"\bAU(\d+) and AU(\d+) were about (?:equally strong|as strong)")
_STRONGER = re.compile(
    r"\bAU(\d+)(?: dominates, ahead of|;| carries most of the weight,) AU(\d+)(?: by (\d+\.\d)|(?= is secondary)|(?= less))"
)
_WEAKER = re.compile(r"\bAU(\d+)\b[^.;]*; (?:it is|they are) weaker than AU(\d+)")
_EXCEEDS = re.compile(r"\bAU(\d+) even exceeds AU(\d+)")
_AS_STRONG = re.compile(r"\bAU(\d+) is as strong as AU(\d+)")
_OVERCLAIM = re.compile(
    r"\b(?:lying|lies|lied|liar|deceiv\w*|decept\w*|deceit\w*|conceal\w*|hidden|hides?|hiding|suppress\w*|genuine\w*"
    r"|sincer\w*|insincer\w*|fak(?:e|ed|ing)|true (?:feeling|emotion)s?|real (?:feeling|emotion)s?|masking|masked)\b"
)
_DENIED = re.compile(r"\b(?:no|not|nor|never|without|neither|cannot|nothing|\w+n't)\b")


def check(cot: ChainOfThought, evidence: Evidence) -> list[str]:
    """The claims of a text that the evidence does not support, one sentence each."""
    text = f"{cot.observations}\n{cot.interpretation}\n{cot.conclusion}"
    claims = extract(text)
    faults = _slips(text, claims, evidence)
    faults += _contradictions(cot, evidence)
    faults += unlooked(cot, evidence)
    faults += _label(cot, claims, evidence)
    return list(dict.fromkeys(faults))


def slips(text: str, evidence: Evidence) -> list[str]:
    """The faults that need no label to be seen: `text` may be the beginning of one, up to the end of a sentence."""
    return list(dict.fromkeys(_slips(text, extract(text), evidence)))


def _slips(text: str, claims: list[Claim], evidence: Evidence) -> list[str]:
    faults = [fault for claim in claims if (fault := _unsupported(claim, evidence))]
    faults += [fault for motion in extract_motion(text) if (fault := _motion(motion, evidence))]
    faults += _times(text, evidence)
    faults += _whole_face(text, evidence)
    faults += _ranking(text, evidence)
    faults += _twice(text)
    if len(evidence.aus) > 1:
        faults += [f"'{said}' is said, but {len(evidence.aus)} actions were measured" for said in _ALONE.findall(text)]
    faults += [f"'{found.group()}' is said, which was not found in this event"
               for flag, said in _CONDITIONS.items() if flag not in evidence.flags and (found := said.search(text))]
    return faults + _overclaims(text)


def _twice(text: str) -> list[str]:
    """What is said again, as if it were something more."""
    faults = []
    for found in _LIST.findall(text):
        numbers = _CODE.findall(found)
        faults += [f"AU{number} is listed twice" for number in dict.fromkeys(numbers) if numbers.count(number) > 1]
    measured = _MEASURED.findall(text)
    faults += [f"AU{number} is told twice" for number in dict.fromkeys(measured) if measured.count(number) > 1]
    sentences = SENTENCE_END.split(text.strip())  # only in a row: "such a movement ..." may be said of several
    return faults + [f"'{one}' is said twice" for one, before in zip(sentences[1:], sentences, strict=False) if one == before]


def supported_share(cot: ChainOfThought, evidence: Evidence) -> float | None:
    """Share of the claims about action units that the evidence supports; None when the text makes none."""
    claims = extract(f"{cot.observations}\n{cot.interpretation}\n{cot.conclusion}")
    if not claims:
        return None
    return sum(_unsupported(claim, evidence) is None for claim in claims) / len(claims)


def _unsupported(claim: Claim, evidence: Evidence) -> str | None:
    """Why the evidence does not support a claim, or None."""
    codes = " or ".join(f"AU{n}" for n in claim.numbers)
    what = f"'{claim.words}'" if claim.words.startswith("AU") else f"'{claim.words}' ({codes})"
    active = [au for au in evidence.aus if au.number in claim.numbers]
    if not claim.present:
        clear = len(claim.numbers) == 1 and active
        return f"{what} is said to be absent but rose by {active[0].delta:.1f}" if clear else None
    if not active:
        if "blink" in evidence.flags and {43, 45} & set(claim.numbers):
            return None
        if any(au.number in claim.numbers for au in evidence.eased):
            return None  # that it eased is told in the same words; the composer and the table say which way
        return f"{what} was not measured above the floor"
    faults = [_details(claim, au) for au in active]
    return None if None in faults else f"{what} {faults[0]}"


def _details(claim: Claim, au: AUEvidence) -> str | None:
    if claim.side == "both" and au.unilateral:
        return f"is said of both sides but was measured on the {au.side} only"
    if claim.side in ("left", "right"):
        if au.unilateral and au.side != claim.side:
            return f"is said of the {claim.side} but was measured on the {au.side}"
        if claim.only and not au.unilateral:
            return f"is said of the {claim.side} only but was measured on both sides"
    if claim.letter and claim.letter != au.letter:
        return f"is given as FACS {claim.letter} but was measured as {au.letter}"
    if claim.delta is not None and abs(claim.delta - au.delta) > 0.06:
        return f"is given as {claim.delta:+.1f} but was measured as {au.delta:+.1f}"
    if claim.strength and not claim.strength[0] <= au.intensity <= claim.strength[1]:
        return f"is given a strength that does not fit its intensity {au.intensity:.1f}"
    return None


def _motion(claim: MotionClaim, evidence: Evidence) -> str | None:
    for motion in evidence.motion:
        region, side = split_region(motion.region)
        if region != claim.region or (claim.side and side and side != claim.side):
            continue
        if abs(max(motion.distance, 0.01) - claim.distance) > 0.0051:
            continue
        right, up = (f(math.radians(motion.direction_deg)) for f in (math.cos, math.sin))
        out = -right if side == "right" else right
        if claim.up * up >= 0 and (side is None or claim.out * out >= 0):
            return None
    return f"'{claim.words}': no such movement of the {claim.region.replace('_', ' ')} was measured"


def _times(text: str, evidence: Evidence) -> list[str]:
    e = evidence
    known = (e.onset_s, e.apex_s, e.offset_s, e.rise_s, e.duration_s, e.apex_s - e.onset_s, e.offset_s - e.onset_s,
             e.offset_s - e.apex_s)  # fmt: skip
    faults = []
    for match in _TIME.finditer(text):
        scale = 0.001 if match[3].startswith("m") else 1.0
        said = float(match[1]) * scale
        slack = 0.5 * scale * 10.0 ** -len(match[2] or "") + 1e-6
        if not any(abs(said - time_s) <= slack for time_s in known):
            faults.append(f"'{match.group()}' is none of the event's times")
    return faults


def _whole_face(text: str, evidence: Evidence) -> list[str]:
    """Probabilities of the expression model that it did not give, or a model quoted that was not run."""
    if evidence.expressed is None:
        return ["an expression model is quoted, but none was run"] if re.search(r"\bexpression model\b", text) else []
    faults = []
    for label, said in _READ.findall(text.lower()):
        known = [row[LABELS.index(label)] for row in (evidence.expressed.onset, evidence.expressed.apex)]
        if not any(abs(float(said) - value) <= 0.0051 for value in known):
            faults.append(f"'{label} {said}' is not what the expression model gave")
    return faults


_OTHERWISE = re.compile(r"sees the whole face otherwise|against this stands the whole face|actions measured say otherwise", re.I)
_ALIKE = re.compile(r"whole face, agrees|fits that:|points the same way \(|reads the whole face likewise", re.I)
_ACTIONS_FOR = re.compile(
    r"actions resemble an expression|configuration points to|actions support|what moved is in keeping|measured actions make", re.I
)
_FACE_ALONE = re.compile(r"rests on the whole face alone|from the whole face only|no single action shows it", re.I)
_SOME = r"((?:AU\d+(?:, and |, | and )?)+)"
_OUT_OF_PLACE = re.compile(rf"{_SOME} (?:is|are) out of place in ([a-z]+)")
_STANDS_AGAINST = re.compile(rf"\bagainst ([a-z]+) stands? {_SOME}", re.IGNORECASE)
_UNEXPLAINED = re.compile(rf"\b([a-z]+) leaves {_SOME} unexplained", re.IGNORECASE)
_OTHER_WAY = re.compile(rf"{_SOME} pulls? the other way")
_ELSEWHERE = re.compile(r"(?:towards|suited to|nearer to) ([^.;]+)")


def _contradictions(cot: ChainOfThought, evidence: Evidence) -> list[str]:
    """What an interpretation says for or against its own label, where that can be checked."""
    text, faults = cot.interpretation, []
    read = evidence.expressed.best[0] if evidence.expressed is not None else None
    if _FACE_ALONE.search(cot.conclusion) and read != cot.label:
        faults.append(f"{cot.label} is said to rest on the whole face, which was {f'read as {read}' if read else 'not read'}")
    if read is not None:
        if _OTHERWISE.search(text) and read == cot.label:
            faults.append(f"the whole face is said to speak against {cot.label} but was read as {read}")
        if _ALIKE.search(text) and read != cot.label:
            faults.append(f"the whole face is said to agree with {cot.label} but was read as {read}")
    if cot.label != "neutral":
        behind = speaking_for(evidence, cot.label)
        if not behind and (_ALIKE.search(text) or _ACTIONS_FOR.search(cot.conclusion)):
            faults.append(f"actions are said to speak for {cot.label} but none is listed for it")
        if behind and _FACE_ALONE.search(cot.conclusion):
            faults.append(f"{cot.label} is said to rest on the whole face alone but {behind[0].code} is listed for it")
    opposed = [*_OUT_OF_PLACE.findall(text), *((codes, cot.label) for codes in _OTHER_WAY.findall(text))]
    opposed += [(codes, label.lower()) for found in (_STANDS_AGAINST, _UNEXPLAINED) for label, codes in found.findall(text)]
    for codes, label in opposed:
        for number in map(int, re.findall(r"\d+", codes)):
            au = evidence.get(number)
            if label == cot.label and au is not None and speaks_for(au, cot.label, evidence.kind):
                faults.append(f"AU{number} is said to be out of place in {label} but is listed for it")
    if any(cot.label in labels_in(other) for other in _ELSEWHERE.findall(text)):
        faults.append(f"{cot.label} is named as the other label that something speaks for")
    return faults


def _ranking(text: str, evidence: Evidence) -> list[str]:
    """Which action is said to be the stronger of two, and by how much; or that they are about equal."""
    faults = []
    said: list[tuple[str, str, str | None, float | None]] = []  # stronger, weaker, by how much; or how equal they must be
    said += [(match[1], match[2], match[3], None) for match in _STRONGER.finditer(text)]
    said += [(match[2], match[1], None, None) for match in _WEAKER.finditer(text)]
    said += [(first, second, None, None) for first, second in _EXCEEDS.findall(text)]
    said += [(first, second, None, 0.6) for first, second in _EQUAL.findall(text)]
    said += [(first, second, None, 0.11) for first, second in _AS_STRONG.findall(text)]
    for first, second, ahead, equal in said:
        one, other = evidence.get(int(first)), evidence.get(int(second))
        if first == second:
            faults.append(f"AU{first} is compared with itself")
        elif one is None or other is None:
            faults.append(f"AU{first if one is None else second} is compared but was not measured above the floor")
        elif equal is not None:
            if abs(one.delta - other.delta) > equal:
                rose = f"rose by {one.delta:.1f} and {other.delta:.1f}"
                faults.append(f"AU{first} and AU{second} are said to be equally strong but {rose}")
        elif one.delta < other.delta - 0.05:
            faults.append(f"AU{first} is said to be stronger than AU{second} but rose by {one.delta:.1f}, not {other.delta:.1f}")
        elif ahead is not None and abs(one.delta - other.delta - float(ahead)) > 0.11:
            faults.append(f"AU{first} is said to be ahead of AU{second} by {ahead}, not {one.delta - other.delta:.1f}")
    return faults


def _overclaims(text: str) -> list[str]:
    faults = []
    for sentence in SENTENCE_END.split(text.lower()):
        for match in _OVERCLAIM.finditer(sentence):
            if not _DENIED.search(sentence[: match.start()]):
                faults.append(f"'{match.group()}': nothing measured can show that")
    return faults


def _label(cot: ChainOfThought, claims: list[Claim], evidence: Evidence) -> list[str]:
    """Does the label follow from the description alone?"""
    named = labels_in(cot.conclusion)
    if named and cot.label not in named:
        return [f"the conclusion names {' and '.join(named)}, the label is {cot.label}"]
    verdict = _verdict(cot, claims, evidence)
    if verdict.scores[cot.label] < NEAR * verdict.scores[verdict.label]:
        return [f"the actions described speak for {verdict.label}, the label is {cot.label}"]
    return []


def label_from_description(cot: ChainOfThought, evidence: Evidence) -> Label:
    """The label that a reader of the text alone would give, without looking at `cot.label`.

    The rules' best label for the action units that the text claims; of labels that fit nearly as well (`NEAR`), the one
    that the conclusion names, or the interpretation when the conclusion names none.
    """
    claims = extract(f"{cot.observations}\n{cot.interpretation}\n{cot.conclusion}")
    verdict = _verdict(cot, claims, evidence)
    near = [name for name in LABELS if verdict.scores[name] >= NEAR * verdict.scores[verdict.label]]
    for section in (cot.conclusion, cot.interpretation):
        named = [label for label in labels_in(section) if label in near]
        if named:
            return max(named, key=lambda label: verdict.scores[label])
    return verdict.label


def _verdict(cot: ChainOfThought, claims: list[Claim], evidence: Evidence) -> Verdict:
    """The rules applied to what the text claims."""
    told = described(claims, evidence)
    if not _WHOLE.search(f"{cot.observations} {cot.interpretation}"):
        told = replace(told, expressed=None)  # what the text does not mention cannot carry its label
    return judge(told)


def described(claims: list[Claim], evidence: Evidence) -> Evidence:
    """The evidence as the text tells it: the action units it claims, with what was measured of them where it was."""
    told: dict[int, AUEvidence] = {}
    for claim in claims:
        if not claim.present or told.keys() & set(claim.numbers):
            continue
        measured = [au for au in evidence.aus if au.number in claim.numbers]
        if measured:
            told[measured[0].number] = measured[0]
        elif not any(au.number in claim.numbers for au in evidence.eased):
            number, span = claim.numbers[0], claim.strength or (1.0, 2.0)
            size = max(sum(span) / 2, evidence.floor)
            told[number] = AUEvidence(number, f"AU{number}", claim.side or "both", size, size)
    return replace(evidence, aus=tuple(sorted(told.values(), key=lambda au: (-au.delta, au.number))))
