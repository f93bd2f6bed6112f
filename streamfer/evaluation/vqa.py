"""Questions about expressions in the words of the ME-VQA (MEGC 2025) and ME-LVQA (MEGC 2026) challenges, and streamfer's
answers to them, taken from its own events and explanations: nothing is asked of a model here.

A clip's question is about one expression: the micro event with the highest score, or the highest of any kind where there
is no micro event. A long video's question is about all events, in the order of their onsets.

| question | answered from |
|---|---|
| coarse, fine-grained expression class | the recogniser's class, the explanation's label; `others` without either |
| action unit(s) | AUs that rose by `FLOOR` or more, those with a name in the challenge; of one asked for, the strongest |
| is the action unit NAME shown | yes or no by the same list |
| on the left or right face | its side; for one on both, the side whose region moved farther, left when they are equal |
| which are present, and based on them ...; detailed analysis | the challenge's own sentence; in detail: after the observations |
| how many (micro-, macro-) expression events, type of the N-th, distinct AUs | the list of events |

`reference_clip` and `reference_video` write the same questions with the answers that annotations give, in the form of the
challenge's training files (Humphrey-0125/MEGC2025: dataset/samm.jsonl). The challenge's own files are read with
`read_questions`. The wording of ME-LVQA's answers has not been published: counts are written as digits, types as
micro-expression and macro-expression.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamfer.action_units import facs
from streamfer.errors import SourceMissing, UsageError
from streamfer.records import AUChange, Event, Kind, Side
from streamfer.reporting.folder import Explained

COARSE = ("negative", "positive", "surprise", "others")
FINE = (
    "happiness", "surprise", "fear", "disgust", "anger", "sadness", "repression", "contempt", "helpless", "pain",
    "sympathy", "confused", "others",
)  # fmt: skip
COARSE_OF = {
    "happiness": "positive", "surprise": "surprise", "fear": "negative", "disgust": "negative", "anger": "negative",
    "sadness": "negative", "repression": "negative", "contempt": "negative",
}  # fmt: skip
"""The challenge's coarse class of each fine one that has one."""
FLOOR = 0.5
"""Change (FACS units) below which an AU is no evidence: the default of explain.floor, as in the explanations."""
_ALIASES = {"lid raiser": 5, "eye closer": 43, "lip presser": 24, "lip corner depress": 15}
_AU_OF_NAME = {**{unit.name: unit.number for unit in facs.UNITS.values()}, **facs.BY_VQA_NAME, **_ALIASES}

Q_COARSE = "What is the coarse expression class?"
Q_FINE = "What is the fine-grained expression class?"
Q_DETAIL = "Please analyse the micro-expression shown in this video in detail."
Q_COUNTS = {
    "": "How many expression events appear in this video?",
    "micro": "How many micro-expression events appear in this video?",
    "macro": "How many macro-expression events appear in this video?",
}
Q_DISTINCT = "What distinct action units appear in this video?"

_COARSE, _FINE = (
    re.compile(r"what is the coarse expression class"),
    re.compile(r"what is the fine-grained expression class"),
)
_PRESENT = re.compile(r"what (?:is|are) the action (units?) present")
_AUS = re.compile(r"what (?:is|are) the action (units?)\W*$")
_SHOWN = re.compile(r"is the action unit (.+?) shown on the face")
_SIDE = re.compile(r"is the action unit (.+?) located on the left or right")
_DETAIL = re.compile(r"analy[sz]e the micro-expression|detailed analysis")
_COUNT = re.compile(r"how many (micro-|macro-)?expression events? ")
_TYPE = re.compile(r"what is the expression type of the (\d+)-?\s*(?:st|nd|rd|th)? expression event")
_DISTINCT = re.compile(r"what distinct action units appear")


@dataclass(frozen=True, slots=True)
class Question:
    """One line of a questions file. `answer` is None where it is not told."""

    id: str
    video: str
    text: str
    answer: str | None = None
    dataset: str = ""
    subject: str = ""


# ------------------------------------------------------------------------------------------- answering


