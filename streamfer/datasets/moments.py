"""Onset, apex and offset as a table gives them -> what they are, every mended value said.

The rules, in the order in which they are applied (frame numbers as written, before they become places in a clip):

    fraction          566.4 is rounded                                                             (SAMM-LV)
    onset_missing     dropped: there is nothing to find
    onset_zero        in a table that counts from 1: on from the first frame                          (SAMM-LV macro)
    offset_zero       0 or empty, "not finished in this video": the offset is the apex, as MEGC's baseline and MTSN do;
                      dropped without an apex                                                       (CAS(ME)^2 macro)
    offset_before_onset   dropped                                                                    (CAS(ME)^3)
    apex_offset_swapped   onset <= offset < apex: two columns exchanged                              (CAS(ME)^2, 3 rows)
    apex_missing      empty, "/", 0 or -1: no apex                                  (CASME II, SAMM, CAS(ME)^2, SAMM-LV)
    apex_before_onset no apex: it cannot be told which of the two is wrong                           (CAS(ME)^3)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from streamfer.datasets.records import Action, Remark


@dataclass(slots=True)
class Notes:
    """Collects the remarks of one table."""

    table: str
    remarks: list[Remark] = field(default_factory=list)

    def add(self, action: Action, rule: str, row: int | None, message: str) -> None:
        self.remarks.append(Remark(action, rule, self.table, row, message))


@dataclass(frozen=True, slots=True)
class Moments:
    """Frame numbers as the data set counts them."""

    onset: int
    apex: int | None
    offset: int


def frame_number(text: str, what: str, notes: Notes, row: int) -> int | None:
    """A cell as a frame number; None where it holds none (empty, "/", text, below 0)."""
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value) or value < 0:
        return None
    if value != int(value):
        notes.add("repaired", "fraction", row, f"{what} {text} rounded to {round(value)}")
    return round(value)


def mend(
    onset: str, apex: str | None, offset: str, notes: Notes, row: int, base: int = 1
) -> Moments | None:
    """Three cells -> the moments, or None when the row had to be dropped. `apex` None: the table has no such column.

    `base` is the number of a video's first frame: with base 0 a zero is a frame like any other.
    """
    first = frame_number(onset, "onset", notes, row)
    last = frame_number(offset, "offset", notes, row)
    top = None if apex is None else frame_number(apex, "apex", notes, row)
    if first is None:
        notes.add("dropped", "onset_missing", row, f"onset '{onset}' is no frame number")
        return None
    if base and first == 0:
        notes.add("repaired", "onset_zero", row, "onset 0: the expression is on from the first frame")
        first = base
    if base and top == 0:
        top = None
    if last is None or (base and last == 0):
        if top is None or top < first:
            notes.add("dropped", "offset_zero", row, f"offset '{offset}' and no apex to take instead")
            return None
        notes.add("repaired", "offset_zero", row, f"offset '{offset}': ends at its apex {top}")
        last = top
    if last < first:
        notes.add("dropped", "offset_before_onset", row, f"offset {last} lies before onset {first}")
        return None
    if top is not None and top > last:
        notes.add("repaired", "apex_offset_swapped", row, f"apex {top} lies after offset {last}: exchanged")
        top, last = last, top
    if apex is not None and top is None:
        notes.add("noted", "apex_missing", row, f"apex '{apex}': not annotated")
    elif top is not None and top < first:
        notes.add("repaired", "apex_before_onset", row, f"apex {top} lies before onset {first}: left out")
        top = None
    return Moments(first, top, last)
