"""From a data set's annotations and streamfer's events to what the protocols compare: classes, AU tables, questions.

An emotion is mapped by datasets/emotions.py. An event's class is the recogniser's, where one was given and its classes
are those of the scheme, else what the explanation's label is in it; neutral and no explanation are no class.

AUs are compared on annotated intervals, one row each. Truth: the AUs of the annotation, in whatever side; one written as
doubtful, or among alternatives ("12 or 14"), is unknown and left out, and so is a row whose AUs could not be read at all.
Prediction: the strongest intensity of an AU in the events that share a frame with the interval, or in the rows of
faces.csv in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamfer.action_units import facs
from streamfer.errors import UsageError
from streamfer.evaluation import recognition, vqa
from streamfer.evaluation.aus import AUTable
from streamfer.evaluation.outputs import Compared, Found, compare
from streamfer.evaluation.spotting import Spot
from streamfer.evaluation.vqa_scores import Value, scores
from streamfer.records import Side
from streamfer.reporting.folder import FACES, Explained, find_folders, load

if TYPE_CHECKING:
    from streamfer.datasets.records import Annotation, Dataset


_Row = tuple[str, dict[int, float], dict[int, float], dict[int, float]]
"""Person, then by AU: predicted intensity, true presence, true intensity."""

# ---------------------------------------------------------------------------------------------- classes


def truth_class(dataset: str, scheme: int) -> Callable[[str], str | None]:
    """Emotion as written -> class of the scheme (3, 5 or 8 classes), None where it has none."""
    from streamfer.datasets import emotions

    return lambda written: emotions.scheme(written, scheme, dataset)


def given_class(scheme: int, dataset: str = "") -> Callable[[Explained], str | None]:
    """Event -> class of the scheme, None where it has none.

    That a data set's emotion is no class (of CASME II, sadness) is a rule for its clips, not for answers: a label of sadness
    is "negative" there too.
    """
    from streamfer.datasets import emotions

    classes = emotions.names_of(scheme, dataset)

    def given(explained: Explained) -> str | None:
        recognised = explained.event.recognised
        if recognised and recognised.label in classes:
            return recognised.label
        cot = explained.result.cot if explained.result else None
        if cot is None or cot.label == "neutral":
            return None
        return emotions.scheme(cot.label, scheme, "" if scheme == 3 else dataset)

    return given


def composite_answers(
    compared: Sequence[Compared], listed: Sequence[recognition.Sample] | None
) -> list[recognition.Answer]:
    """MEGC 2019: the class of each clip's best event; the clips of the challenge's list, or by its rules."""
    found = {}
    for c in compared:
        part = recognition.part_of(c.dataset)
        for clip in c.clips:
            found[recognition.clip_key(recognition.Sample(part, clip.clip.subject, clip.clip.name, 0))] = clip
    if listed is None:
        from streamfer.datasets.records import Dataset

        samples = recognition.composite(
            Dataset(c.dataset, Path(), tuple(clip.clip for clip in c.clips)) for c in compared
        )
    else:
        samples = list(listed)
        absent = [f"{s.subject} {s.clip}" for s in samples if recognition.clip_key(s) not in found]
        if absent:
            raise UsageError(
                f"{len(absent)} clips of the list are not among the results, such as {absent[0]}; the results have "
                f"{', '.join(clip.clip.name for clip in list(found.values())[:3])} ..."
            )
    place = {name: number for number, name in enumerate(recognition.CLASSES)}
    return [
        recognition.Answer(s, place.get(vqa.coarse_class(vqa.clip_event(_events(found[recognition.clip_key(s)])))))
        for s in samples
    ]


# -------------------------------------------------------------------------------------------------- AUs


def au_table(compared: Compared, only: Sequence[int] | None = None, frames: bool = False) -> tuple[AUTable, list[str]]:
    """One row per annotated interval whose AUs can be read, and what is to be said about the others."""
    rows: list[_Row] = []
    unread = 0
    for clip in compared.clips:
        for spot, note in zip(clip.truths, clip.annotations, strict=True):
            truth = true_aus(note)
            if truth is None:
                unread += 1
                continue
            predicted = _from_frames(clip, spot) if frames else _from_events(clip, spot)
            rows.append((clip.person, predicted, *truth))
    if not rows:
        raise UsageError(f"{compared.dataset}: no annotation says which action units it has")
    named = sorted({au for *_, present, _ in rows for au, there in present.items() if there == 1})
    aus = tuple(only) if only is not None else tuple(au for au in named if au in facs.UNITS)
    if not aus:
        raise UsageError(f"{compared.dataset}: its annotations name no action unit that FACS has")
    intensity = _true_intensity(rows, aus)
    notes = [f"{unread} annotations whose action units are unknown are left out"] if unread else []
    table = AUTable(
        aus, tuple(who for who, *_ in rows),
        _array([predicted for _, predicted, _, _ in rows], aus, 0.0),
        _array([present for _, _, present, _ in rows], aus, 0.0),
        intensity,
    )  # fmt: skip
    return table, notes


def true_aus(note: Annotation) -> tuple[dict[int, float], dict[int, float]] | None:
    """AU -> 1, or NaN where it is doubtful; AU -> intensity where a letter was written. None: nothing can be read.

    A range of letters (A/B) is its middle. An AU written twice, for each side, has the stronger intensity.
    """
    if note.aus is None or not note.aus.tokens:
        return None
    present: dict[int, float] = {}
    intensity: dict[int, float] = {}
    for token in note.aus.tokens:
        certain = not token.doubtful
        if certain or token.au not in present:
            present[token.au] = 1.0 if certain else math.nan
        if token.intensity is not None:
            low, high = token.intensity
            intensity[token.au] = max(intensity.get(token.au, 0.0), (low + high) / 2)
    return present, intensity


def _from_events(clip: Found, spot: Spot) -> dict[int, float]:
    found: dict[int, float] = {}
    for predicted, explained in zip(clip.predictions, clip.events, strict=True):
        apart = predicted.offset.frame < spot.onset.frame or spot.offset.frame < predicted.onset.frame
        if explained is None or apart:
            continue
        for change in explained.event.aus:
            number = facs.parse(change.au)[0]
            found[number] = max(found.get(number, 0.0), change.intensity)
    return found


def _from_frames(clip: Found, spot: Spot) -> dict[int, float]:
    from streamfer.evaluation.outputs import first_number
    from streamfer.reporting.faces_csv import header, read_chunks

    assert clip.folder is not None
    path = clip.folder / FACES
    columns = {name: facs.parse(name[:-2])[0] for name in header(path) if _is_whole_au(name)}
    first, found = first_number(clip.clip), dict.fromkeys(columns.values(), 0.0)
    for chunk in read_chunks(path, only=["frame", *columns]):
        frames = chunk["frame"] + first
        inside = chunk[(frames >= spot.onset.frame) & (frames <= spot.offset.frame)]
        for name, number in columns.items():
            highest = inside[name].max()
            found[number] = max(found[number], 0.0 if math.isnan(highest) else float(highest))
    return found


def _true_intensity(rows: Sequence[_Row], aus: Sequence[int]) -> np.ndarray | None:
    """(N, K): the letter where there is one, 0 where the AU is absent, else NaN. None when no letter was ever written."""
    letters = _array([known for *_, known in rows], aus, math.nan)
    if np.isnan(letters).all():
        return None
    absent = _array([present for _, _, present, _ in rows], aus, 0.0) == 0
    return np.where(np.isnan(letters).all(axis=0), math.nan, np.where(absent, 0.0, letters))


def _is_whole_au(column: str) -> bool:
    return column.startswith("AU") and column.endswith("_r") and column.count("_") == 1


def _array(rows: Iterable[dict[int, float]], aus: Sequence[int], missing: float) -> np.ndarray:
    return np.array([[row.get(au, missing) for au in aus] for row in rows], np.float64)


# -------------------------------------------------------------------------------------------- questions


def questions_and_answers(
    source: Path, dataset: Dataset | None, questions: Path | None, long_videos: bool, partial: bool
) -> tuple[list[vqa.Question], dict[str, str], list[str]]:
    """What is asked, what is answered (by question id), and notes. See `streamfer evaluate vqa`."""
    if (dataset is None) == (questions is None):
        raise UsageError(
            "give the questions with --questions FILE, or a data set to ask about with --dataset NAME PATH"
        )
    if questions is not None:
        asked = vqa.read_questions(questions)
        if source.suffix.lower() in (".jsonl", ".json"):
            return asked, *_submitted(source, asked)
        events = {folder.name: load(folder).explained for folder in find_folders(source)}
        notes = [f"{question.video} was not analysed" for question in asked if question.video not in events]
        if notes and not partial:
            raise UsageError(
                f"{len(set(notes))} videos of the questions have no results in {source}, such as {notes[0]}"
            )
        return asked, {q.id: vqa.answer(q.text, events.get(q.video, [])) for q in asked}, sorted(set(notes))
    assert dataset is not None
    compared = compare(dataset, source, partial)
    asked = []
    answers: dict[str, str] = {}
    for clip in compared.clips:
        own = _about_video(dataset.name, clip) if long_videos else _about_clip(dataset.name, clip)
        for question, events_asked in own:
            asked.append(question)
            answers[question.id] = vqa.answer(question.text, events_asked)
    return asked, answers, [f"{name} was not analysed" for name in compared.missing]


def vqa_scores(
    asked: Sequence[vqa.Question], answers: dict[str, str]
) -> tuple[dict[str, dict[str, Value]], dict[str, int]]:
    """Scores by data set and overall of the questions whose answer is known, and how many of what there are."""
    known = [question for question in asked if question.answer is not None]
    names = list(dict.fromkeys(question.dataset for question in known))
    groups = {name: [q for q in known if q.dataset == name] for name in names if len(names) > 1} | {"overall": known}
    counts = {"questions": len(asked), "with a known answer": len(known), "videos": len({q.video for q in asked})}
    return {name: scores(own, answers) for name, own in groups.items() if own}, counts


def _submitted(path: Path, asked: Sequence[vqa.Question]) -> tuple[dict[str, str], list[str]]:
    told = {question.id: question.answer or "" for question in vqa.read_questions(path)}
    silent = sum(question.id not in told for question in asked)
    notes = [f"{silent} questions are not answered in {path}; they count as empty answers"] if silent else []
    return {question.id: told.get(question.id, "") for question in asked}, notes


def _about_clip(dataset: str, clip: Found) -> list[tuple[vqa.Question, list[Explained]]]:
    """Questions about each micro-expression, answered from the events that share a frame with it."""
    fine_of, coarse_of = truth_class("", 8), truth_class("", 3)  # the challenge's words are the same for every data set
    asked = []
    micro = [(s, n) for s, n in zip(clip.truths, clip.annotations, strict=True) if s.kind == "micro"]
    for place, (spot, note) in enumerate(micro, 1):
        name = clip.clip.name if len(micro) == 1 else f"{clip.clip.name}_{place}"
        fine, coarse = fine_of(note.emotion) or "others", coarse_of(note.emotion) or "others"
        near = [
            event
            for predicted, event in zip(clip.predictions, clip.events, strict=True)
            if event and predicted.offset.frame >= spot.onset.frame and predicted.onset.frame <= spot.offset.frame
        ]
        for question in vqa.reference_clip(dataset, name, clip.clip.subject, _sides(note), fine, coarse):
            asked.append((question, near))
    return asked


def _about_video(dataset: str, clip: Found) -> list[tuple[vqa.Question, list[Explained]]]:
    rows = sorted(zip(clip.truths, clip.annotations, strict=True), key=lambda row: row[0].onset.frame)
    aus = [number for _, note in rows for number, _ in _sides(note)]
    asked = vqa.reference_video(dataset, clip.clip.name, clip.clip.subject, [s.kind for s, _ in rows], aus)
    return [(question, _events(clip)) for question in asked]


def _sides(note: Annotation) -> list[tuple[int, Side]]:
    """AUs of an annotation with their sides, those that are certain."""
    return [] if note.aus is None else [(token.au, token.side) for token in note.aus.tokens if not token.doubtful]


def _events(clip: Found) -> list[Explained]:
    return [event for event in clip.events if event is not None]
