"""The chain of thought as text: how it is written, how it is read back, and the words for strength.

The format is the one of ExpLLM (Lan et al., IEEE TMM 2025), with the label written after the text that leads to it:

    **Key Observations:**
    ...

    **Overall Emotional Interpretation:**
    ...

    **Conclusion:**
    ...

    Label: happiness

`format_cot` writes exactly this. `parse_cot` reads it and everything near it that language models produce: headers
bold or not, with `#`, numbers or bullets, the colon inside or outside, any case, missing blank lines, adjectives and
synonyms as labels, chatter before and after. Any text gives a ChainOfThought or a ParseError with its reasons;
nothing else is ever raised. A label is never guessed: none, two different ones or a negated one is an error.

This module knows nothing of action units; whether the text is true is the business of verify.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from streamfer.errors import ParseError
from streamfer.records import LABELS, ChainOfThought, Label

MAX_CHARS = 20_000
"""Longer texts are refused unread: a chain of thought has about 1,000."""

SECTIONS = ("Key Observations", "Overall Emotional Interpretation", "Conclusion")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")

# ---------------------------------------------------------------------------------------- strength


@dataclass(frozen=True, slots=True)
class Strength:
    """One step of the FACS scale: intensities in [low, low + 1)."""

    letter: str
    low: float
    word: str  # adjective: "a slight pull"
    adverb: str  # "slightly raised"
    facs: str  # the manual's own word


STRENGTHS = (
    Strength("A", 0.5, "faint", "faintly", "trace"),
    Strength("B", 1.5, "slight", "slightly", "slight"),
    Strength("C", 2.5, "marked", "markedly", "marked or pronounced"),
    Strength("D", 3.5, "strong", "strongly", "severe or extreme"),
    Strength("E", 4.5, "maximal", "maximally", "maximum"),
)
"""FACS letters for continuous intensities, A = 1 ... E = 5, each reaching half a step to either side."""


def strength(intensity: float) -> Strength | None:
    """The step an intensity (0-5) falls into; None below 0.5, where FACS scores nothing."""
    found = None
    for step in STRENGTHS:
        if intensity >= step.low:
            found = step
    return found


def strength_word(intensity: float) -> str:
    """faint, slight, marked, strong or maximal; "barely measurable" below FACS A."""
    step = strength(intensity)
    return step.word if step else "barely measurable"


def facs_letter(intensity: float) -> str:
    """A to E; "-" below FACS A."""
    step = strength(intensity)
    return step.letter if step else "-"


# ------------------------------------------------------------------------------------------- labels

_FORMS: dict[Label, str] = {
    "neutral": "neutral neutrality expressionless",
    "happiness": "happiness happy happily joy joyful joyous enjoyment amusement amused cheerful cheerfulness delight "
    "delighted",
    "sadness": "sadness sad sadly sorrow sorrowful grief unhappy unhappiness",
    "surprise": "surprise surprised surprising astonishment astonished amazement amazed",
    "fear": "fear fearful afraid scared frightened fright terror terrified",
    "disgust": "disgust disgusted revulsion",
    "anger": "anger angry angrily annoyance annoyed irritation irritated rage furious fury",
    "contempt": "contempt contemptuous contemptuously disdain disdainful scorn scornful",
}
LABEL_WORDS: dict[str, Label] = {word: label for label, words in _FORMS.items() for word in words.split()}
"""Every form of a label that is understood, and the label it stands for."""

_WORD = re.compile(r"[a-z]+")
_NEGATION = frozenset(("not", "no", "non", "never", "neither", "nor", "without", "isn", "aren", "cannot"))


def labels_in(text: str) -> list[Label]:
    """The different labels that a text mentions in any form, in order of appearance."""
    found: dict[Label, None] = {}
    for word in _WORD.findall(text.lower()):
        if word in LABEL_WORDS:
            found[LABEL_WORDS[word]] = None
    return list(found)


# ------------------------------------------------------------------------------------------ writing


def format_cot(cot: ChainOfThought) -> str:
    """The canonical text. Runs of white space inside a section become one space.

    Raises ValueError when a section is empty or contains a header or label line, as it could not be read back.
    """
    clean = normalise(cot)
    text = "\n\n".join(
        f"**{header}:**\n{body}"
        for header, body in zip(SECTIONS, (clean.observations, clean.interpretation, clean.conclusion), strict=True)
    )
    text = f"{text}\n\nLabel: {clean.label}"
    try:
        same = parse_cot(text) == clean
    except ParseError as error:
        raise ValueError(f"this chain of thought cannot be written: {error}") from None
    if not same:
        raise ValueError("this chain of thought cannot be written: a section contains a header, a label line or markup")
    return text


def normalise(cot: ChainOfThought) -> ChainOfThought:
    """The same with runs of white space inside each section made one space: what parsing the text gives back."""
    return ChainOfThought(
        " ".join(cot.observations.split()),
        " ".join(cot.interpretation.split()),
        " ".join(cot.conclusion.split()),
        cot.label,
    )


def word_count(cot: ChainOfThought) -> int:
    """Words of the three sections, headers and label line not counted."""
    return len(f"{cot.observations} {cot.interpretation} {cot.conclusion}".split())


# ------------------------------------------------------------------------------------------ reading

_NAMES = (
    r"(?P<s0>key\s+observations?)",
    r"(?P<s1>(?:overall\s+)?emotional\s+interpretations?|overall\s+interpretation)",
    r"(?P<s2>(?:final\s+|overall\s+)?conclusions?)",
    r"(?P<s3>(?:(?:final|predicted|expression|emotion)\s+)?label)",
)
_LEAD = r"[ \t]*(?:(?:\#{1,6}|>|[-*•](?=[ \t])|\(?(?:section\s+)?\d{1,2}[.):])[ \t]*){0,3}"
_MARK = r"(?:\*{1,3}|_{1,3})?"
# A header stands at the start of a line and is marked by bold, a colon, a # or by standing alone; one that models put
# into the middle of a line counts only when it is bold.
_HEADER = re.compile(
    rf"(?:^(?P<lead>{_LEAD})(?P<open>{_MARK})[ \t]*(?:\d{{1,2}}[.)][ \t]*)?|(?P<inline>\*\*)[ \t]*)"
    rf"(?:{'|'.join(_NAMES)})"
    r"[ \t]*(?P<tail>(?:\*{1,3}|_{1,3})?[ \t]*[:：]?[ \t]*(?:\*{1,3}|_{1,3})?[ \t]*[:：]?)[ \t]*(?P<eol>$)?",
    re.IGNORECASE | re.MULTILINE,
)
_LABEL_LINE = re.compile(
    r"^[ \t>#*_\-•]*(?:\d{1,2}[.)][ \t]*)?(?:the[ \t]+)?(?:(?:final|predicted|overall|facial)[ \t]+)*"
    r"(?:(?:label|expression|emotion|answer|prediction|category|class)(?:[ \t]+label)?[ \t*_]*[:：=]"
    r"|(?:label|answer)[ \t]+is\b)"
    r"[ \t*_]*(?P<value>\S.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_LABEL_INLINE = re.compile(r"(?<=[\s*])\**label\**[ \t]*[:：=][ \t*_]*(?P<value>[^\n]+)$", re.IGNORECASE | re.MULTILINE)
_BARE = re.compile(r"^[ \t>#*_\-•\"'“”`\[(]*(?P<value>[A-Za-z]+)[\"'“”`\])*_.! \t]*$", re.MULTILINE)


def parse_cot(text: str) -> ChainOfThought:
    """Read a chain of thought, tolerantly. Raises ParseError with one reason per fault."""
    sections, label_texts, reasons = _split(text)
    bodies = []
    for name in SECTIONS:
        body = sections.get(name)
        if body is None:
            reasons.append(f"the section '{name}' is missing")
        elif not body:
            reasons.append(f"the section '{name}' is empty")
        bodies.append(body or "")
    label = _label(label_texts, reasons)
    if reasons or label is None:
        raise ParseError(*reasons)
    return ChainOfThought(bodies[0], bodies[1], bodies[2], label)


def parse_sections(text: str) -> dict[str, str]:
    """The sections alone, for texts that carry no label line (ExpLLM's own data). Raises ParseError."""
    sections, _, reasons = _split(text)
    reasons += [f"the section '{name}' is missing" for name in SECTIONS if not sections.get(name)]
    if reasons:
        raise ParseError(*reasons)
    return sections


@dataclass(frozen=True, slots=True)
class _Mark:
    """A header found in a text: where it starts, where its body starts, and which of the four it is (3 = label)."""

    start: int
    end: int
    which: int


def _split(text: str) -> tuple[dict[str, str], list[str], list[str]]:
    """Sections by canonical name, the values of all label lines, and faults."""
    if len(text) > MAX_CHARS:
        return {}, [], [f"the text has {len(text)} characters, more than {MAX_CHARS}"]
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"[ \t]+", " ", text)  # the patterns below would be quadratic in long runs
    marks = _headers(text)
    ends = [*(mark.start for mark in marks[1:]), len(text)][: len(marks)]
    sections: dict[str, str] = {}
    label_texts: list[str] = []
    reasons: list[str] = []
    for mark, end in zip(marks, ends, strict=True):
        body = text[mark.end : end]
        if mark.which == 3:  # its value is the first line that is not blank
            value, _, rest = body.lstrip(" \t\n*_#>-:").partition("\n")
            label_texts += [value] if value else []
            _cut_labels(rest, label_texts)  # a second label line may disagree
            continue
        name = SECTIONS[mark.which]
        if name in sections:
            reasons.append(f"the section '{name}' appears twice")
            continue
        sections[name] = _clean(_cut_labels(body, label_texts, after_text=True) if mark.which == 2 else body)
    order = [mark.which for mark in marks]
    if 3 in order and 2 in order[order.index(3) :]:
        reasons.append("the label comes before the text that should lead to it")
    elif order != sorted(order):
        reasons.append("the sections are not in the order observations, interpretation, conclusion, label")
    return sections, label_texts, reasons


