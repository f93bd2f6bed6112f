"""The action units in a coder's cell: one grammar for every string that the data sets' tables hold.

    parse("R12A+4C or 14")  ->  AUString of three tokens, all of them doubtful

Promise: `parse` never raises, whatever the text. What it cannot read is in `warnings`, verbatim, and what the cell held is
in `raw`. `?` alone, or a cell of which nothing can be read, is *unknown* (`tokens` empty), which is not "no action unit".

    cell   := alternative (' or ' alternative)*
    alternative := token (('+' | ',' | '/') token)*       spaces anywhere; CAS(ME)^3 C uses commas, one of them full width
    token  := ('ref(' token ')') | prefix? number suffix?  ref: secondary, SAMM; a cell that ends early leaves ')' out
    prefix := L | R  on one side;  A  asymmetric: both sides, one more;  T | B  top or bottom lip;  AU | AD | M
              two of them with '/' between, also in parentheses: (L/A)12, A/L12
    suffix := intensity A-E, a range A/B or (A/B);  '?' doubtful;  '(k)' of low confidence, 4DME

Facts: the key printed in SAMM's sheet ("/" = or; "L2 or R2" = unilateral; "A2" = asymmetric, stronger on one side), the
distributed tables of CASME II, SAMM, SAMM-LV, CAS(ME)^2, CAS(ME)^3 and DFME, and tvaranka/meb for 4DME. FACS letters are
numbers: A 1 trace ... E 5 maximum (Ekman, Friesen & Hager, 2002).
"""

from __future__ import annotations

import re
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
    (?P<lost>\(\s*loses\s[^)]*\))                      # what went away is not there
  | (?<![A-Za-z0-9])
    (?: \(\s*(?P<inside>[LRA]\s*/\s*[LRA])\s*\)\s*
      | (?P<prefix>[LRA]\s*/\s*[LRA]|[LRATBlr])\s?(?=A?[UDM]|\d) )?
    (?: (?P<kind>AU|AD|M) \s*(?P<after>[LR])? )? \s*
    (?P<number>\d{1,4})
    (?: (?P<intensity>[A-Ea-e](?:\s*/\s*[A-Ea-e])?)(?![A-Za-z])
      | \s*\(\s*(?P<range>[A-Ea-e](?:\s*/\s*[A-Ea-e])?)\s*\) )?
    (?P<low>\s*\(\s*k\s*\))?
    (?P<asked>\s*\?)?
  | (?P<ref>[Rr]ef\s*\()
  | (?P<open>\()
  | (?P<close>\))
  | (?P<or>(?<![A-Za-z])or(?![A-Za-z]))
  | (?P<join>[+,/;&，＋、]+)
    """,
    re.VERBOSE,
)
_EMPTY = frozenset(["", "nan", "none", "/", "-"])


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
    weak: bool = False  # secondary or of low confidence: ref(), (k)
    asked: bool = False  # with a question mark
    alternative: bool = False  # one of several: "24 or 31"

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
    warnings: tuple[str, ...] = ()  # what could not be read, verbatim

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
    if cell.strip().casefold() in _EMPTY:
        return AUString(raw)
    tokens: list[AUToken] = []
    groups: list[tuple[int, ...]] = []  # of each token: the parentheses around it, outermost first
    path: list[tuple[int, bool]] = [(0, False)]  # number, whether it is a ref()
    split: set[int] = set()  # groups with an "or" in them
    warnings: list[str] = []
    opened = 0
    for match, between in _parts(cell):
        if between.strip(" ?"):
            warnings.append(between.strip())
        if match is not None and match["lost"]:
            warnings.append(match[0])
        if match is None or match["join"] or match["lost"]:
            continue
        if match["or"]:
            split.add(path[-1][0])
        elif match["open"] or match["ref"]:
            opened += 1
            path.append((opened, bool(match["ref"])))
        elif match["close"]:
            if len(path) > 1:
                path.pop()
        elif (token := _token(match)) is not None:
            tokens.append(replace(token, weak=token.weak or any(ref for _, ref in path)))
            groups.append(tuple(number for number, _ in path))
        else:
            warnings.append(match[0].strip())
    read = tuple(
        replace(token, alternative=not split.isdisjoint(around)) for token, around in zip(tokens, groups, strict=True)
    )
    return AUString(raw, read, tuple(warnings))


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
