"""The label rule on known configurations, and the evidence table it starts from."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given

from streamfer.expllm.evidence import Evidence
from streamfer.expllm.rules import LISTED, WHOLE_FACE, coverage, judge, micro_rate
from streamfer.records import LABELS, AUChange
from tests.expllm_events import EVENTS, FLOOR, event, evidence

# (kind, action units, label, confidence, labels that must be named as rivals)
TRUTH = {
    "still": ("micro", "", "neutral", "high", ""),
    "below-floor": ("micro", "12:0.4", "neutral", "high", ""),
    "relaxing-only": ("macro", "12:-2.0", "neutral", "high", ""),
    "lips-part": ("micro", "25", "neutral", "low", ""),
    "jaw": ("macro", "25 26", "neutral", "low", ""),
    "blink": ("micro", "45", "neutral", "low", ""),
    "pucker": ("macro", "18", "neutral", "low", ""),
    "unlisted-unit": ("micro", "38", "neutral", "low", ""),
    "dimpler-both-macro": ("macro", "14", "neutral", "low", ""),
    "micro-smile": ("micro", "12", "happiness", "moderate", ""),
    "micro-duchenne": ("micro", "6 12", "happiness", "moderate", ""),
    "micro-smile-frown": ("micro", "12 4", "happiness", "low", "disgust"),
    "micro-half-smile": ("micro", "R12", "happiness", "low", "contempt"),
    "micro-one-dimple": ("micro", "L14", "contempt", "moderate", ""),
    "micro-smirk": ("micro", "R12 R14", "contempt", "moderate", ""),
    "micro-brow-lowerer": ("micro", "4", "disgust", "low", "anger fear sadness"),
    "micro-brow-lids": ("micro", "4 7", "disgust", "low", "anger"),
    "micro-lids": ("micro", "7", "anger", "low", "disgust"),
    "micro-nose": ("micro", "9", "disgust", "moderate", ""),
    "micro-nose-lip": ("micro", "9 10", "disgust", "moderate", ""),
    "micro-frown-nose": ("micro", "4 9", "disgust", "moderate", ""),
    "micro-upper-lip": ("micro", "R10", "disgust", "low", "anger"),
    "micro-brows-up": ("micro", "1 2", "surprise", "moderate", ""),
    "micro-surprise": ("micro", "1 2 5", "surprise", "moderate", ""),
    "micro-inner-brow": ("micro", "1", "surprise", "low", "sadness"),
    "micro-fear-full": ("micro", "1 2 4 5 20", "fear", "moderate", "surprise"),
    "micro-stretch": ("micro", "20", "fear", "low", ""),
    "micro-grief": ("micro", "1 4", "sadness", "low", "fear disgust"),
    "micro-grief-mouth": ("micro", "1 4 15", "sadness", "moderate", ""),
    "micro-anger": ("micro", "4 5 7 23", "anger", "moderate", ""),
    "micro-dimpler-both": ("micro", "14", "neutral", "low", "sadness"),
    "macro-smile": ("macro", "12", "happiness", "moderate", ""),
    "macro-duchenne": ("macro", "6 12", "happiness", "high", ""),
    "macro-laugh": ("macro", "6 12 25", "happiness", "high", ""),
    "macro-faint-smile": ("macro", "6:0.8 12:0.9", "happiness", "moderate", ""),
    "macro-smile-while-frowning": ("macro", "6 12 4:0.8", "happiness", "moderate", ""),
    "macro-cheek-alone": ("macro", "6", "happiness", "low", ""),
    "macro-half-smile": ("macro", "R12", "contempt", "low", "happiness"),
    "macro-smirk": ("macro", "R12 R14", "contempt", "high", ""),
    "macro-surprise": ("macro", "1 2 5 26", "surprise", "high", ""),
    "macro-brows-up": ("macro", "1 2", "surprise", "moderate", ""),
    "macro-fear-brow": ("macro", "1 2 4", "fear", "moderate", ""),
    "macro-fear-or-surprise": ("macro", "1 2 4 5", "fear", "moderate", "surprise"),
    "macro-fear": ("macro", "1 2 4 5 20", "fear", "high", ""),
    "macro-grief": ("macro", "1 4", "sadness", "moderate", ""),
    "macro-sadness": ("macro", "1 4 15", "sadness", "high", ""),
    "macro-sad-mouth": ("macro", "15 17", "sadness", "moderate", ""),
    "macro-brow-lowerer": ("macro", "4", "sadness", "low", "anger fear"),
    "macro-anger": ("macro", "4 5 7 23", "anger", "high", ""),
    "macro-frown-lids": ("macro", "4 7", "anger", "moderate", ""),
    "macro-stare": ("macro", "4 5", "anger", "low", "fear"),
    "macro-disgust": ("macro", "9 10", "disgust", "moderate", ""),
    "macro-disgust-mouth": ("macro", "10 17 4", "disgust", "moderate", "anger"),
    "macro-chin": ("macro", "17", "disgust", "low", "sadness"),
}


@pytest.mark.parametrize(("kind", "aus", "label", "confidence", "rivals"), TRUTH.values(), ids=TRUTH.keys())
def test_known_configurations(kind: str, aus: str, label: str, confidence: str, rivals: str) -> None:
    verdict = judge(evidence(aus, kind))
    assert (verdict.label, verdict.confidence) == (label, confidence)
    assert set(rivals.split()) <= set(verdict.rivals)


FLAGGED = {
    "talking-takes-a-smile-down": ("6 12", "macro", "talking", "moderate"),
    "talking-leaves-the-brows": ("1 2 5", "macro", "talking", "high"),
    "blink-takes-the-lids-down": ("1 2 5", "macro", "blink", "moderate"),
    "blink-leaves-the-mouth": ("6 12", "macro", "blink", "high"),
    "head-motion": ("6 12", "macro", "head_motion", "moderate"),
    "low-fps": ("6 12", "micro", "low_fps", "low"),
}


@pytest.mark.parametrize(("aus", "kind", "flag", "confidence"), FLAGGED.values(), ids=FLAGGED.keys())
def test_flags_cost_confidence_where_they_matter(aus: str, kind: str, flag: str, confidence: str) -> None:
    assert judge(evidence(aus, kind, flags=(flag,))).confidence == confidence


def test_what_speaks_against_the_label_is_named() -> None:
    verdict = judge(evidence("6:3 12:3 4:0.8", "macro"))
    assert (verdict.supporting, verdict.opposing) == ((6, 12), (4,))
    assert "AU4 is listed for sadness, fear, disgust, anger" in verdict.reasons


def test_opposition_at_least_as_strong_means_low_confidence() -> None:
    assert judge(evidence("12:2 6:2 4:2.5", "macro")).confidence == "low"


def test_contempt_needs_one_side() -> None:
    for kind in ("micro", "macro"):
        assert judge(evidence("12 14", kind)).label != "contempt"
        assert "contempt" not in judge(evidence("12", kind)).rivals


def test_micro_rates_are_the_mean_of_the_two_counts() -> None:
    assert micro_rate("happiness", 12) == pytest.approx((0.79 + 0.91) / 2)
    assert micro_rate("fear", 20) == pytest.approx((0.04 + 0.80) / 2)  # not listed in one of them
    assert micro_rate("anger", 23) == pytest.approx(0.15)  # only prototypes: three of four tables
    assert micro_rate("happiness", 9) == 0.04


def test_full_prototypes_are_fully_covered() -> None:
    for label, listed in LISTED.items():
        aus = " ".join(f"{'R' if label == 'contempt' else ''}{number}:4" for number in listed)
        assert coverage(label, evidence(aus, "macro")) == pytest.approx(1.0, abs=0.01)


@given(EVENTS)
def test_every_verdict_is_a_distribution_that_its_action_units_can_carry(e) -> None:
    found = Evidence.of(e, FLOOR)
    verdict = judge(found)
    assert set(verdict.scores) == set(LABELS)
    assert math.isclose(sum(verdict.scores.values()), 1.0, abs_tol=1e-9)
    assert verdict.scores[verdict.label] == max(verdict.scores.values())
    face = found.expressed.apex[LABELS.index(verdict.label)] if found.expressed is not None and WHOLE_FACE[found.kind] else 0.0
    assert verdict.label == "neutral" or verdict.supporting or (face >= 0.3 and verdict.confidence == "low")
    assert found.kind == "macro" or verdict.confidence != "high" or not found.visible
    assert verdict == judge(found)


# -------------------------------------------------------------------------------------- evidence


def test_evidence_is_sorted_by_change_and_cut_at_the_floor() -> None:
    found = evidence("4:0.49 6:0.5 12:2.0 1:1.0 15:-0.7 17:-0.2")
    assert [au.number for au in found.aus] == [12, 1, 6]
    assert [au.number for au in found.eased] == [15]
    assert found.get(12).letter == "B" and found.get(4) is None  # type: ignore[union-attr]


def test_two_sides_become_one_entry_with_the_higher_score() -> None:
    found = evidence("L12:2.0 R12:0.9")
    (smile,) = found.aus
    assert (smile.side, smile.intensity, smile.stronger) == ("both", 2.0, "left")
    (even,) = evidence("L12:2.0 R12:1.8").aus
    assert (even.side, even.stronger) == ("both", None)
    (one,) = evidence("L12:2.0 R12:0.3").aus
    assert one.side == "left" and one.unilateral


def test_side_in_the_code_is_understood_and_nonsense_is_refused() -> None:
    sided = replace(event("12"), aus=(AUChange("AU12_R", "both", 2, 2),))
    assert Evidence.of(sided, FLOOR).aus[0].side == "right"
    with pytest.raises(ValueError, match="'smile' is not an action unit"):
        Evidence.of(replace(sided, aus=(AUChange("smile", "both", 2, 2),)), FLOOR)


def test_the_side_of_an_action_unit_without_sides_is_dropped() -> None:
    assert evidence("L17").aus[0].side == "both"


SUPPORT = {
    "left-corner-out-is-picture-right": ("12", "mouth_corner_L:0.04:45", True),
    "right-corner-out-is-picture-left": ("12", "mouth_corner_R:0.04:135", True),
    "right-corner-towards-picture-right-is-inward": ("20", "mouth_corner_R:0.04:0", False),
    "corner-down-against-a-smile": ("12", "mouth_corner_L:0.04:-110", False),
    "too-small": ("12", "mouth_corner_L:0.005:45", None),
    "sideways-says-nothing-of-a-brow": ("1", "brow_inner_L:0.05:0", None),
    "other-side": ("L12", "mouth_corner_R:0.04:135", None),
    "chin-down": ("26", "chin:0.05:-90", True),
    "agreement-beats-contradiction": ("12", "mouth_corner_L:0.02:45 mouth_corner_R:0.05:-60", True),
}


@pytest.mark.parametrize(("aus", "motion", "agrees"), SUPPORT.values(), ids=SUPPORT.keys())
def test_movement_is_set_against_the_action_unit(aus: str, motion: str, agrees: bool | None) -> None:
    found = evidence(aus, motion=motion)
    support = found.support(found.aus[0])
    assert (None if support is None else support.agrees) is agrees


def test_table_is_one_fact_a_line() -> None:
    lines = evidence("L12:1.8 4:-1", motion="mouth_corner_L:0.04:45", flags=("talking",)).table().splitlines()
    assert lines[1].startswith("AU12 lip corner puller, left side only: intensity 1.8 (FACS B), +1.8")
    assert len(lines) == 5 and lines[-1] == "caution: talking"
    assert "no visible action" in evidence("").table()
