"""Numbers leave the text before a small model learns it, and come back from the evidence when it has written.

    delexicalise("... the lip corners rose slightly (zygomaticus major; AU12, B, +1.8)", evidence)
    -> "... the lip corners rose slightly (zygomaticus major; <n12>)"
    fill(..., evidence) -> the first text again

A decoder of ten million parameters would spend most of what it has on copying digits. It writes *slots* instead: which
action unit's numbers, which time, whose movement. What stands in a slot is read from the evidence table, so a number
in a finished text was measured by construction; words (side, strength, direction, label) are the model's own and stay
subject to verify.py. A slot for something that was not measured stays in the text as `[no ...]`, which is a fault there.

Delexicalisation is old in generation from data (e.g. Wen et al., "Semantically Conditioned LSTM-based Natural Language
Generation", EMNLP 2015); the choice of slots is ours.
"""

from __future__ import annotations

import re

from streamfer.expllm.evidence import AUEvidence, Evidence
from streamfer.expllm.phrases import PHRASES

TIMES = ("apex", "onset", "offset", "duration", "rise")
REGIONS = ("brow_inner", "brow_outer", "lid_upper", "lid_lower", "cheek", "nose_wing", "mouth_corner", "lip_upper",
           "lip_lower", "chin")  # fmt: skip
NUMBERS = tuple(sorted({*PHRASES, 13, 19, 21, 22, 25, 26, 27, 28, 43, 45}))

_TIME = {name: f"<{name}>" for name in TIMES}
FACE, GAP, FLOOR = "<face>", "<gap>", "<floor>"
SLOTS: tuple[str, ...] = (
    *_TIME.values(), FACE, GAP, FLOOR, *(f"<n{n}>" for n in NUMBERS), *(f"<l{n}>" for n in NUMBERS),
    *(f"<m:{region}{side}>" for region in REGIONS for side in ("", "_L", "_R")),
)  # fmt: skip
_SLOT = re.compile(r"<(?:[a-z]+|[nl]\d+|m:[a-z_]+(?:_[LR])?)>")
_PERCENT = re.compile(
    r"(?P<head>\b(?:(?P<side>left|right) )?(?P<region>(?:inner|outer) brow|(?:upper|lower) li[dp]|nose wing|cheek|mouth corner|chin) "
    r"(?:was tracked )?mov(?:ed|ing) )(?P<percent>\d+)(?= %)"
)
_ORDER = {"inner brow": "brow_inner", "outer brow": "brow_outer", "upper lid": "lid_upper", "lower lid": "lid_lower",
          "upper lip": "lip_upper", "lower lip": "lip_lower", "nose wing": "nose_wing", "mouth corner": "mouth_corner"}  # fmt: skip


def delexicalise(text: str, evidence: Evidence) -> str:
    """The text with slots for all numbers that the evidence has. What it has not stays as it is."""
    for au in evidence.aus:
        text = text.replace(_full(au), f"<n{au.number}>").replace(
            f"{au.code} ({_short(au)}", f"{au.code} (<l{au.number}>"
        )
    text = _PERCENT.sub(lambda match: match["head"] + _percent_slot(match, evidence), text)
    if (face := _face(evidence)) is not None:
        text = text.replace(face, FACE)
    for name, value in _times(evidence).items():
        text = re.sub(rf"(?<![\d.]){re.escape(value)}", _TIME[name], text)
    if (gap := _gap(evidence)) is not None:
        text = re.sub(rf"(?<=\bby ){re.escape(gap)}(?![\d.]*\d)(?! or more)", GAP, text)
    return re.sub(rf"\b(by|reaches) {re.escape(f'{evidence.floor:g}')}(?=\.| or more)", rf"\1 {FLOOR}", text)


def fill(text: str, evidence: Evidence) -> str:
    """The text with what the evidence has in each slot."""
    values = {_TIME[name]: value for name, value in _times(evidence).items()}
    values[FLOOR] = f"{evidence.floor:g}"
    for au in evidence.aus:
        values[f"<n{au.number}>"], values[f"<l{au.number}>"] = _full(au), _short(au)
    for region, percent in _percents(evidence).items():
        values[f"<m:{region}>"] = percent
    for slot, value in ((FACE, _face(evidence)), (GAP, _gap(evidence))):
        if value is not None:
            values[slot] = value
    return _SLOT.sub(lambda match: values.get(match.group(), _missing(match.group())), text)


def _missing(slot: str) -> str:
    """Said so that verify.py finds it: an action unit by its code, anything else in words."""
    inner = slot.strip("<>")
    return f"AU{inner[1:]} [not measured]" if inner[0] in "nl" and inner[1:].isdigit() else f"[no {inner} measured]"


def _full(au: AUEvidence) -> str:
    """As observe.py writes it in parentheses."""
    before = au.intensity - au.delta
    start = f" from {before:.1f}" if before >= 0.75 else ""
    return f"{au.code}, {au.letter}, {au.delta:+.1f}{start}{' by movement' if au.source == 'movement' else ''}"


def _short(au: AUEvidence) -> str:
    return f"{au.letter}, {au.delta:+.1f}"


def _times(evidence: Evidence) -> dict[str, str]:
    if evidence.kind == "still":
        return {}
    e = evidence
    values = {"apex": e.apex_s, "onset": e.onset_s, "offset": e.offset_s, "duration": e.duration_s, "rise": e.rise_s}
    return {name: f"{values[name]:.2f} s" for name in TIMES}


def _percents(evidence: Evidence) -> dict[str, str]:
    return {motion.region: f"{max(motion.distance * 100, 1):.0f}" for motion in evidence.motion}


def _percent_slot(match: re.Match[str], evidence: Evidence) -> str:
    region = _ORDER.get(match["region"], match["region"])
    region += {"left": "_L", "right": "_R", None: ""}[match["side"]]
    return f"<m:{region}>" if _percents(evidence).get(region) == match["percent"] else match["percent"]


def _face(evidence: Evidence) -> str | None:
    if evidence.expressed is None:
        return None
    label, probability = evidence.expressed.best
    return f"{label} {probability:.2f}"


def _gap(evidence: Evidence) -> str | None:
    return f"{evidence.aus[0].delta - evidence.aus[1].delta:.1f}" if len(evidence.aus) > 1 else None


__all__ = ["SLOTS", "delexicalise", "fill"]
