"""Scores of ME-VQA answers: UF1 and UAR of the coarse and of the fine question, BLEU and ROUGE-1 over all answers.

Classes are those that the reference has; an answer outside the list counts as none (confusion.py). An answer may be a
sentence: its class is the text itself, else what follows "expression class is", else its first word that is a class.
BLEU and ROUGE-1 come in the two variants of text_scores.py. A question that was not answered is an empty answer, not
one left out (Humphrey's script leaves it out, which rewards silence). Questions of ME-LVQA have a `right` share: equal to
the reference but for case, spaces and full stop, lists of AUs in any order; the challenge's own formula is not published.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from streamfer.evaluation import bootstrap
from streamfer.evaluation.confusion import confusion, uar, uf1
from streamfer.evaluation.folds import person
from streamfer.evaluation.text_scores import bleu_sums, corpus_bleu, rouge1, sentence_bleu, words
from streamfer.evaluation.vqa import COARSE, FINE, Q_COARSE, Q_FINE, Question


@dataclass(frozen=True, slots=True)
class Value:
    """One score, its 95 % interval over subjects (videos where nobody says whose they are), and of how many answers."""

    value: float
    low: float
    high: float
    answers: int


def scores(references: Iterable[Question], answers: dict[str, str]) -> dict[str, Value]:
    """`answers` by question id. Measures without a question of their kind are left out."""
    asked = list(references)
    unanswered = [q.id for q in asked if q.answer is None]
    if unanswered:
        raise ValueError(f"{len(unanswered)} questions have no reference answer, such as {unanswered[0]}")
    found: dict[str, Value] = {}
    for name, question, vocabulary in (("coarse", Q_COARSE, COARSE), ("fine", Q_FINE, FINE)):
        own = [q for q in asked if _same(q.text, question)]
        classes = sorted({class_in(q.answer or "", vocabulary) or "" for q in own} - {""})
        own = [q for q in own if class_in(q.answer or "", vocabulary) in classes]
        if not own:
            continue
        table = _by_person(own, lambda q, v=vocabulary, c=classes: confusion(  # type: ignore[misc]
            [class_in(q.answer or "", v)], [class_in(answers.get(q.id, ""), v)], c))  # fmt: skip
        found[f"uf1_{name}"] = _value(table, uf1, len(own))
        found[f"uar_{name}"] = _value(table, uar, len(own))
    if asked:
        texts = _by_person(asked, lambda q: _text_row(answers.get(q.id, ""), q.answer or ""))
        for place, name in enumerate(("bleu_sentence", "rouge1_f1", "rouge1_recall", "right")):
            found[name] = _value(
                texts[:, [10 + place, 14]], lambda s: bootstrap.ratio(s[..., 0], s[..., 1]), len(asked)
            )
        found["bleu_corpus"] = _value(texts[:, :10], corpus_bleu, len(asked))
    return found


def class_in(text: str, vocabulary: Sequence[str]) -> str | None:
    """The class that an answer names, None for none."""
    plain = text.strip().casefold().rstrip(".")
    plain = {"other": "others"}.get(plain, plain)
    if plain in vocabulary:
        return plain
    after = re.search(r"expression class is:? (\w+)", plain)
    candidates = ([after[1]] if after else []) + words(plain)
    return next((word for word in candidates if word in vocabulary), None)


def is_right(answer: str, reference: str) -> bool:
    """The same but for case, spaces and full stop; lists in any order."""

    def parts(text: str) -> list[str]:
        return sorted(re.sub(r"\s+", " ", part).strip() for part in text.casefold().rstrip(". ").split(","))

    return parts(answer) == parts(reference)


def _text_row(answer: str, reference: str) -> np.ndarray:
    """(15,): BLEU's sums, then sentence BLEU, ROUGE-1 F1, ROUGE-1 recall, right, one."""
    mine, theirs = words(answer), words(reference)
    split = sentence_bleu(answer.casefold().split(), reference.casefold().split())
    _, recall, f1 = rouge1(mine, theirs)
    return np.append(bleu_sums(mine, theirs), [split, f1, recall, is_right(answer, reference), 1.0])


def _by_person(questions: Iterable[Question], row: Callable[[Question], np.ndarray]) -> np.ndarray:
    """(S, ...) sums of each subject."""
    table: dict[str, np.ndarray] = {}
    for question in questions:
        who = person(question.dataset, question.subject) if question.subject else f"{question.dataset}/{question.video}"
        table[who] = table.get(who, 0) + row(question)
    return np.array(list(table.values()))


def _value(table: np.ndarray, score: Callable[[np.ndarray], np.ndarray], answers: int) -> Value:
    return Value(float(score(table.sum(axis=0))), *bootstrap.interval(table, score), answers)


def _same(text: str, question: str) -> bool:
    return re.sub(r"\s+", " ", text.strip().casefold()).rstrip("?") == question.casefold().rstrip("?")
