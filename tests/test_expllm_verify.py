"""Verification of texts that a model might write: what is false is found, what is true is left alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfer.expllm.claims import extract, extract_motion, sentences
from streamfer.expllm.verify import check, slips, supported_share
from streamfer.records import ChainOfThought
from tests.expllm_events import evidence

SMILE = "L12:1.8 R12:1.7 6:1.0"


def cot(text: str, label: str = "happiness", conclusion: str = "") -> ChainOfThought:
    return ChainOfThought(text, "See above.", conclusion or f"The expression is best read as {label}.", label)  # type: ignore[arg-type]


# (action units of the event, text, what must be in the fault; "" = no fault)
CASES = {
    "code": (SMILE, "AU12 and AU6 are active.", ""),
    "code-list": (SMILE, "We see AU6+12.", ""),
    "code-plural": (SMILE, "Action units 6 and 12 rose together.", ""),
    "code-missing": (SMILE, "AU6, AU9 and AU12 are active.", "'AU9' was not measured"),
    "code-plus-missing": (SMILE, "We see AU6+12+25.", "'AU25' was not measured"),
    "code-letter": (SMILE, "The smile (AU12, B, +1.8) came with AU6.", ""),
    "code-wrong-letter": (SMILE, "The smile (AU12, D) came with AU6.", "given as FACS D but was measured as B"),
    "code-wrong-change": (SMILE, "AU12 (B, +2.6) and AU6.", r"given as \+2.6"),
    "code-sided": ("L12", "AU12_L is active, a half smile.", ""),
    "code-wrong-side": ("L12", "AU12_R is active, a half smile.", "said of the right"),
    "plain": (SMILE, "The lip corners are pulled upward and the cheeks are raised.", ""),
    "plain-corners-of-the-mouth": (SMILE, "The corners of the mouth lift while the cheeks rise.", ""),
    "plain-missing": (SMILE, "The lip corners rise and the nose is wrinkled.", "'nose is wrinkled' .AU9. was not"),
    "plain-eyebrows": (SMILE, "A smile with raised eyebrows.", "raised eyebrows"),
    "plain-jaw": (SMILE, "A smile; the jaw drops open.", "jaw drops"),
    "plain-lips-pressed": (SMILE, "Smiling, with the lips pressed together.", "lips pressed"),
    "direction": (SMILE, "The lip corners turn down and the cheeks rise.", r"\(AU15\) was not measured"),
    "brow-direction": ("4", "The eyebrows are raised.", "eyebrows are raised"),
    "word-alone": (SMILE, "A friendly smile.", ""),
    "word-alone-false": ("4", "The person smiles.", "'smiles' .AU12 or AU13."),
    "side": ("L12", "The left lip corner rises, half a smile.", ""),
    "side-wrong": ("L12", "The right lip corner rises in a smile.", "said of the right but was measured on the left"),
    "side-both-wrong": ("L12", "Both lip corners rise in a smile.", "said of both sides but was measured on the left"),
    "side-only-wrong": (SMILE, "Only the left lip corner rises in a smile.", "said of the left only"),
    "side-part-of-both": (SMILE, "The left lip corner rises in a smile.", ""),
    "bilateral": (SMILE, "Bilateral raise of the lip corners.", ""),
    "strength": ("12:1.0", "The lip corners rise faintly.", ""),
    "strength-near": ("12:1.0", "The lip corners rise slightly.", ""),
    "strength-too-much": ("12:1.0", "The lip corners rise strongly.", "strength that does not fit its intensity 1.0"),
    "strength-too-little": ("12:4.0", "A faint smile.", "strength that does not fit its intensity 4.0"),
    "strength-adjective": ("12:1.0", "A pronounced upward pull of the lip corners.", "strength that does not fit"),
    "denied": (SMILE, "A smile with no nose wrinkling and without AU4.", ""),
    "denied-after": (SMILE, "A smile; AU9 is absent and AU4 was not observed.", ""),
    "denied-but-there": (SMILE, "A smile without AU6.", "said to be absent but rose by 1.0"),
    "denied-did-not": (SMILE, "A smile; AU6 did not move.", "said to be absent"),
    "hypothetical": (SMILE, "A smile. Disgust would need AU9 and a raised upper lip.", ""),
    "motion": (SMILE, "A smile; the left mouth corner moved 4 % of the inner-eye distance up and outward.", ""),
    "motion-wrong-way": (SMILE, "A smile; the left mouth corner moved 4 % IED down.", "no such movement"),
    "motion-wrong-size": (SMILE, "A smile; the left mouth corner moved 9 % IED up.", "no such movement"),
    "motion-wrong-region": (SMILE, "A smile; the chin moved 4 % IED up.", "no such movement of the chin"),
    "time": (SMILE, "The smile peaks at 12.53 s after 130 ms and ends at 12.8 s.", ""),
    "time-wrong": (SMILE, "The smile peaks at 13.10 s.", "'13.10 s' is none of the event's times"),
    "lying": (SMILE, "A smile that shows the person is lying.", "'lying': nothing measured"),
    "genuine": (SMILE, "A genuine smile.", "'genuine'"),
    "hidden": (SMILE, "A smile that conceals anger.", "'conceals'"),
    "not-lying": (SMILE, "A smile, which is no evidence of lying or of anything hidden.", ""),
    "nothing-there": ("", "The person smiles.", "'smiles'"),
    "vague": (SMILE, "A smile on an interesting face with nice hair.", ""),
}


def assert_found(fault: str, found: list[str]) -> None:
    """`fault` is in what was found; "" for nothing found."""
    assert any(fault in one for one in found) if fault else not found, found


AGAIN = {
    "sentence": ("12", "A smile. A smile.", "'A smile.' is said twice"),
    "sentences": ("12", "A smile. The lip corners rise.", ""),
    "measure": ("12:1.5", "The lip corners rose (AU12, B, +1.5). They pulled up (AU12, B, +1.5).", "AU12 is told twice"),
    "measure-later": ("12:1.5", "The lip corners rose (AU12, B, +1.5). In addition: AU12 (B, +1.5).", "AU12 is told twice"),
    "code-alone": ("12:1.5", "The lip corners rose (AU12, B, +1.5). AU12 is the mouth part of a smile.", ""),
    "list": (SMILE, "AU12, AU6 and AU12 moved.", "AU12 is listed twice"),
    "list-of-two": (SMILE, "AU12 and AU12 moved.", "AU12 is listed twice"),
    "list-true": (SMILE, "AU12 and AU6 moved.", ""),
    "alone": ("12", "AU12 stands alone.", ""),
    "alone-false": (SMILE, "AU12 stands alone.", "'stands alone' is said, but 2 actions were measured"),
    "only-false": (SMILE, "The only action was a smile (AU12).", "'The only action was' is said"),
    "exceeds": (SMILE, "AU12 even exceeds AU6.", ""),
    "exceeds-false": (SMILE, "AU6 even exceeds AU12.", "AU6 is said to be stronger than AU12"),
    "as-strong": ("12:1.5 6:1.5", "AU12 is as strong as AU6.", ""),
    "as-strong-false": (SMILE, "AU12 is as strong as AU6.", "equally strong"),
    "weaker": (SMILE, "AU6 pulls down; it is weaker than AU12.", ""),
    "weaker-false": (SMILE, "AU12 pulls up; it is weaker than AU6.", "AU6 is said to be stronger than AU12"),
}  # fmt: skip


@pytest.mark.parametrize(("aus", "text", "fault"), AGAIN.values(), ids=AGAIN.keys())
def test_repetitions_and_comparisons_are_held_to_the_measurements(aus: str, text: str, fault: str) -> None:
    assert_found(fault, slips(text, evidence(aus)))


AGAINST = {
    "for-it": ("Against happiness stand AU6 and AU12, better suited to anger.", "AU6 is said to be out of place"),
    "other-way": ("AU12 pulls the other way, towards disgust.", "AU12 is said to be out of place in happiness"),
    "unexplained": ("Happiness leaves AU12 unexplained.", "AU12 is said to be out of place in happiness"),
    "another-label": ("Anger leaves AU12 unexplained.", ""),
}


@pytest.mark.parametrize(("text", "fault"), AGAINST.values(), ids=AGAINST.keys())
def test_what_is_said_against_a_label_is_not_for_it(text: str, fault: str) -> None:
    told = ChainOfThought("AU6 and AU12 moved.", text, "The expression is best read as happiness.", "happiness")
    assert_found(fault, check(told, evidence(SMILE)))


@pytest.mark.parametrize(("aus", "text", "fault"), CASES.values(), ids=CASES.keys())
def test_false_claims_are_found_and_true_ones_left_alone(aus: str, text: str, fault: str) -> None:
    found = check(cot(text), evidence(aus, motion="mouth_corner_L:0.04:45"))
    claims = [f for f in found if "the label is" not in f]
    if not fault:
        assert claims == []
    else:
        assert any(re.search(fault, f) for f in claims), found


LABELLING = {
    "follows": (SMILE, "AU6 and AU12.", "happiness", "", ""),
    "does-not-follow": (SMILE, "AU6 and AU12.", "anger", "", "speak for happiness, the label is anger"),
    "close-second": ("4", "AU4.", "anger", "", ""),
    "far-rival": ("4", "AU4.", "sadness", "", "speak for disgust"),
    "conclusion-disagrees": (SMILE, "AU6 and AU12.", "happiness", "This is sadness.", "the conclusion names sadness"),
    "conclusion-names-rivals": ("4", "AU4.", "disgust", "Disgust, though anger is near.", ""),
    "nothing-described": (SMILE, "A face.", "happiness", "", "speak for neutral, the label is happiness"),
    "no-evidence": ("", "A face.", "fear", "", "speak for neutral"),
    "no-evidence-neutral": ("", "A still face.", "neutral", "", ""),
    "invented-evidence": ("", "AU1, AU2 and AU5.", "surprise", "", "was not measured"),
}


@pytest.mark.parametrize(("aus", "text", "label", "conclusion", "fault"), LABELLING.values(), ids=LABELLING.keys())
def test_the_label_has_to_follow_from_the_description(aus, text, label, conclusion, fault) -> None:
    found = check(cot(text, label, conclusion), evidence(aus))
    assert any(fault in f for f in found) if fault else found == []


def test_share_of_supported_claims() -> None:
    assert supported_share(cot("AU12 and AU6 with AU9 and AU25."), evidence(SMILE)) == pytest.approx(0.5)
    assert supported_share(cot("A face."), evidence(SMILE)) is None


def test_sentences_are_not_cut_in_numbers_or_parentheses() -> None:
    assert sentences("It rose (buccinator; AU14, B, +1.8) at 12.53 s. Then it fell; slowly.") == [
        "It rose (buccinator; AU14, B, +1.8) at 12.53 s", "Then it fell", "slowly",
    ]  # fmt: skip


def test_a_code_is_a_wall_between_the_words_of_its_neighbours() -> None:
    text = "A faint raise (AU1, A) and a marked left pull (AU12)."
    first, second = (claim for claim in extract(text) if claim.words[:2] == "AU")
    assert (first.side, first.letter) == (None, "A")
    assert (second.side, second.strength) == ("left", (2.0, 4.5))


def test_motion_claims() -> None:
    (claim,) = extract_motion("Flow: the right inner brow moved 3.5 % IED down and inward.")
    assert (claim.region, claim.side, claim.up, claim.out) == ("brow_inner", "right", -1, -1)
    assert claim.distance == pytest.approx(0.035)


@given(st.text(), st.text("AU12 lip corners rose left % moved 3s.;,()+-no", max_size=200))
def test_any_text_can_be_checked(a: str, b: str) -> None:
    for fault in check(ChainOfThought(a, b, a + b, "fear"), evidence(SMILE)):
        assert fault
