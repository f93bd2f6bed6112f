"""What coders wrote about action units, read without ever failing: `parse("R12A+(L/A)14 or 10?") -> AUString`.

    alternatives := chain ('or' chain)*                 also in brackets: (R6 or R12)+R15; and 12/14
    chain        := token (('+' | ',' | ';' | '&') token)*
    token        := ('ref' token) | prefix* number suffix*
    prefix       := L | R | A | T | B, also A/L or (L/A); AU | AD | M
    suffix       := L | R; intensity A-E, A/B or (A/B); ?; (k)

L and R: on one side only. A: on both, stronger on one. T and B: top or bottom lip. `ref(...)` (SAMM) and `(k)` (4DME)
mark a weak or unsure AU. "?" after an AU: doubtful; "?" alone: the coder could not tell, which is not "no AU".
Letters are FACS intensities, A trace = 1 ... E maximum = 5, as a range (lo, hi).

Never raises. What it cannot read ("glare", "(loses AU4)") is kept verbatim in `unread`, so that it can be counted. Covers
every form in the tables of CASME II, SAMM, SAMM-LV, CAS(ME)^2, CAS(ME)^3 and DFME. "/" as "or", one-sided and asymmetric
marks: the key in SAMM's sheet. It does not judge whether an AU fits the emotion.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, field, replace
from typing import Literal

from streamfer.action_units import facs
from streamfer.records import Side

Lip = Literal["top", "bottom"]
Unit = Literal["AU", "AD", "M"]

_DEEPEST = 8  # nested brackets that are followed
_SIDES = r"[LRATB](?:\s*/\s*[LRATB])*"
_TOKEN = re.compile(
    rf"(?P<prefix>(?:(?:AU|AD|M|\(\s*{_SIDES}\s*\)|{_SIDES})\s*)*)"
    r"(?<![0-9])(?P<number>0?[1-9][0-9]?)(?![0-9])"
    r"(?P<side>\s*[LR](?![A-Z0-9]))?"
    r"(?P<intensity>\s*(?:\(\s*[A-E]\s*(?:[/-]\s*[A-E]\s*)?\)|[A-E](?:\s*[/-]\s*[A-E](?![A-Z0-9]))?(?![A-Z0-9])))?"
    r"(?P<weak>\s*\(\s*k\s*\))?"
    r"(?P<doubt>\s*\?+)?",
    re.IGNORECASE,
)
_REF = re.compile(r"ref\.?(?![a-z])\s*", re.IGNORECASE)
_OR = re.compile(r"(?:or(?![a-z])|/)\s*", re.IGNORECASE)
_JOIN = re.compile(r"[+,;&]")
_REMARK = re.compile(r"[a-z]{2,}", re.IGNORECASE)
_NO_REMARK = frozenset(["or", "ref", "au", "ad", "aus"])
_NOISE = re.compile(r"[^\W\d_]+(?:\s+(?!or\b|ref\b|au|ad|m\d|[lratb]\b)[^\W\d_]+(?![\w/]))*|\d+|.", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AUToken:
    """One AU as written. `doubtful` is set for each reason to doubt it: a "?", alternatives, a weak mark."""

    au: int
    side: Side = "both"
    asymmetric: bool = False  # on both sides, stronger on one
    lip: Lip | None = None
    unit: Unit = "AU"  # action unit, action descriptor, or M for head and eye movements
    intensity: tuple[int, int] | None = None  # FACS 1-5, lowest and highest
    weak: bool = False
    doubtful: bool = False
    choice: tuple[int, int] | None = None  # (group, branch): of one group only one branch is true


@dataclass(frozen=True, slots=True)
class AUString:
    """A coder's string. No tokens means unknown, never that there was no AU."""

    tokens: tuple[AUToken, ...]
    raw: str
    unread: tuple[str, ...] = ()  # verbatim
    warnings: tuple[str, ...] = ()  # a sentence each

    @property
    def unknown(self) -> bool:
        return not self.tokens

    def names(self) -> tuple[str, ...]:
        """streamfer's names, "AU12_L", "AU12" (both sides) or "AU17", each once; without what is doubtful or not in FACS."""
        sure = [t for t in self.tokens if not t.doubtful and t.au in facs.UNITS]
        found = {facs.column(t.au, t.side if facs.UNITS[t.au].sided else "both") for t in sure}
        return tuple(facs.ordered(found))


def parse(text: object) -> AUString:
    """Read a cell. Takes anything: numbers, None and NaN as spreadsheets give them."""
    if isinstance(text, float):
        text = int(text) if text.is_integer() else None if math.isnan(text) else text
    raw = "" if text is None else str(text)
    reader = _Reader(unicodedata.normalize("NFKC", raw))  # full-width comma, plus and brackets
    tokens = reader.alternatives(0)
    for number in dict.fromkeys(t.au for t in tokens if t.au not in facs.UNITS):
        reader.warnings.append(f"AU{number} is not in FACS's list of action units")
    return AUString(tuple(tokens), raw, tuple(reader.unread), tuple(reader.warnings))