def answer(question: str, explained: Sequence[Explained]) -> str:
    """The answer from the events of the clip or video. Raises UsageError for a question that is none of the above."""
    text = re.sub(r"\s+", " ", question.strip().casefold())
    events = sorted((e.event for e in explained), key=lambda e: (e.onset.time_s, e.id))
    if found := _COUNT.search(text):
        kind = (found[1] or "").rstrip("-")
        return str(sum(not kind or event.kind == kind for event in events))
    if found := _TYPE.search(text):
        place = int(found[1])
        return f"{events[place - 1].kind}-expression" if 1 <= place <= len(events) else "none"
    if _DISTINCT.search(text):
        return _names(sorted({number for event in events for number in aus_of(event)}))
    one = clip_event(explained)
    if found := _SHOWN.search(text):
        return "yes" if one and _AU_OF_NAME.get(found[1]) in aus_of(one.event) else "no"
    if found := _SIDE.search(text):
        return side_of(one.event, _AU_OF_NAME.get(found[1], 0)) if one else "left"
    if _COARSE.search(text):
        return coarse_class(one)
    if _FINE.search(text):
        return fine_class(one)
    if found := _PRESENT.search(text):
        return sentence(_asked(one, found[1]), fine_class(one), coarse_class(one))
    if found := _AUS.search(text):
        return _names(_asked(one, found[1]))
    if _DETAIL.search(text):
        told = one.result.cot.observations + " " if one and one.result and one.result.cot else ""
        return told + sentence(_asked(one, "units"), fine_class(one), coarse_class(one))
    raise UsageError(f"'{question}' is no question of ME-VQA or ME-LVQA; docs/protocols.md lists them")


def clip_event(explained: Sequence[Explained]) -> Explained | None:
    """The one expression that a clip's questions are about."""
    return max(explained, key=lambda e: (e.event.kind == "micro", e.event.score, e.event.id), default=None)


def aus_of(event: Event) -> dict[int, AUChange]:
    """AUs that rose by FLOOR or more and have a name in the challenge, by number; the stronger side where both are given."""
    found: dict[int, AUChange] = {}
    for change in event.aus:
        number = facs.parse(change.au)[0]
        if (
            change.delta >= FLOOR
            and facs.UNITS[number].vqa
            and (number not in found or change.delta > found[number].delta)
        ):
            found[number] = change
    return dict(sorted(found.items()))


def fine_class(explained: Explained | None) -> str:
    """The explanation's label; "others" for neutral or none."""
    cot = explained.result.cot if explained and explained.result else None
    return cot.label if cot and cot.label in FINE else "others"


def coarse_class(explained: Explained | None) -> str:
    """The recogniser's class where it has one of the challenge's, else that of the label."""
    recognised = explained.event.recognised if explained else None
    if recognised and recognised.label in COARSE:
        return recognised.label
    return COARSE_OF.get(fine_class(explained), "others")


def side_of(event: Event, number: int) -> str:
    """left or right, the person's own."""
    changes = [c for c in event.aus if facs.parse(c.au)[0] == number]
    if changes:
        strongest = max(changes, key=lambda c: c.delta)
        if strongest.side != "both":
            return strongest.side
    region = facs.UNITS[number].region.replace(" ", "_") if number in facs.UNITS else ""
    moved = {side: sum(m.distance for m in event.motion if m.region.startswith(region) and m.region.endswith(end))
             for side, end in (("left", "_L"), ("right", "_R"))}  # fmt: skip
    return "right" if moved["right"] > moved["left"] else "left"


def sentence(aus: Sequence[int], fine: str, coarse: str) -> str:
    """The challenge's own answer to the question that asks for everything."""
    units = f"unit present is: {_names(aus)}" if len(aus) == 1 else f"units present are: {_names(aus) or 'none'}"
    return (
        f"The action {units}. Therefore, the fine-grained expression class is {fine}, "
        f"and the coarse expression class is {coarse}."
    )


def _asked(explained: Explained | None, units: str) -> list[int]:
    """All AUs, or the strongest when the question says that there is one."""
    aus = aus_of(explained.event) if explained else {}
    if units == "unit" and aus:
        return [max(aus, key=lambda number: (aus[number].delta, -number))]
    return list(aus)


