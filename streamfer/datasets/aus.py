"""The action units in a coder's cell: one grammar for every string that the data sets' tables hold.

    parse("R12A+4C or 14")  ->  AUString of three tokens, all of them doubtful

Promise: `parse` never raises, whatever the text, and its time grows with the cell's length only. What it cannot read is in
`warnings`, and what the cell held is in `raw`, verbatim. `?` alone, or a cell of which nothing can be read, is *unknown*
(`tokens` empty), which is not "no action unit".

    cell   := alternative (' or ' alternative)*           every token of these is one of several
    alternative := item (('+' | ',' | ' and ' | '/') item)*  spaces anywhere; CAS(ME)^3 C uses commas, one of them full width
              '/' is "or" between its two neighbours only: of 12/14+4 the 4 is certain
    item   := token | '(' cell ')' '?'?                    the question mark is on all in the parentheses
    token  := ('ref(' token ')') | prefix? number suffix?  ref: secondary, SAMM; a cell that ends early leaves ')' out
              a word directly before the number (double 45, loses 4) is a warning, and makes the token doubtful
    prefix := L | R  on one side;  A  asymmetric: both sides, one more;  T | B  top or bottom lip;  AU | AD | M
              two of them with '/' between, also in parentheses: (L/A)12, A/L12
    suffix := intensity A-E, a range A/B or (A/B);  '?' doubtful;  '(k)' of low confidence, 4DME

Facts: the key printed in SAMM's sheet ("/" = or; "L2 or R2" = unilateral; "A2" = asymmetric, stronger on one side), the
distributed tables of CASME II, SAMM, SAMM-LV, CAS(ME)^2, CAS(ME)^3 and DFME, and tvaranka/meb for 4DME. FACS letters are
numbers: A 1 trace ... E 5 maximum (Ekman, Friesen & Hager, 2002).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from streamfer.action_units import facs
from streamfer.records import Side

Lip = Literal["top", "bottom"]
LETTERS = "ABCDE"
HIGHEST = 98
"""The highest number of an action unit or descriptor in FACS; larger ones are not read as one."""

_PART = re.compile(
    r"""
    (?P<lost>\(\s*loses\s[^()]{0,40}\))               # what went away is not there
  | (?<![A-Za-z0-9])
    (?: \(\s*(?P<inside>[LRA]\s*/\s*[LRA])\s*\)\s*
      | (?P<prefix>[LRA]\s*/\s*[LRA]|[LRATBlr])\s?(?=A?[UDM]|\d) )?
    (?: (?P<kind>AU|AD|M) \s*(?P<after>[LR])? )? \s*
    (?P<number>\d{1,4})
    (?: (?P<intensity>[A-Ea-e](?:\s*/\s*[A-Ea-e](?!\d))?)(?![A-Za-z])  # 7A/B, but 7A/B18 is two AUs
      | \s*\(\s*(?P<range>[A-Ea-e](?:\s*/\s*[A-Ea-e])?)\s*\) )?
    (?P<low>\s*\(\s*k\s*\))?
    (?P<asked>\s*\?)?
  | (?P<ref>[Rr]ef\s*\()
  | (?P<open>\()
  | (?P<close>\)) (?P<all_asked>\s*\?)?
  | (?P<or>(?<![A-Za-z])or(?![A-Za-z]))
  | (?P<slash>/)
  | (?P<join>[+,;&、]+ | (?<![A-Za-z])and(?![A-Za-z]))
    """,
    re.VERBOSE,
)
_EMPTY = frozenset(["", "nan", "none", "/", "-"])
_DEEPEST = 16
"""Parentheses inside parentheses that are followed; more are junk, and would only cost time."""


@dataclass(frozen=True, slots=True)
class AUToken:
    """One action unit as written."""

    au: int
    side: Side = "both"
    kind: str = "AU"  # AU; AD or M as FACS calls descriptors and head movements, where written so
    asymmetric: bool = False  # on both sides, stronger on one: on `stronger` where that is said
    stronger: Literal["left", "right"] | None = None
    lip: Lip | None = None
    intensity: tuple[float, float] | None = None  # lowest and highest, 1-5; None: not coded
    weak: bool = False  # secondary or of low confidence: ref(), (k), or after a word that is not understood
    asked: bool = False  # with a question mark
    alternative: bool = False  # one of several: "24 or 31", "12/14"

    @property
    def doubtful(self) -> bool:
        return self.weak or self.asked or self.alternative

    @property
    def name(self) -> str:
        """streamfer's column, AU12_L or AU17; both sides, or one that this unit does not have, as AU12."""
        unit = facs.UNITS.get(self.au)
        if unit is None or not unit.sided or self.side == "both":
            return f"AU{self.au:02d}"
        return facs.column(self.au, self.side)


@dataclass(frozen=True, slots=True)
class AUString:
    """A cell, read."""

    raw: str
    tokens: tuple[AUToken, ...] = ()
    warnings: tuple[str, ...] = ()  # what could not be read, in its own words

    @property
    def unknown(self) -> bool:
        """Nothing is known about the action units, which is not the same as none being there."""
        return not self.tokens

    def names(self, doubtful: bool = False) -> tuple[str, ...]:
        """Columns such as AU12_L, each once, in the order written; doubtful ones only when asked for."""
        return tuple(dict.fromkeys(t.name for t in self.tokens if doubtful or not t.doubtful))

    def numbers(self, doubtful: bool = False) -> tuple[int, ...]:
        return tuple(dict.fromkeys(t.au for t in self.tokens if doubtful or not t.doubtful))


def parse(text: object) -> AUString:
    """Read a cell: text, a number, or an empty one (None, NaN). Never raises."""
    raw = "" if text is None else str(text)
    cell = raw[:-2] if isinstance(text, float) and raw.endswith(".0") else raw  # a lone number in a column of floats
    cell = " ".join(unicodedata.normalize("NFKC", cell).split())  # full-width signs; one blank for many
    if cell.casefold() in _EMPTY:
        return AUString(raw)
    tokens: list[AUToken] = []
    groups: list[tuple[int, ...]] = []  # of each token: the parentheses around it, outermost first
    path: list[_Group] = [_Group(0)]
    split: set[int] = set()  # groups of which every token is one of several
    either: set[int] = set()  # tokens of which "/" makes the same
    asked: set[int] = set()  # groups with a question mark behind them
    warnings: list[str] = []
    opened = 0
    before: int | _Group | None = None  # token or group that a "/" would follow
    slash = False  # the next one follows a "/"
    for match, between in _parts(cell):
        unread = between.strip(" ?")
        if unread:
            warnings.append(between.strip())
        if match is None:
            continue
        if match["slash"]:
            slash = True
            if isinstance(before, _Group):
                split.add(before.number)
            elif before is not None:
                either.add(before)
        elif match["join"]:
            before, slash = None, False
        elif match["or"]:
            split.add(path[-1].number)
            before, slash = None, False
        elif match["lost"]:
            warnings.append(match[0])
        elif match["open"] or match["ref"]:
            if len(path) < _DEEPEST:
                opened += 1
                path.append(_Group(opened, ref=bool(match["ref"])))
                if slash:
                    split.add(opened)
            before, slash = None, False
        elif match["close"]:
            before = path.pop() if len(path) > 1 else before
            if match["all_asked"] and isinstance(before, _Group):
                asked.add(before.number)
            elif match["all_asked"] and isinstance(before, int):
                tokens[before] = replace(tokens[before], asked=True)
        elif (token := _token(match)) is not None:
            weak = token.weak or any(group.ref for group in path) or any(c.isalpha() for c in unread)
            before = len(tokens)
            if slash:
                either.add(before)
            slash = False
            tokens.append(replace(token, weak=weak))
            groups.append(tuple(group.number for group in path))
        else:
            warnings.append(match[0].strip())
    read = tuple(
        replace(
            token, asked=token.asked or not asked.isdisjoint(around),
            alternative=place in either or not split.isdisjoint(around),
        )
        for place, (token, around) in enumerate(zip(tokens, groups, strict=True))
    )  # fmt: skip
    return AUString(raw, read, tuple(warnings))


@dataclass(frozen=True, slots=True)
class _Group:
    """Parentheses; number 0 is the whole cell."""

    number: int
    ref: bool = False


def _parts(cell: str) -> Iterator[tuple[re.Match[str] | None, str]]:
    """Every part that the grammar knows, with what lies unread before it; at the end None with the rest."""
    done = 0
    for match in _PART.finditer(cell):
        yield match, cell[done : match.start()]
        done = match.end()
    yield None, cell[done:]


def _token(match: re.Match[str]) -> AUToken | None:
    number = int(match["number"])
    if not 1 <= number <= HIGHEST:
        return None
    marks = (match["inside"] or match["prefix"] or "").upper() + (match["after"] or "")
    sides: list[Literal["left", "right"]] = [
        name for letter, name in (("L", "left"), ("R", "right")) if letter in marks  # type: ignore[misc]
    ]
    one = sides[0] if len(sides) == 1 else None
    asymmetric = "A" in marks
    letters = (match["intensity"] or match["range"] or "").upper()
    levels = sorted(LETTERS.index(letter) + 1.0 for letter in letters if letter in LETTERS)
    return AUToken(
        au=number,
        side=one if one is not None and not asymmetric else "both",
        kind=match["kind"] or "AU",
        asymmetric=asymmetric,
        stronger=one if asymmetric else None,
        lip="top" if "T" in marks else "bottom" if "B" in marks else None,
        intensity=(levels[0], levels[-1]) if levels else None,
        weak=bool(match["low"]),
        asked=bool(match["asked"]),
    )
