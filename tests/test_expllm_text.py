"""The chain of thought as text: what is written is read back, and what models write is read or refused with reasons."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfer.errors import ParseError
from streamfer.expllm.text import (
    LABEL_WORDS,
    MAX_CHARS,
    SECTIONS,
    facs_letter,
    format_cot,
    normalise,
    parse_cot,
    parse_sections,
    strength_word,
    word_count,
)
from streamfer.records import LABELS, ChainOfThought

COT = ChainOfThought("The lip corners rose (AU12, B, +1.8).", "A smile.", "Probably happiness.", "happiness")
BODY = ("a b", "c d", "e f")


def layout(header: str, *, label: str = "Label: fear", gap: str = "\n") -> str:
    numbered = zip((1, 2, 3), SECTIONS, BODY, strict=True)
    return "\n\n".join([*(header.format(n=n, name=name) + gap + body for n, name, body in numbered), label])


ONE_LINE = "**Key Observations:** a b **Overall Emotional Interpretation:** c d **Conclusion:** e f"
ACCEPTED = {
    "canonical": layout("**{name}:**"),
    "colon-outside-bold": layout("**{name}**:"),
    "colon-outside-trailing-spaces": layout("**{name}**:  "),
    "no-bold": layout("{name}:"),
    "no-bold-no-colon": layout("{name}"),
    "same-line": layout("**{name}:**", gap=" "),
    "same-line-plain": layout("{name}:", gap=" "),
    "hash": layout("## {name}"),
    "hash-numbered": layout("### {n}. {name}"),
    "hash-bold": layout("### **{name}**"),
    "numbered": layout("{n}. {name}:"),
    "numbered-parenthesis": layout("{n}) {name}:"),
    "numbered-bold": layout("{n}. **{name}:**"),
    "number-inside-bold": layout("**{n}. {name}**"),
    "bullet": layout("- **{name}**:"),
    "underscores": layout("__{name}__"),
    "quoted": layout("> {name}:"),
    "three-stars": layout("***{name}:***"),
    "extra-space": layout("   **  {name} :**   "),
    "full-width-colon": layout("{name}："),
    "upper": layout("**{name}:**").upper().replace("A B", "a b").replace("C D", "c d").replace("E F", "e f"),
    "lower": layout("{name}:").lower(),
    "crlf": layout("**{name}:**").replace("\n", "\r\n"),
    "no-blank-lines": layout("**{name}:**").replace("\n\n", "\n"),
    "one-line": ONE_LINE + "\nLabel: fear",
    "everything-on-one-line": ONE_LINE + " **Label:** fear",
    "chatter-before": "Sure! Here is my analysis of the face.\n\n" + layout("**{name}:**"),
    "chatter-after": layout("**{name}:**") + "\n\nLet me know if you need anything else!",
    "rule-between": layout("**{name}:**").replace("\n\n", "\n\n---\n\n"),
    "label-bare": layout("**{name}:**", label="fear"),
    "label-bare-bold": layout("**{name}:**", label="**Fear**"),
    "label-bare-stop": layout("**{name}:**", label="Fear."),
    "label-bold-key": layout("**{name}:**", label="**Label:** Fear"),
    "label-bold-all": layout("**{name}:**", label="**Label: Fear**"),
    "label-header": layout("**{name}:**", label="### Label\n\nfear"),
    "label-final": layout("**{name}:**", label="Final label: fear"),
    "label-expression": layout("**{name}:**", label="Expression: Fear"),
    "label-emotion-label": layout("**{name}:**", label="Emotion label: fear"),
    "label-is": layout("**{name}:**", label="The label is *fear*."),
    "label-quoted": layout("**{name}:**", label='Label: "fear"'),
    "label-code": layout("**{name}:**", label="Label: `fear`"),
    "label-equals": layout("**{name}:**", label="label = fear"),
    "label-adjective": layout("**{name}:**", label="Label: fearful"),
    "label-synonym": layout("**{name}:**", label="Label: afraid"),
    "label-two-forms": layout("**{name}:**", label="Label: fear (fearful)"),
    "label-confidence": layout("**{name}:**", label="Label: fear (confidence 0.62)"),
    "label-other-in-brackets": layout("**{name}:**", label="Label: fear (not surprise)"),
    "label-then-sentence": layout("**{name}:**", label="Label: fear. This does not mean that anger is absent."),
    "label-twice-the-same": layout("**{name}:**", label="Label: fear\nExpression: fearful"),
    "label-inline": layout("**{name}:**", label="").rstrip() + " Label: fear",
}


@pytest.mark.parametrize("text", [pytest.param(text, id=key) for key, text in ACCEPTED.items()])
def test_layouts_that_models_write_are_read(text: str) -> None:
    assert parse_cot(text) == ChainOfThought(*BODY, "fear")


@pytest.mark.parametrize("word", ["Fear", "**Fear.**", "fear", "Happiness"])
def test_one_word_is_a_conclusion_not_a_label(word: str) -> None:
    text = layout("**{name}:**").replace("e f", word)
    assert parse_cot(text) == ChainOfThought(*BODY[:2], word, "fear")
    with pytest.raises(ParseError, match="no label line"):
        parse_cot(layout("**{name}:**", label="").replace("e f", word))


REFUSED = {
    "empty": ("", "Key Observations' is missing"),
    "prose": ("The person is happy.", "Key Observations' is missing"),
    "no-conclusion": (layout("**{name}:**").split("**Conclusion")[0] + "Label: fear", "Conclusion' is missing"),
    "empty-section": (layout("**{name}:**").replace("c d", ""), "Interpretation' is empty"),
    "twice": (layout("**{name}:**") + "\n\n**Conclusion:** x", "Conclusion' appears twice"),
    "wrong-order": ("Conclusion: x\n\n" + layout("{name}:").replace("Conclusion:\ne f\n\n", ""), "not in the order"),
    "no-label": (layout("**{name}:**", label=""), "no label line"),
    "label-first": ("Label: fear\n\n" + layout("**{name}:**", label=""), "the label comes before the text"),
    "label-unknown": (layout("**{name}:**", label="Label: boredom"), "'boredom' is not one of the labels neutral"),
    "label-two": (layout("**{name}:**", label="Label: fear or surprise"), "conflicting labels: fear, surprise"),
    "label-slash": (layout("**{name}:**", label="Label: anger/disgust"), "conflicting labels"),
    "label-lines-conflict": (layout("**{name}:**") + "\nExpression: sadness", "conflicting labels: fear, sadness"),
    "label-denied": (layout("**{name}:**", label="Label: not fear"), "denies a label"),
    "too-long": ("a" * (MAX_CHARS + 1), "characters"),
}


@pytest.mark.parametrize(("text", "reason"), [pytest.param(*case, id=key) for key, case in REFUSED.items()])
def test_texts_that_cannot_be_used_are_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ParseError, match=reason) as refusal:
        parse_cot(text)
    assert refusal.value.reasons


@pytest.mark.parametrize("word", sorted(LABEL_WORDS))
def test_every_form_of_a_label_is_mapped(word: str) -> None:
    assert parse_cot(layout("**{name}:**", label=f"Label: {word.title()}")).label == LABEL_WORDS[word]


def test_all_eight_labels_have_forms() -> None:
    assert set(LABEL_WORDS.values()) == set(LABELS)


def test_the_word_conclusion_in_prose_is_no_header() -> None:
    text = layout("**{name}:**").replace("c d", "The\nconclusion of the movement was slow, and its label remains open")
    assert "conclusion of the movement" in parse_cot(text).interpretation


def test_sections_without_a_label_can_be_read_alone() -> None:
    assert parse_sections(layout("**{name}**: ", label="")) == dict(zip(SECTIONS, BODY, strict=True))
    with pytest.raises(ParseError, match="missing"):
        parse_sections("**Conclusion:** a")


def test_a_section_that_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        format_cot(ChainOfThought("a\n**Conclusion:** b", "c", "d", "fear"))
    with pytest.raises(ValueError, match="cannot be written"):
        format_cot(ChainOfThought("", "c", "d", "fear"))


PROSE = st.text("abcdefghijklmnopqrstuvwxyz ,.;()+-0123456789AU\n").map(lambda s: "The face: " + s + " end.")


@given(PROSE, PROSE, PROSE, st.sampled_from(LABELS))
def test_prose_comes_back_unchanged(a: str, b: str, c: str, label) -> None:
    cot = ChainOfThought(a, b, c, label)
    assert parse_cot(format_cot(cot)) == normalise(cot)


@given(st.text(), st.text(), st.text(), st.sampled_from(LABELS))
def test_any_section_is_written_faithfully_or_refused(a: str, b: str, c: str, label) -> None:
    cot = ChainOfThought(a, b, c, label)
    try:
        text = format_cot(cot)
    except ValueError:
        return
    assert parse_cot(text) == normalise(cot)


MARKS = ["**", "*", "__", ":", "\n", "\n\n", "#", "1.", "- ", " ", "é", "\x00", ">"]
PIECES = st.sampled_from([*SECTIONS, "Label", "fear", "happy", "not", "is", *MARKS])


@given(st.one_of(st.text(), st.lists(PIECES, max_size=60).map("".join)))
def test_any_text_is_read_or_refused_never_a_crash(text: str) -> None:
    try:
        cot = parse_cot(text)
    except ParseError as error:
        assert error.reasons
        assert all(reason and reason[0] != " " for reason in error.reasons)
    else:
        assert cot.label in LABELS
        assert cot.observations and cot.interpretation and cot.conclusion


@pytest.mark.parametrize("piece", ["*", " ", "_", "#", "label ", "\n", "- ", "Conclusion ", "**Label", "is"])
def test_repetitive_text_takes_no_time(piece: str) -> None:
    with pytest.raises(ParseError):
        parse_cot((piece * MAX_CHARS)[:MAX_CHARS])  # the suite's timeout is the assertion on time


@pytest.mark.parametrize(
    ("intensity", "letter", "word"),
    [(0.0, "-", "barely measurable"), (0.49, "-", "barely measurable"), (0.5, "A", "faint"), (1.0, "A", "faint"),
     (1.49, "A", "faint"), (1.5, "B", "slight"), (2.5, "C", "marked"), (3.49, "C", "marked"), (3.5, "D", "strong"),
     (4.5, "E", "maximal"), (5.0, "E", "maximal")],
)  # fmt: skip
def test_strength_words_follow_the_facs_letters(intensity: float, letter: str, word: str) -> None:
    assert (facs_letter(intensity), strength_word(intensity)) == (letter, word)


def test_word_count_leaves_headers_out() -> None:
    assert word_count(COT) == 11