@dataclass
class _Reader:
    text: str
    at: int = 0
    groups: int = 0
    unread: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def alternatives(self, depth: int) -> list[AUToken]:
        branches = [self._chain(depth)]
        while self._take(_OR):
            branches.append(self._chain(depth))
        branches = [branch for branch in branches if branch]
        if len(branches) < 2:
            return branches[0] if branches else []
        self.groups += 1
        group = self.groups
        return [
            replace(token, doubtful=True, choice=token.choice or (group, number))
            for number, branch in enumerate(branches, 1)
            for token in branch
        ]

    def _chain(self, depth: int) -> list[AUToken]:
        tokens: list[AUToken] = []
        word_before = False  # "loses 4" does not say that 4 is there
        while self.at < len(self.text):
            character = self.text[self.at]
            if character.isspace():
                self.at += 1
            elif self._take(_JOIN):
                word_before = False
            elif self._starts(_OR):
                self._slash(tokens, depth)
                if self._starts(_OR):
                    break
            elif self._take(_REF):
                tokens += [replace(token, weak=True, doubtful=True) for token in self._one(depth)]
            elif character == ")" and depth:
                break
            elif one := self._one(depth):
                tokens += [replace(token, doubtful=True) for token in one] if word_before else one
                if word_before:
                    self.warnings.append(f"'{self.text.strip()}': AU{one[0].au} follows a remark and is taken as doubtful")
            elif self.at < len(self.text):
                word_before |= self._noise(tokens)
        return tokens

    def _slash(self, tokens: list[AUToken], depth: int) -> None:
        """12/14+4: a slash binds the AUs beside it only, unlike the word "or"."""
        while tokens and self.text[self.at] == "/":
            self.at += 1
            self._blank()
            other = self._one(depth)
            if not other:
                break
            last = tokens[-1]
            if last.choice is None:
                self.groups += 1
                last = tokens[-1] = replace(last, doubtful=True, choice=(self.groups, 1))
            assert last.choice is not None
            group, branch = last.choice
            tokens += [replace(token, doubtful=True, choice=(group, branch + 1)) for token in other]
            self._blank()
            if self.at >= len(self.text):
                break

    def _one(self, depth: int) -> list[AUToken]:
        """A token, or what is in brackets here; nothing when there is neither."""
        if match := _TOKEN.match(self.text, self.at):
            self.at = match.end()
            return [_token(match)]
        if self.at < len(self.text) and self.text[self.at] == "(" and depth < _DEEPEST:
            return self._bracket(depth)
        return []

    def _bracket(self, depth: int) -> list[AUToken]:
        closed = self._closing()
        inside = self.text[self.at + 1 : closed]
        if any(word.casefold() not in _NO_REMARK for word in _REMARK.findall(inside)):
            self.unread.append(self.text[self.at : closed + 1])
            self.at = closed + 1
            return []
        if closed == len(self.text):
            self.warnings.append(f"'{self.text.strip()}': a bracket is not closed")
        self.at += 1
        tokens = self.alternatives(depth + 1)
        self.at += 1  # the closing bracket, or the end
        return [replace(token, doubtful=True) for token in tokens] if self._take(re.compile(r"\s*\?+")) else tokens

    def _closing(self) -> int:
        depth = 0
        for place in range(self.at, len(self.text)):
            depth += {"(": 1, ")": -1}.get(self.text[place], 0)
            if depth == 0:
                return place
        return len(self.text)

    def _noise(self, tokens: list[AUToken]) -> bool:
        """Keep what cannot be read. True for a word."""
        match = _NOISE.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        word = match[0]
        if word == "?":
            self.warnings.append("'?': the coder could not tell")
            return False
        if word in "()":
            self.warnings.append(f"'{self.text.strip()}': a bracket without its other half")
            return False
        self.unread.append(word)
        return word[0].isalpha()

    def _take(self, pattern: re.Pattern[str]) -> bool:
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()
        return match is not None

    def _starts(self, pattern: re.Pattern[str]) -> bool:
        return pattern.match(self.text, self.at) is not None

    def _blank(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1


def _token(match: re.Match[str]) -> AUToken:
    prefix = match["prefix"].upper()
    unit: Unit = "AD" if "AD" in prefix else "M" if "M" in prefix else "AU"
    letters = set(re.sub(r"AU|AD|M", "", prefix)) | set((match["side"] or "").upper())
    sides = letters & set("LRA")
    side: Side = "left" if sides == {"L"} else "right" if sides == {"R"} else "both"
    lip: Lip | None = "top" if "T" in letters else "bottom" if "B" in letters else None
    grades = ["ABCDE".index(letter) + 1 for letter in (match["intensity"] or "").upper() if letter in "ABCDE"]
    weak = match["weak"] is not None
    return AUToken(
        int(match["number"]), side, "A" in sides, lip, unit, (min(grades), max(grades)) if grades else None, weak,
        weak or match["doubt"] is not None,
    )  # fmt: skip