def _names(aus: Iterable[int]) -> str:
    return ", ".join(facs.UNITS[number].vqa for number in aus)


# ------------------------------------------------------------------------------------ reference answers


def reference_clip(
    dataset: str, video: str, subject: str, aus: Sequence[tuple[int, Side]], fine: str, coarse: str
) -> list[Question]:
    """ME-VQA's questions about one annotated expression, with their answers.

    The AU asked for with the answer "no" is the next one of the challenge's list that is not there, counted from the
    first that is: the challenge drew it at random.
    """
    known = [(number, side) for number, side in aus if facs.UNITS.get(number) and facs.UNITS[number].vqa]
    numbers = list(dict.fromkeys(number for number, _ in known))
    rows = [(Q_COARSE, coarse), (Q_FINE, fine)]
    if numbers:
        many = len(numbers) > 1
        rows.append(("What are the action units?" if many else "What is the action unit?", _names(numbers)))
        rows += [
            (f"Is the action unit {_names([number])} located on the left or right face?", side)
            for number, side in known
            if side != "both"
        ]
        rows.append((f"Is the action unit {_names(numbers[:1])} shown on the face?", "yes"))
        others = [n for n in facs.BY_VQA_NAME.values() if n not in numbers]
        absent = next((n for n in others if n > numbers[0]), others[0])
        rows.append((f"Is the action unit {_names([absent])} shown on the face?", "no"))
        what = (
            "are the action units present, and based on them" if many else "is the action unit present, and based on it"
        )
        rows.append(
            (
                f"What {what}, what is the fine-grained expression and the coarse expression class?",
                sentence(numbers, fine, coarse),
            )
        )
    return _numbered(dataset, video, subject, rows)


def reference_video(
    dataset: str, video: str, subject: str, kinds: Sequence[Kind], aus: Iterable[int]
) -> list[Question]:
    """ME-LVQA's questions about one long video; `kinds` in the order of the onsets."""
    rows = [(text, str(sum(not kind or k == kind for k in kinds))) for kind, text in Q_COUNTS.items()]
    named = sorted({n for n in aus if n in facs.UNITS and facs.UNITS[n].vqa})
    rows.append((Q_DISTINCT, _names(named)))
    rows += [
        (f"What is the expression type of the {place}-th expression event in this video?", f"{kind}-expression")
        for place, kind in enumerate(kinds, 1)
    ]
    return _numbered(dataset, video, subject, rows)


def _numbered(dataset: str, video: str, subject: str, rows: Sequence[tuple[str, str]]) -> list[Question]:
    return [
        Question(f"{dataset}_{video}_{number}", video, text, told, dataset, subject)
        for number, (text, told) in enumerate(rows, 1)
    ]


# ------------------------------------------------------------------------------------------------ files


def read_questions(path: Path) -> list[Question]:
    """A challenge's file, with or without answers. Raises UsageError naming the line that lacks something."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise SourceMissing(f"{path}: cannot be read ({error.strerror})") from None
    questions = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name = row.get("video") or row.get("image_id") or row["filename"]
            questions.append(
                Question(
                    str(row.get("video_id") or row["id"]), str(name), str(row["question"]),
                    None if row.get("answer") is None else str(row["answer"]),
                    str(row.get("dataset", "")), str(row.get("subject", "")),
                )
            )  # fmt: skip
        except (ValueError, KeyError, AttributeError) as error:
            raise UsageError(
                f"{path}, line {number}: needs a JSON object with id (or video_id), video (or image_id), question: {error}"
            ) from None
    return questions


def write_questions(path: Path, questions: Iterable[Question]) -> None:
    """In the form of the challenge's training files, answers included."""
    _write(
        path,
        ({"id": q.id, "dataset": q.dataset, "image_id": q.video, "subject": q.subject, "filename": q.video,
          "question": q.text, "answer": q.answer} for q in questions),
    )  # fmt: skip


def write_answers(path: Path, answered: Iterable[tuple[Question, str]]) -> None:
    """A submission: video_id, video, question, answer."""
    _write(path, ({"video_id": q.id, "video": q.video, "question": q.text, "answer": told} for q, told in answered))


def _write(path: Path, rows: Iterable[dict[str, str | None]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
