"""Onset, apex and offset as written -> what they are: the rules, one case each, and what always holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfer.datasets.moments import Moments, Notes, mend

RULES = {
    # name: (onset, apex, offset, base) -> moments or None, the remarks' (action, rule)
    "as_written": (("10", "15", "20", 1), (10, 15, 20), []),
    "one_frame": (("10", "10", "10", 1), (10, 10, 10), []),
    "no_apex_column": (("10", None, "20", 1), (10, None, 20), []),
    "fraction_is_rounded": (
        ("566.4000000000001", "570", "580.6", 1), (566, 570, 581), [("repaired", "fraction"), ("repaired", "fraction")],
    ),
    "whole_number_as_fraction": (("10.0", "15.0", "20.0", 1), (10, 15, 20), []),
    "onset_empty": (("", "15", "20", 1), None, [("dropped", "onset_missing")]),
    "onset_a_word": (("onset", "15", "20", 1), None, [("dropped", "onset_missing")]),
    "onset_below_zero": (("-1", "15", "20", 1), None, [("dropped", "onset_missing")]),
    "onset_not_a_number": (("nan", "15", "20", 1), None, [("dropped", "onset_missing")]),
    "onset_infinite": (("1e999", "15", "20", 1), None, [("dropped", "onset_missing")]),
    "onset_zero_is_on_from_the_start": (("0", "15", "20", 1), (1, 15, 20), [("repaired", "onset_zero")]),
    "onset_zero_counted_from_zero": (("0", "0", "20", 0), (0, 0, 20), []),
    "offset_zero_is_the_apex": (("10", "15", "0", 1), (10, 15, 15), [("repaired", "offset_zero")]),
    "offset_empty_is_the_apex": (("10", "15", "", 1), (10, 15, 15), [("repaired", "offset_zero")]),
    "offset_zero_without_apex": (("10", "0", "0", 1), None, [("dropped", "offset_zero")]),
    "offset_zero_without_a_column": (("10", None, "0", 1), None, [("dropped", "offset_zero")]),
    "offset_zero_and_apex_before_onset": (("10", "5", "0", 1), None, [("dropped", "offset_zero")]),
    "offset_before_onset": (("20", "25", "10", 1), None, [("dropped", "offset_before_onset")]),
    "apex_and_offset_exchanged": (("1221", "1230", "1224", 1), (1221, 1224, 1230), [("repaired", "apex_offset_swapped")]),
    "apex_a_slash": (("10", "/", "20", 1), (10, None, 20), [("noted", "apex_missing")]),
    "apex_empty": (("10", "", "20", 1), (10, None, 20), [("noted", "apex_missing")]),
    "apex_zero": (("10", "0", "20", 1), (10, None, 20), [("noted", "apex_missing")]),
    "apex_minus_one": (("10", "-1", "20", 1), (10, None, 20), [("noted", "apex_missing")]),
    "apex_before_onset": (("10", "5", "20", 1), (10, None, 20), [("repaired", "apex_before_onset")]),
    "two_at_once": (("0", "15.2", "0", 1), (1, 15, 15), [
        ("repaired", "fraction"), ("repaired", "onset_zero"), ("repaired", "offset_zero")]),
}  # fmt: skip


@pytest.mark.parametrize(("written", "expected", "remarks"), RULES.values(), ids=RULES)
def test_rules(written, expected, remarks) -> None:
    notes = Notes("table.xlsx")
    onset, apex, offset, base = written
    found = mend(onset, apex, offset, notes, 7, base)
    assert found == (None if expected is None else Moments(*expected))
    assert [(r.action, r.rule) for r in notes.remarks] == remarks
    assert all(r.table == "table.xlsx" and r.row == 7 and r.message for r in notes.remarks)


_cells = st.one_of(
    st.integers(-2, 40).map(str), st.floats(allow_nan=True, allow_infinity=True).map(str), st.text(max_size=6),
    st.sampled_from(["", "/", "?", "0", "-1", "1e999", "1_0", "٣"]),
)  # fmt: skip


@given(_cells, st.one_of(st.none(), _cells), _cells, st.sampled_from([0, 1]))
def test_in_order_or_dropped_with_a_reason(onset: str, apex: str | None, offset: str, base: int) -> None:
    notes = Notes("t")
    found = mend(onset, apex, offset, notes, 1, base)
    dropped = [r for r in notes.remarks if r.action == "dropped"]
    assert len(dropped) == (found is None)
    if found is not None:
        assert base <= found.onset <= found.offset
        assert found.apex is None or found.onset <= found.apex <= found.offset
        if apex is None:
            assert found.apex is None
