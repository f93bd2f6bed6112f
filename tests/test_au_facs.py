"""The registry of action units is complete, consistent with the lists it maps to, and its columns round-trip."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfer.action_units import emotions, facs

# the 52 names of MediaPipe's blendshapes (ARKit's without tongueOut, with _neutral left out here)
_BLENDSHAPES = """browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft
    cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight
    eyeLookOutLeft eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight
    jawForward jawLeft jawOpen jawRight mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight
    mouthFunnel mouthLeft mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight
    mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft
    mouthStretchRight mouthUpperUpLeft mouthUpperUpRight noseSneerLeft noseSneerRight"""
BLENDSHAPES = set(_BLENDSHAPES.split())
NAMED_IN_ME_TABLES = {1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 20, 21, 23, 24, 25, 26, 31, 38, 39, 40, 43, 56, 61}
REQUIRED = {1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 27, 28, 43, 45}

columns = st.sampled_from([c for unit in facs.UNITS.values() for c in {*unit.columns, f"AU{unit.number:02d}"}])


def test_every_au_that_is_needed_is_there() -> None:
    assert set(facs.UNITS) >= REQUIRED | NAMED_IN_ME_TABLES
    assert set(facs.OPENFACE_INTENSITY) <= set(facs.UNITS)
    in_tables = {n for table in emotions.MICRO_SHARE.values() for aus in table.values() for n in aus}
    in_tables |= {n for table in emotions.PROTOTYPES.values() for aus in table.values() for n in aus}
    in_tables |= {n for sets in emotions.OBJECTIVE_CLASSES.values() for aus in sets for n in aus}
    assert in_tables <= set(facs.UNITS)


@pytest.mark.parametrize("unit", facs.UNITS.values(), ids=lambda unit: unit.code)
def test_unit_is_consistent(unit: facs.Unit) -> None:
    assert set(unit.blendshapes) <= BLENDSHAPES
    assert all(0 <= index < 24 for index in unit.feafa)
    assert unit.name == unit.name.lower() and unit.movement and unit.noun
    for names in (unit.blendshapes, unit.ict):
        lefts = [n.removesuffix("Left").removesuffix("_L") for n in names if n.endswith(("Left", "_L"))]
        rights = [n.removesuffix("Right").removesuffix("_R") for n in names if n.endswith(("Right", "_R"))]
        if unit.number not in (61, 62):  # looking aside is "out" with one eye and "in" with the other
            assert lefts == rights, "a left without its right"
    if len(unit.feafa) == 2:
        left, right = (facs.FEAFA[i] for i in unit.feafa)
        assert ("left" in left and "right" in right) or unit.number in (23, 28)
    assert all(facs.parse(c)[0] == unit.number for c in unit.columns)


def test_every_feafa_unit_but_none_twice_on_one_side() -> None:
    assert len(facs.FEAFA) == 24
    assert {i for unit in facs.UNITS.values() for i in unit.feafa} == set(range(24))


def test_vqa_names_are_unique() -> None:
    assert facs.BY_VQA_NAME["lip corner puller"] == 12
    assert facs.BY_VQA_NAME["tilt right"] == 56
    assert len(facs.BY_VQA_NAME) == sum(bool(unit.vqa) for unit in facs.UNITS.values()) == 25


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("AU12_L", (12, "left"), id="sided"),
        pytest.param("AU4", (4, "both"), id="one-digit"),
        pytest.param("AU04", (4, "both"), id="two-digits"),
        pytest.param("au04_r", (4, "right"), id="lower-case"),
        pytest.param(" AU17 ", (17, "both"), id="spaces"),
    ],
)
def test_parse(text: str, expected: tuple[int, str]) -> None:
    assert facs.parse(text) == expected


@pytest.mark.parametrize("text", ["", "12", "AU", "AU0", "AU3", "AU99", "AU17_L", "AU12_X", "AU12L", "AU123", "lip"])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"AU"):
        facs.parse(text)


@pytest.mark.parametrize(
    ("au", "side", "expected"),
    [
        pytest.param("AU12", "left", "AU12_L", id="code-and-side"),
        pytest.param(4, "right", "AU04_R", id="number"),
        pytest.param("AU12_L", "both", "AU12_L", id="side-in-code"),
        pytest.param("AU17", "both", "AU17", id="whole-face"),
        pytest.param("AU12", "both", "AU12", id="sided-without-side"),
    ],
)
def test_column(au: str | int, side: str, expected: str) -> None:
    assert facs.column(au, side) == expected  # type: ignore[arg-type]


def test_column_refuses_a_side_that_the_au_does_not_have() -> None:
    with pytest.raises(ValueError, match=r"chin raiser.*no sides"):
        facs.column("AU17", "left")


@given(columns)
def test_columns_round_trip(column: str) -> None:
    assert facs.column(*facs.parse(column)) == column


@given(st.permutations(["AU01_L", "AU01_R", "AU04", "AU12_L", "AU12_R", "AU17", "AU25"]))
def test_order_is_by_number_then_side(shuffled: list[str]) -> None:
    assert facs.ordered(shuffled) == ["AU01_L", "AU01_R", "AU04", "AU12_L", "AU12_R", "AU17", "AU25"]


@pytest.mark.parametrize(
    ("aus", "expected"),
    [({6, 12}, "I"), ({4, 7}, "III"), ({4, 9}, "IV"), ({1, 4}, "V"), ({20}, "VI"), ({12, 4}, "VII"), (set(), "VII")],
)
def test_objective_class(aus: set[int], expected: str) -> None:
    assert emotions.objective_class(frozenset(aus)) == expected