def _headers(text: str) -> list[_Mark]:
    marks = []
    for match in _HEADER.finditer(text):
        which = next(i for i in range(4) if match.group(f"s{i}") is not None)
        tail = match.group("tail")
        bold = bool(match.group("open") or match.group("inline")) and ("*" in tail or "_" in tail)
        marked = bold or ":" in tail or "：" in tail
        alone = match.group("eol") is not None or "#" in (match.group("lead") or "")
        if bold or (match.group("inline") is None and (marked or alone)):
            marks.append(_Mark(match.start(), match.end(), which))  # else prose: "Conclusion of the movement was slow"
    return marks


def _cut_labels(body: str, label_texts: list[str], *, after_text: bool = False) -> str:
    """The conclusion up to its label line; what the label lines say goes to `label_texts`.

    `after_text`: a word that stands alone is a label only behind some text; "Happiness." may be the whole conclusion.
    """
    cuts = []
    for pattern in (_LABEL_LINE, _LABEL_INLINE):
        for match in pattern.finditer(body):
            cuts.append(match.start())
            label_texts.append(match.group("value"))
    for match in _BARE.finditer(body):
        if match.group("value").lower() in LABEL_WORDS and not (after_text and not body[: match.start()].strip()):
            cuts.append(match.start())
            label_texts.append(match.group("value"))
    return body[: min(cuts)] if cuts else body


def _label(label_texts: list[str], reasons: list[str]) -> Label | None:
    found: dict[Label, None] = {}
    for value in label_texts:
        said = re.split(r"[.;]", re.sub(r"\([^)]*\)", " ", value), maxsplit=1)[0]  # chatter may follow on the line
        words = _WORD.findall(said.lower())
        if _NEGATION.intersection(words):
            reasons.append(f"the label line denies a label instead of giving one: '{_short(value)}'")
            return None
        labels = labels_in(said)
        if not labels:
            reasons.append(f"'{_short(value)}' is not one of the labels {', '.join(LABELS)}")
            return None
        found.update(dict.fromkeys(labels))
    if not label_texts:
        reasons.append("there is no label line after the conclusion")
        return None
    if len(found) > 1:
        reasons.append(f"conflicting labels: {', '.join(found)}")
        return None
    return next(iter(found))


def _clean(body: str) -> str:
    body = re.sub(r"^[ \t]*(?:-{3,}|\*{3,}|_{3,}|`{3,}\w*)[ \t]*$", " ", body, flags=re.MULTILINE)  # rules, fences
    return " ".join(body.split())


def _short(value: str) -> str:
    value = " ".join(value.split())
    return value if len(value) <= 40 else value[:37] + "..."
