"""The action units in coders' cells: every form seen in the tables, and any text at all."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfer.datasets.aus import AUString, parse

A, B, C, D, E = 1.0, 2.0, 3.0, 4.0, 5.0

FORMS = [
    ("12", ["AU12"]), ("4+7+9", ["AU04", "AU07", "AU09"]), (" 4 + 7 ", ["AU04", "AU07"]), ("4,7", ["AU04", "AU07"]),
    ("4，7", ["AU04", "AU07"]), ("4+L10", ["AU04", "AU10_L"]), ("L1+L2", ["AU01_L", "AU02_L"]), ("R12", ["AU12_R"]),
    ("1+R2+25", ["AU01", "AU02_R", "AU25"]), ("R4+R10", ["AU04_R", "AU10_R"]), ("R12A", ["AU12_R"]),
    ("AU12 + AU25", ["AU12", "AU25"]), ("B18", ["AU18"]), ("T23", ["AU23"]), ("AD38+M57", ["AU38", "AU57"]),
    ("A14C", ["AU14"]), ("(A/R)14B", ["AU14"]), ("(L/A)12(B/A)", ["AU12"]), ("A/L12", ["AU12"]),
    ("7A/B+L10A/B)+ref(11)+12C", ["AU07", "AU10_L", "AU12"]), ("(R6 or R12) + R15", ["AU15_R"]), ("12.0", ["AU12"]),
    (12.0, ["AU12"]), (4, ["AU04"]), ("L17", ["AU17"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "names"), FORMS, ids=[str(text) for text, _ in FORMS])
def test_names(text, names) -> None:
    assert list(parse(text).names()) == names


@pytest.mark.parametrize("text", ["?", "", " ", "/", "nan", None, math.nan, "Chewing", "all of the above", "(loses AU4)"])
def test_unknown_is_not_none_present(text) -> None:
    assert parse(text).unknown and parse(text).names(doubtful=True) == ()


@pytest.mark.parametrize(
    ("text", "doubtful"),
    [
        ("24 or 31 or 80", [24, 31, 80]), ("L2 or R2", [2]), ("B8 or B18", [8, 18]), ("(R6 or R12) + R15", [6, 12]),
        ("ref(11)+12C", [11]), ("Ref(4+7)", [4, 7]), ("4?+7", [4]), ("4(k)+5", [4]), ("12+14 or 15", [12, 14, 15]),
        ("12/14+4", [12, 14]), ("4+12/14", [12, 14]), ("1/2/4+7", [1, 2, 4]), ("R12A/14B+4", [12, 14]), ("12 / 14, 4", [12, 14]),
        ("12/(14+15)+4", [12, 14, 15]), ("(14+15)/12+4", [14, 15, 12]), ("4+(6/12)+15", [6, 12]), ("7A/B18+4", [7, 18]),
        ("7A/B+4", []), ("A/L12+4", []), ("(L/A)12(B/A)+4", []), ("12/", [12]), ("/12+4", [12]),
        ("(12+14)?+4", [12, 14]), ("(12+(14+15))?+4", [12, 14, 15]), ("4+(12)?", [12]), ("(12+14) ? + 4", [12, 14]),
        ("12+14)?", [14]), ("double 45+4", [45]), ("loses 4+12", [4]), ("4+soft focus 7", [7]), ("4 glare+7", []),
        ("4 and 7", []), ("４＋７", []), ("４？＋７", [4]), ("（12＋14）？", [12, 14]),
    ],
)  # fmt: skip
def test_doubtful(text, doubtful) -> None:
    read = parse(text)
    assert read.raw == text
    assert [n for n in read.numbers(doubtful=True) if n not in read.numbers()] == doubtful


@pytest.mark.parametrize(
    ("text", "intensity"),
    [
        ("12", None), ("12A", (A, A)), ("12E", (E, E)), ("7A/B", (A, B)), ("12(B/A)", (A, B)), ("L10A/B)", (A, B)),
        ("A14C", (C, C)), ("12 D", None),
    ],
)  # fmt: skip
def test_intensity(text, intensity) -> None:
    assert parse(text).tokens[0].intensity == intensity


@pytest.mark.parametrize(
    ("text", "asymmetric", "stronger", "side", "lip"),
    [
        ("A14", True, None, "both", None), ("A/L12", True, "left", "both", None), ("(A/R)14B", True, "right", "both", None),
        ("L12", False, None, "left", None), ("12", False, None, "both", None), ("T28", False, None, "both", "top"),
        ("B22", False, None, "both", "bottom"), ("ADR30", False, None, "right", None),
    ],
)  # fmt: skip
def test_prefixes(text, asymmetric, stronger, side, lip) -> None:
    token = parse(text).tokens[0]
    assert (token.asymmetric, token.stronger, token.side, token.lip) == (asymmetric, stronger, side, lip)


@pytest.mark.parametrize(
    ("text", "numbers", "warnings"),
    [
        ("double 45", [45], ["double"]), ("loses 4", [4], ["loses"]), ("4 and 7", [4, 7], []), ("４＋７Ａ", [4, 7], []),
        ("(loses " + "x" * 41 + ")+4", [4], ["loses " + "x" * 41]), ("4 glare", [4], ["glare"]), ("4+soft focus", [4], ["soft focus"]),
        ("all of the above", [], ["all of the above"]), ("4+(loses AU7)", [4], ["(loses AU7)"]), ("4+999", [4], ["999"]),
        ("12+(big swallow)", [12], ["big swallow"]), ("4+7", [4, 7], []), ("x4", [], ["x4"]),
    ],
)  # fmt: skip
def test_kept_verbatim(text, numbers, warnings) -> None:
    read = parse(text)
    assert (list(read.numbers(doubtful=True)), list(read.warnings), read.raw) == (numbers, warnings, text)


@given(st.text())
def test_any_text(text: str) -> None:
    read = parse(text)
    assert isinstance(read, AUString) and read.raw == text


@given(st.text(alphabet="0123456789ABCDELRTM+/()?,or ref.k", max_size=40))
def test_any_near_text(text: str) -> None:
    read = parse(text)
    assert all(1 <= token.au <= 98 for token in read.tokens)
    if not any(c.isdigit() for c in text):
        assert read.unknown


@given(st.lists(st.tuples(st.sampled_from(["", "L", "R"]), st.integers(1, 64), st.sampled_from(["", *"ABCDE"])), min_size=1))
def test_written_and_read(parts: list[tuple[str, int, str]]) -> None:
    read = parse("+".join(f"{side}{number}{letter}" for side, number, letter in parts))
    assert not read.warnings and len(read.tokens) == len(parts)
    for token, (side, number, letter) in zip(read.tokens, parts, strict=True):
        assert (token.au, token.side) == (number, {"": "both", "L": "left", "R": "right"}[side])
        assert token.intensity == (("ABCDE".index(letter) + 1.0,) * 2 if letter else None)


@pytest.mark.parametrize(
    ("piece", "length"),
    [("(loses ", 500_000), (" ", 500_000), ("AU  ", 500_000), ("(4", 80_000), ("4)?", 80_000), ("4A/", 80_000)],
)
def test_long_junk(piece: str, length: int) -> None:
    """A second of work where time grows with the length; a minute where it grows with its square."""
    text = piece * (length // len(piece))
    start = time.process_time()
    assert parse(text + "4").raw == text + "4"
    assert time.process_time() - start < 15
