"""ME-VQA: the challenge's own records, answers from events, BLEU and ROUGE-1 against the reference packages' values."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfer.errors import UsageError
from streamfer.evaluation import vqa
from streamfer.evaluation.text_scores import bleu_sums, corpus_bleu, rouge1, sentence_bleu, words
from streamfer.evaluation.vqa_scores import class_in, is_right, scores
from streamfer.records import ChainOfThought, Recognised, Result
from streamfer.reporting.folder import Explained
from tests.expllm_events import event

ANSWERS = [
    "The action units present are: brow lowerer, lid tightener. Therefore, the fine-grained expression class is anger, "
    "and the coarse expression class is negative.",
    "brow lowerer", "yes", "positive",
]  # fmt: skip
REFERENCES = [
    "The action unit present is: brow lowerer. Therefore, the fine-grained expression class is disgust, and the coarse "
    "expression class is negative.",
    "brow lowerer, lid tightener", "no", "positive",
]  # fmt: skip


def test_corpus_bleu_of_sacrebleu() -> None:
    """sacrebleu 2.6.0, smooth_method="none", tokenize="none" on the same words: 54.00054830831831."""
    sums = sum(bleu_sums(words(a), words(r)) for a, r in zip(ANSWERS, REFERENCES, strict=True))
    assert corpus_bleu(np.asarray(sums)) == pytest.approx(0.5400054830831831)


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [*zip(ANSWERS, REFERENCES, [0.49589842324123024, 0.05501080739920602, 0, 0.1778279410038923], strict=True)],
    ids=["sentence", "half", "wrong", "one_word"],
)
def test_sentence_bleu_of_nltk(answer: str, reference: str, expected: float) -> None:
    """NLTK 3.10.4, sentence_bleu with SmoothingFunction().method1."""
    assert sentence_bleu(answer.lower().split(), reference.lower().split()) == pytest.approx(expected)


def test_rouge1_by_hand() -> None:
    precision, recall, f1 = rouge1(words("the brow is lowered the"), words("The brow was lowered."))
    assert (precision, recall) == (3 / 5, 3 / 4)  # "the" counts once
    assert f1 == pytest.approx(2 * 0.6 * 0.75 / 1.35)
    assert rouge1([], []) == (1, 1, 1)
    assert rouge1(["a"], []) == (0, 0, 0)


_texts = st.lists(st.sampled_from(["brow", "lip", "jaw", "raiser"]), max_size=8)


@given(_texts, _texts)
def test_text_score_bounds(a: list[str], b: list[str]) -> None:
    assert 0 <= float(corpus_bleu(bleu_sums(a, b))) <= 1 + 1e-12
    assert 0 <= sentence_bleu(a, b) <= 1 + 1e-12
    precision, recall, f1 = rouge1(a, b)
    assert rouge1(b, a) == (recall, precision, f1)
    if a:
        assert rouge1(a, a) == (1, 1, 1)
    if len(a) >= 4:
        assert float(corpus_bleu(bleu_sums(a, a))) == pytest.approx(1) == sentence_bleu(a, a)


# --------------------------------------------------------------------------------------------- answers


def explained(aus: str, label: str = "", kind: str = "micro", score: float = 0.8, **more) -> Explained:
    told = None
    if label:
        cot = ChainOfThought("The brow is lowered.", "A negative state.", "Anger.", label)  # type: ignore[arg-type]
        told = Result("e", cot, True, (), "composer", "rules", "1", "cot_first", 1, 0, 0.0, "w")
    return Explained(replace(event(aus, kind, **more), score=score), told)


CLIP = [
    explained("4:2 L7:1 27:3 9:0.4 12:-1", "anger"), explained("12", "happiness", "macro", 0.99), explained("1", "fear", score=0.2),
]  # fmt: skip

ASKED = {
    "What is the coarse expression class?": "negative",
    "What is the fine-grained expression class?": "anger",
    "What are the action units?": "brow lowerer, lid tightener",  # 27 has no name there, 9 is faint, 12 fell
    "What is the action unit?": "brow lowerer",
    "Is the action unit brow lowerer shown on the face?": "yes",
    "Is the action unit lip corner puller shown on the face?": "no",
    "Is the action unit lid tightener located on the left or right face?": "left",
    "What are the action units present, and based on them, what is the fine-grained expression and the coarse expression class?":
        "The action units present are: brow lowerer, lid tightener. Therefore, the fine-grained expression class is anger, "
        "and the coarse expression class is negative.",
    "What is the action unit present, and based on it, what is the fine-grained expression and the coarse expression class?":
        "The action unit present is: brow lowerer. Therefore, the fine-grained expression class is anger, and the coarse "
        "expression class is negative.",
    "Please analyse the micro-expression shown in this video in detail.":
        "The brow is lowered. The action units present are: brow lowerer, lid tightener. Therefore, the fine-grained "
        "expression class is anger, and the coarse expression class is negative.",
    "How many expression events appear in this video?": "3",
    "How many micro-expression events appear in this video?": "2",
    "How many macro-expression events appear in this video?": "1",
    "What distinct action units appear in this video?":
        "inner brow raiser, brow lowerer, lid tightener, lip corner puller",
    "What is the expression type of the 4-th expression event in this video?": "none",
}  # fmt: skip


@pytest.mark.parametrize(("question", "expected"), ASKED.items(), ids=[q[:60] for q in ASKED])
def test_answers(question: str, expected: str) -> None:
    assert vqa.answer(question, CLIP) == expected
    assert vqa.answer(f"  {question.upper()} ", CLIP) == expected  # however it is written


@pytest.mark.parametrize("nth", ["1-th", "1st", "1-st"])
def test_type_of_the_nth_event_is_by_onset(nth: str) -> None:
    late = explained("12", kind="micro")
    early = replace(late, event=replace(event("4", "macro", id="e0"), onset=replace(late.event.onset, time_s=1.0)))
    assert vqa.answer(f"What is the expression type of the {nth} expression event in this video?", [late, early]) == "macro-expression"


def test_nothing_found() -> None:
    assert vqa.answer(vqa.Q_COARSE, []) == "others"
    assert vqa.answer("What are the action units?", []) == ""
    assert vqa.answer("Is the action unit dimpler shown on the face?", []) == "no"
    assert vqa.answer(vqa.Q_COUNTS["micro"], []) == "0"
    assert vqa.answer(vqa.Q_DETAIL, []).startswith("The action units present are: none.")


def test_the_recogniser_decides_the_coarse_class() -> None:
    one = explained("4", "anger")
    one = replace(one, event=replace(one.event, recognised=Recognised("surprise", 0.9, "m")))
    assert vqa.answer(vqa.Q_COARSE, [one]) == "surprise"
    assert vqa.answer(vqa.Q_FINE, [one]) == "anger"


def test_side_of_a_movement_on_both_sides_is_where_it_is_larger() -> None:
    question = "Is the action unit lip corner puller located on the left or right face?"
    assert vqa.answer(question, [explained("12", motion="mouth_corner_L:0.02:90 mouth_corner_R:0.05:90")]) == "right"
    assert vqa.answer(question, [explained("12", motion="mouth_corner_L:0.02:90")]) == "left"


def test_unknown_question() -> None:
    with pytest.raises(UsageError, match="'What colour is the wall\\?' is no question of ME-VQA"):
        vqa.answer("What colour is the wall?", CLIP)


SAMM_006_5_10 = [  # the challenge's own records of this clip (Humphrey-0125/MEGC2025: dataset/samm.jsonl)
    ("What is the coarse expression class?", "negative"),
    ("What is the fine-grained expression class?", "fear"),
    ("What are the action units?", "lip stretcher, neck tightener"),
    ("Is the action unit lip stretcher located on the left or right face?", "left"),
    ("Is the action unit neck tightener shown on the face?", "yes"),
    ("Is the action unit outer brow raiser shown on the face?", "no"),
    ("What are the action units present, and based on them, what is the fine-grained expression and the coarse expression class?",
     "The action units present are: lip stretcher, neck tightener. Therefore, the fine-grained expression class is fear, and the "
     "coarse expression class is negative."),
]  # fmt: skip


def test_reference_has_the_challenge_s_form() -> None:
    made = vqa.reference_clip("samm", "006_5_10", "6", [(20, "left"), (21, "both")], "fear", "negative")
    assert [q.id for q in made] == [f"samm_006_5_10_{i}" for i in range(1, 8)]
    drawn = {4, 5}  # which AU is asked for is drawn at random there
    same = [(q.text, q.answer) for i, q in enumerate(made) if i not in drawn]
    assert same == [row for i, row in enumerate(SAMM_006_5_10) if i not in drawn]
    assert [made[i].answer for i in sorted(drawn)] == ["yes", "no"]
    assert vqa.reference_clip("samm", "c", "6", [(4, "both")], "anger", "negative")[2].text == "What is the action unit?"
    assert len(vqa.reference_clip("samm", "c", "6", [], "anger", "negative")) == 2


def test_reference_of_a_long_video() -> None:
    made = vqa.reference_video("samm", "1", "1", ["macro", "micro", "micro"], [12, 4, 12, 45])
    assert [q.answer for q in made] == [
        "3", "2", "1", "brow lowerer, lip corner puller", "macro-expression", "micro-expression", "micro-expression",
    ]  # fmt: skip
    assert made[-1].text == "What is the expression type of the 3-th expression event in this video?"


def test_files(tmp_path: Path) -> None:
    asked = vqa.reference_clip("samm", "006_5_10", "6", [(20, "left")], "fear", "negative")
    vqa.write_questions(tmp_path / "q.jsonl", asked)
    assert vqa.read_questions(tmp_path / "q.jsonl") == asked
    first = json.loads((tmp_path / "q.jsonl").read_text().splitlines()[0])
    assert first == {
        "id": "samm_006_5_10_1", "dataset": "samm", "image_id": "006_5_10", "subject": "6", "filename": "006_5_10",
        "question": "What is the coarse expression class?", "answer": "negative",
    }  # fmt: skip
    vqa.write_answers(tmp_path / "a.jsonl", [(asked[0], "positive")])
    assert json.loads((tmp_path / "a.jsonl").read_text()) == {
        "video_id": "samm_006_5_10_1", "video": "006_5_10", "question": asked[0].text, "answer": "positive",
    }  # fmt: skip
    (tmp_path / "bad.jsonl").write_text('{"id": "1", "question": "?"}\n')
    with pytest.raises(UsageError, match="line 1: needs a JSON object with id"):
        vqa.read_questions(tmp_path / "bad.jsonl")


# ---------------------------------------------------------------------------------------------- scores


def test_scores_by_hand() -> None:
    told = [("negative", "negative"), ("negative", "positive"), ("positive", "positive"), ("positive", "")]
    asked = [vqa.Question(str(i), f"v{i}", vqa.Q_COARSE, truth, "samm", f"s{i}") for i, (truth, _) in enumerate(told)]
    found = scores(asked, {str(i): given for i, (_, given) in enumerate(told)})
    # negative: TP 1 FN 1 FP 0 -> 2/3; positive: TP 1 FN 1 FP 1 -> 1/2. Surprise is not in the reference
    assert found["uf1_coarse"].value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["uar_coarse"].value == pytest.approx(1 / 2)
    assert found["right"].value == pytest.approx(1 / 2)
    assert found["rouge1_f1"].value == pytest.approx(1 / 2)
    assert found["uf1_coarse"].low <= found["uf1_coarse"].value <= found["uf1_coarse"].high
    assert "uf1_fine" not in found


def test_the_reference_answers_itself() -> None:
    asked = [q for i, fine in enumerate(["fear", "anger"])
             for q in vqa.reference_clip("samm", f"c{i}", str(i), [(20, "left"), (4, "both")], fine, "negative")]  # fmt: skip
    found = scores(asked, {q.id: q.answer or "" for q in asked})
    assert all(found[name].value == pytest.approx(1) for name in found if name != "bleu_sentence")
    nothing = scores(asked, {})
    assert all(value.value == 0 for value in nothing.values())
    assert scores([], {}) == {}
    with pytest.raises(ValueError, match="1 questions have no reference answer, such as x"):
        scores([vqa.Question("x", "v", vqa.Q_COARSE)], {})


CLASSES = {
    "plain": ("Negative.", "negative"), "sentence": ("The coarse expression class is positive.", "positive"),
    "other": ("other", "others"), "outside": ("Arousal", None), "empty": ("", None),
    "first_word": ("surprise, not negative", "surprise"),
    "after_the_phrase": ("A negative look; the coarse expression class is: positive", "positive"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CLASSES.values(), ids=CLASSES)
def test_class_in(text: str, expected: str | None) -> None:
    assert class_in(text, vqa.COARSE) == expected


def test_is_right() -> None:
    assert is_right("Lid tightener,  brow lowerer.", "brow lowerer, lid tightener")
    assert not is_right("brow lowerer", "brow lowerer, lid tightener")


def test_one_subject_has_no_interval() -> None:
    asked = vqa.reference_clip("samm", "c", "1", [(4, "both")], "anger", "negative")
    assert math.isnan(scores(asked, {})["right"].low)
