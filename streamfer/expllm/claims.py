"""Reading what a text claims about a face: action units, sides, strengths, directions, whoever wrote it.

`extract(text)` finds mentions of action units by code ("AU12", "AU6+12", "action units 1 and 4") and in plain words
("the left lip corner rose slightly", "a marked frown"), with the side, the strength and the polarity said of each.
A plain-word mention that several action units could mean carries all of them. Statements about what an emotion
*would* show are no claims about this face and are left out, as are headers.

Tolerant by design: a mention that is not understood is no claim. It therefore under-reports; what verify.py says is
unsupported has really been said. English only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from streamfer.records import Side

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Claim:
    """One mention: any of `numbers` would support it. `strength` is a range of intensities (0-5)."""

    words: str  # as written, for messages
    numbers: tuple[int, ...]
    present: bool = True
    side: Side | None = None
    only: bool = False  # "only", "alone": the other side did not move
    strength: Range | None = None
    letter: str | None = None
    delta: float | None = None


@dataclass(frozen=True, slots=True)
class MotionClaim:
    """'the left mouth corner moved 4 % ... up': a movement in IED. `region` as in screening/flow.py, without side."""

    words: str
    region: str
    side: Literal["left", "right"] | None
    distance: float
    up: int  # 1 up, -1 down, 0 not said
    out: int  # 1 outward, -1 inward, 0 not said


STRENGTH_RANGES: tuple[tuple[str, Range], ...] = (
    # what the words of STRENGTHS and their everyday neighbours allow, half a FACS step to either side
    (r"just measurabl[ey]|barely (?:measurable|visible|perceptible)", (0.0, 1.0)),
    (r"faint(?:ly)?|traces?|minimal(?:ly)?|subtl[ey]|barely|tiny", (0.0, 2.0)),
    (r"slight(?:ly)?|mild(?:ly)?|weak(?:ly)?|small|gent(?:le|ly)|a little|somewhat", (0.5, 3.0)),
    (r"moderate(?:ly)?|noticeabl[ey]|clear(?:ly)?|visibl[ey]|distinct(?:ly)?", (1.0, 4.0)),
    (r"marked(?:ly)?|pronounced(?:ly)?|considerabl[ey]|prominent(?:ly)?", (2.0, 4.5)),
    (r"strong(?:ly)?|severe(?:ly)?|intense(?:ly)?|significant(?:ly)?|forceful(?:ly)?", (3.0, 5.0)),
    (r"maxim(?:al(?:ly)?|um)|extreme(?:ly)?|utmost", (3.5, 5.0)),
)
_STRENGTH = [(re.compile(rf"(?:{words})\Z", re.IGNORECASE), span) for words, span in STRENGTH_RANGES]

_UP = r"rose|ris(?:e|es|ing|en)|rais(?:e|es|ed|ing)|lift(?:s|ed|ing)?|arch(?:es|ed|ing)?|elevat\w+|up|upwards?"
_DOWN = r"lower(?:s|ed|ing)?|drop(?:s|ped|ping)?|depress\w*|down|downwards?|downturned|s[ai]nk(?:s|ing)?|sag\w*"
_FOREHEAD = r"(?:(?:left|right|(?:corner|part)s? of(?: both| the)?) )*(?:eye)?brows?"
_TIGHT = r"tight(?:en\w*|ness)?|tens\w+"

# region: (how it is named, [(what it does, the action units that would do that)])
LEXICON: tuple[tuple[str, tuple[tuple[str, tuple[int, ...]], ...]], ...] = (
    (rf"inner {_FOREHEAD}", ((_UP, (1,)), (rf"{_DOWN}|drew|together", (4,)))),
    (rf"outer {_FOREHEAD}", ((_UP, (2,)),)),
    (r"(?:eye)?brows?", ((_UP, (1, 2)), (rf"{_DOWN}|knit\w*|furrow\w*|frown\w*|together|contract\w*", (4,)))),
    (r"upper (?:(?:left|right) )?(?:eye)?lids?", (
        (rf"{_UP}|widen\w*|retract\w*|drew back", (5,)), (r"droop\w*|clos\w+", (43, 45)),
    )),
    (r"cheeks?", ((_UP, (6, 12)), (r"puff\w*|blown|inflat\w*", (33, 34)))),
    (r"(?:lower )?(?:(?:left|right) )?(?:eye)?lids?|eyes?", (
        (rf"{_TIGHT}|narrow\w*|squint\w*", (7, 6)), (r"clos(?:e|es|ed|ing)\b|shut", (43, 45)),
        (r"widen(?:s|ed|ing)?|wide", (5,)), (_UP, (5, 6, 7)), (r"blink\w*", (45, 43)),
    )),
    (r"nose|nostrils?|nasal root", ((r"wrinkl\w+|crinkl\w+|scrunch\w*", (9,)), (r"flar\w+", (38,)))),
    (r"nasolabial (?:furrow|fold)s?", ((r"deepen\w*", (11, 10, 12, 9)),)),
    (r"upper lip|half of the upper lip", ((rf"{_UP}|curl\w*|drew up", (10, 9)),)),
    (r"(?:lip|mouth) corners?|corners? of (?:the|his|her|their) (?:mouth|lips?)", (
        (r"tuck\w*|dimpl\w+|tight\w*", (14,)), (r"sideways|straight back|stretch\w*|lateral\w*", (20,)), (_DOWN, (15,)),
        (rf"{_UP}|outwards?|smil\w+", (12, 13)),
    )),
    (r"lower lip", ((_DOWN, (16, 25, 26)), (rf"{_UP}|push\w*|pout\w*", (17,)))),
    (r"chin(?: boss)?", ((rf"{_UP}|push\w*|wrinkl\w*|bunch\w*|dimpl\w+", (17,)),)),
    (r"lips?", (
        (rf"{_TIGHT}|thin(?:s|ned|ning)?|narrow\w*", (23, 24)), (r"press\w*|compress\w*", (24, 23)),
        (r"part(?:s|ed|ing)\b|apart|open\w*", (25, 26, 27)), (r"pucker\w*|purs\w+", (18,)), (r"funnel\w*", (22,)),
        (r"roll\w*|suck\w*", (28,)), (r"stretch\w*", (20,)),
    )),
    (r"jaw", ((rf"{_DOWN}|open\w*", (26, 27, 25)), (r"thrust\w*", (29,)), (r"clench\w*", (31,)))),
    (r"mouth", ((r"stretch\w*", (27, 20)), (r"open\w*|gap(?:e|es|ed|ing)", (25, 26, 27)))),
)  # fmt: skip
WORDS: tuple[tuple[str, tuple[int, ...]], ...] = (
    # actions that name themselves
    (r"smil(?:e|es|ed|ing)|grin(?:s|ned|ning)?", (12, 13)),
    (r"smirk(?:s|ed|ing)?", (12, 14)),
    (r"scowl(?:s|ed|ing)?", (4,)),
    (r"frown(?:s|ed|ing)?", (4, 15)),
    (r"sneer(?:s|ed|ing)?|snarl(?:s|ed|ing)?", (9, 10)),
    (r"squint(?:s|ed|ing)?", (7, 6)),
    (r"blink(?:s|ed|ing)?", (45, 43)),
    (r"nose wrinkl(?:er|e|es|ing)", (9,)),
    (r"dimpler", (14,)),
)
_LEXICON = [
    (re.compile(rf"\b(?:{name})\b"), [(re.compile(rf"\b(?:{act})\b"), numbers) for act, numbers in acts])
    for name, acts in LEXICON
]
_WORDS = [(re.compile(rf"\b(?:{word})\b"), numbers) for word, numbers in WORDS]

_CODE = re.compile(
    r"\b(?:AUs|action units)\s*"
    r"(?P<list>\d{1,2}(?:\s*(?:,\s*and\b|[,+/&]|\band\b)\s*(?:AU\s*)?\d{1,2}(?![\d.]))*)"
    r"|\b(?:AU|action unit)[\s-]*(?P<one>\d{1,2}(?:\s*[+/]\s*(?:AU\s*)?\d{1,2}(?![\d.]))*)(?:_?(?P<lr>[LR])\b)?",
    re.IGNORECASE,
)
_AFTER_CODE = re.compile(r"\s*[,(]\s*(?:FACS\s+)?(?P<letter>[A-E])\b(?:\s*,\s*(?P<delta>[+-]\d+(?:\.\d+)?))?")
_MOTION = re.compile(
    r"(?:(?P<side>left|right) )?"
    r"(?P<region>(?:inner|outer) brow|(?:upper|lower) li[dp]|nose wing|cheek|(?:mouth|lip) corner|chin)\s+"
    r"(?:was tracked )?mov(?:ed|es|ing)\s+(?P<percent>\d+(?:\.\d+)?) ?%(?P<way>[^.;]*)",
    re.IGNORECASE,
)
_REGION_NAMES = {
    "inner brow": "brow_inner", "outer brow": "brow_outer", "upper lid": "lid_upper", "lower lid": "lid_lower",
    "upper lip": "lip_upper", "lower lip": "lip_lower", "lip corner": "mouth_corner",
}  # fmt: skip

_NOT_BEFORE = re.compile(
    r"\b(?:no|not|without|never|nor|neither|lack(?:s|ed|ing)?(?: of)?|absence of|absent|free of|\w+n't)\s+"
    r"(?:[\w-]+\s+){0,4}$"
)
_NOT_AFTER = re.compile(
    r"^\s*(?:\([^)]*\)\s*)?(?:(?:is|are|was|were|remain(?:s|ed)?|stay(?:s|ed)?)\s+)?"
    r"(?:absent|missing|lacking|inactive|still"
    r"|not\s+(?:seen|present|active|measured|observed|visible|detected|found|involved)"
    r"|(?:did|do|does)\s+not\s+(?:move|change|appear|rise|act))"
)
_HYPOTHETICAL = re.compile(r"\b(?:would|if|should|expected|prototyp\w+|typically|usually|requires?|needs?)\b")
_SIDE = re.compile(
    r"\b(?P<left>left)\b|\b(?P<right>right)\b(?! now| away)"
    r"|\b(?P<both>both(?! \w+ and\b)|bilateral(?:ly)?|symmetric\w*)\b"
)
_ONLY = re.compile(r"\b(?:only|alone|unilateral(?:ly)?|one-sided|confined)\b")
_COMPARED = re.compile(r"\b(?:as|equally|less|more|most|about|so) (?:strong|clear|faint|slight|weak|marked)(?:ly)?\b")
_MORE = re.compile(r"\bmore (?:so )?on the (?:left|right)\b")


def sentences(text: str) -> list[str]:
    """Sentences and clauses: split at . ! ? ; and contrasting words, never inside parentheses or numbers."""
    flat = " ".join(text.replace("*", " ").split())
    parts, start, depth = [], 0, 0
    for match in re.finditer(r"[()]|[.!?;:](?=\s|$)|,? (?:while|whereas|but|although|though|which)\b", flat):
        token = match.group()
        if token in "()":
            depth = max(depth + (1 if token == "(" else -1), 0)
        elif depth == 0:
            parts.append(flat[start : match.start()])
            start = match.end() if token in ".!?;:" else match.start()
    parts.append(flat[start:])
    return [part.strip() for part in parts if part.strip()]


def extract(text: str) -> list[Claim]:
    """All claims about action units in a text, in order."""
    claims: list[Claim] = []
    for clause in sentences(text):
        if not _MOTION.search(clause):
            claims += _in_clause(clause)
    return claims


def extract_motion(text: str) -> list[MotionClaim]:
    """All claims that a region moved so many per cent of the inner-eye distance."""
    found = []
    for clause in sentences(text):
        for match in _MOTION.finditer(clause):
            name, way = match["region"].lower(), match["way"].lower()
            side: Literal["left", "right"] | None = None
            if match["side"]:
                side = "left" if match["side"].lower() == "left" else "right"
            region = _REGION_NAMES.get(name, name.replace(" ", "_"))
            up, out = _which(way, r"\bup", r"\bdown"), _which(way, r"\boutward", r"\binward")
            found.append(MotionClaim(match.group().strip(), region, side, float(match["percent"]) / 100, up, out))
    return found


def _which(text: str, plus: str, minus: str) -> int:
    return bool(re.search(plus, text)) - bool(re.search(minus, text))


def _in_clause(clause: str) -> list[Claim]:
    lower = clause.lower()
    codes = list(_CODE.finditer(clause))
    claims = []
    for match in codes:
        context = _context(lower, match.start(), match.end(), codes)
        if context is None:
            continue
        after = _AFTER_CODE.match(clause, match.end())
        listed = match["list"] or match["one"]
        side, only, strength = context[1:]
        if match["lr"]:
            side = "left" if match["lr"].upper() == "L" else "right"
        claims += [
            Claim(
                f"AU{int(number)}", (int(number),), context[0], side, only, None if after else strength,
                after["letter"] if after else None, float(after["delta"]) if after and after["delta"] else None,
            )
            for number in re.findall(r"\d+", listed)
        ]  # fmt: skip
    for start, end, numbers in _plain(lower):
        context = _context(lower, start, end, codes)
        if context is not None:
            claims.append(Claim(clause[start:end], numbers, *context))
    return claims


def _plain(lower: str) -> list[tuple[int, int, tuple[int, ...]]]:
    """Mentions in plain words: each action word belongs to the nearest region, at most six words away."""
    regions: list[tuple[int, int, int]] = []  # start, end, index into the lexicon; longer names come first
    for index, (name, _) in enumerate(_LEXICON):
        for match in name.finditer(lower):
            if not any(match.start() < end and start < match.end() for start, end, _ in regions):
                regions.append((match.start(), match.end(), index))
    found: dict[tuple[int, tuple[int, ...]], tuple[int, int, tuple[int, ...]]] = {}
    for start, end, index in regions:
        for act, numbers in _LEXICON[index][1]:
            for match in act.finditer(lower):
                if match.start() < end and start < match.end():
                    continue
                nearest = min(regions, key=lambda r: _gap(lower, r[0], r[1], match.start(), match.end()))
                if nearest[0] != start or _gap(lower, start, end, match.start(), match.end()) > 6:
                    continue
                found.setdefault((start, numbers), (min(start, match.start()), max(end, match.end()), numbers))
    spans = list(found.values())
    for word, numbers in _WORDS:
        for match in word.finditer(lower):
            if not any(start <= match.start() < end for start, end, _ in spans):
                spans.append((match.start(), match.end(), numbers))
    # "lips tightened and narrowed": one region with several action units claimed at once keeps them all
    return sorted(spans)


def _gap(lower: str, start: int, end: int, other_start: int, other_end: int) -> float:
    """Words between two spans; a span after the region is a little nearer (subject before verb), other clauses far."""
    between = lower[end:other_start] if other_start >= end else lower[other_end:start]
    far = 20 if re.search(r"[;:()]|, (?:and )?(?:the|a|with)\b", between) else 0
    return len(between.split()) + (0.5 if other_end <= start else 0.0) + far


def _context(
    lower: str, start: int, end: int, codes: list[re.Match[str]]
) -> tuple[bool, Side | None, bool, Range | None] | None:
    """(present, side, only, strength) said around a mention; None for a hypothetical. Other codes are walls."""
    left = max((code.end() for code in codes if code.end() <= start), default=0)
    right = min((code.start() for code in codes if code.start() >= end), default=len(lower))
    before, inside, after = lower[left:start].rpartition(")")[2], lower[start:end], lower[end:right]
    if _HYPOTHETICAL.search(lower[:start]):
        return None
    present = not (_NOT_BEFORE.search(before) or _NOT_AFTER.search(after) or re.search(r"\b(?:not|never)\b", inside))
    return present, *_side(before, inside, after), _strength(before, inside, after)


def _side(before: str, inside: str, after: str) -> tuple[Side | None, bool]:
    after = _MORE.sub(" ", after)
    closed = after.split(")")[0] if after.startswith((",", " (", "(")) else re.split(r"[,;)]", after)[0]
    near = " ".join(before.split()[-8:])
    best: tuple[int, Side] | None = None
    for text, order in ((inside, 0), (near, 1), (closed, 1)):
        marks = list(_SIDE.finditer(text))
        if marks:
            mark = marks[-1] if text is near else marks[0]
            names = {str(m.lastgroup) for m in marks}
            side: Side = "left" if mark.lastgroup == "left" else "right" if mark.lastgroup == "right" else "both"
            if {"left", "right"} <= names and text is inside:
                side = "both"
            if best is None or order < best[0]:
                best = (order, side)
    if best is None:
        return None, False
    return best[1], best[1] != "both" and bool(_ONLY.search(f"{near} {inside} {closed}"))


def _strength(before: str, inside: str, after: str) -> Range | None:
    before = _COMPARED.sub(" ", before.rpartition(",")[2].replace("(", " "))
    after = _COMPARED.sub(" ", after)
    words = [*inside.split(), *before.split()[:-4:-1], *re.split(r"[,;()]", after)[0].split()[:3]]
    pairs = [" ".join(pair) for pair in zip(before.split()[-4:], before.split()[-3:], strict=False)]
    for word in [*pairs, *words]:
        clean = word.strip(",.;:()")
        for pattern, span in _STRENGTH:
            if pattern.match(clean):
                return span
    return None
