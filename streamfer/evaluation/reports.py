"""From a compared data set to what a paper needs: the protocol in one line, how many of what, scores with intervals.

One function per protocol. A `Report` is plain: the command line prints it as a table or as JSON, and whatever is not in
it was not said. Formulas are in the modules of the protocols; docs/protocols.md has them together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from streamfer.evaluation import aus as au_measures
from streamfer.evaluation import recognition
from streamfer.evaluation.apex import apex_scores, ranking
from streamfer.evaluation.outputs import Compared, Found
from streamfer.evaluation.spotting import IoUMode, Spotting, evaluate
from streamfer.evaluation.strs import Labelled, strs
from streamfer.evaluation.thresholds import Thresholds
from streamfer.evaluation.vqa_scores import Value
from streamfer.records import Kind
from streamfer.reporting.folder import Explained

INTERVAL = "95 % interval: subjects drawn again with replacement"


@dataclass(frozen=True, slots=True)
class Row:
    """One score. `of` says what it was counted over."""

    group: str
    measure: str
    value: float
    low: float
    high: float
    of: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one protocol."""

    protocol: str
    counts: dict[str, int]
    rows: tuple[Row, ...]
    threshold: str = ""
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = field(default=())  # true by given class, last column without an answer


def spotting(compared: Compared, thresholds: Thresholds, iou: float, mode: IoUMode) -> tuple[Report, Spotting]:
    """MEGC spotting: micro, macro, overall."""
    used = thresholds.apply(compared)
    result = evaluate(used.truths, used.predictions, used.subjects, iou, mode)
    rows = []
    groups: tuple[Kind | str, ...] = ("micro", "macro", "overall")
    for group in groups:
        counts = result.counts(group)  # type: ignore[arg-type]
        of = f"TP {counts.hits} FP {counts.false_alarms} FN {counts.missed}"
        for measure in ("f1", "precision", "recall"):
            low, high = result.interval(measure, group, subjects=used.subjects)  # type: ignore[arg-type]
            rows.append(Row(group, measure, getattr(counts, measure), low, high, of))
    protocol = (
        f"MEGC spotting on {compared.dataset}: IoU >= {iou:g} ({mode}), kinds must agree, one to one, largest overlap "
        f"first, all videos as one; {INTERVAL}"
    )
    return Report(protocol, _counts(used), tuple(rows), thresholds.sentence, _notes(compared)), result


def spot_then_recognise(
    compared: Compared,
    thresholds: Thresholds,
    iou: float,
    mode: IoUMode,
    truth_class: Callable[[str], str | None],
    given_class: Callable[[Explained], str | None],
    official: bool = False,
) -> Report:
    """STRS over micro-expressions. `truth_class` maps an emotion as written, `given_class` an event."""
    used = thresholds.apply(compared)
    truths = [
        Labelled(spot, clip.person, truth_class(note.emotion))
        for clip in used.clips
        for spot, note in zip(clip.truths, clip.annotations, strict=True)
        if spot.kind == "micro"
    ]
    found = [
        Labelled(spot, clip.person, given_class(event) if event else None)
        for clip in used.clips
        for spot, event in zip(clip.predictions, clip.events, strict=True)
        if spot.kind == "micro"
    ]
    result = strs(truths, found, iou, mode, official)
    counts, scores = result.counts, result.scores()
    spotted = f"TP {counts.hits} FP {counts.false_alarms} FN {counts.missed}"
    classed = f"{result.confusion.sum()} spotted with a class"
    rows = [
        Row("", name, value, *result.interval(name), spotted if name in ("strs", "f1_spot") else classed)
        for name, value in scores.items()
    ]
    notes = list(_notes(compared))
    if official:
        notes.append(
            "counted as the published script does, its errors included (docs/protocols.md); not for new results"
        )
    if without := sum(item.label is None for item in truths):
        notes.append(f"{without} true micro-expressions have no class in this scheme: they count for spotting only")
    if without := sum(item.label is None for item in found):
        notes.append(f"{without} predicted ones have no class (no explanation, or neutral): wrong in the analysis")
    protocol = (
        f"STRS on {compared.dataset}: F1_spot x F1_analysis of micro-expressions, IoU >= {iou:g} ({mode}), F1_analysis of the "
        f"mean precision and recall of {len(result.classes)} classes over what was spotted; {INTERVAL}"
    )
    return Report(
        protocol,
        _counts(used),
        tuple(rows),
        thresholds.sentence,
        tuple(notes),
        result.classes,
        _matrix(result.confusion),
    )


def apex(compared: Compared, thresholds: Thresholds, iou: float, mode: IoUMode) -> Report:
    """Apex error and success, AP over IoU, per kind."""
    used = thresholds.apply(compared)
    result = evaluate(used.truths, used.predictions, used.subjects, iou, mode)
    rows = []
    for kind in ("micro", "macro"):
        truths = [t for t in used.truths if t.kind == kind]
        scored = apex_scores([p for p in result.pairs if p.truth.kind == kind], truths, used.subjects)
        for name, value in scored.scores().items():
            of = f"{len(truths)} annotated" if name == "asr_all" else f"{scored.pairs} spotted with both apexes"
            rows.append(Row(kind, name, value, *scored.interval(name), of))
        ranked = ranking(truths, [p for p in used.predictions if p.kind == kind], used.subjects, mode=mode)
        made = f"{len(ranked.scores)} events, {len(truths)} annotated"
        rows.append(Row(kind, "ap_50_95", ranked.average_precision(), *ranked.interval(), made))
    protocol = (
        f"Apex on {compared.dataset}: error over spotted intervals (IoU >= {iou:g}, {mode}), success strictly inside the true "
        f"interval; AP over IoU .50:.05:.95, 101 points of recall; {INTERVAL}"
    )
    return Report(protocol, _counts(used), tuple(rows), thresholds.sentence, _notes(compared))


def composite(answers: Sequence[recognition.Answer], what: str, notes: Sequence[str] = ()) -> Report:
    """MEGC 2019 composite recognition, from pooled answers."""
    result = recognition.evaluate(answers)
    parts: list[str | None] = [None, *(p for p in recognition.PARTS if p in result.parts)]
    rows = []
    for part in parts if len(parts) > 2 else parts[1:]:
        clips = int(result.of(part).sum())
        for name, value in result.scores(part).items():
            rows.append(
                Row(
                    part or "full",
                    name,
                    value,
                    *result.interval(name, part),
                    f"{clips} clips, {result.subjects(part)} subjects",
                )
            )
    notes = [*notes, *recognition.differences([a.sample for a in answers])]
    if left := sum(a.given is None for a in answers):
        notes.append(f"{left} clips got no answer: each is a miss of its class")
    protocol = f"MEGC 2019 composite recognition, {what}: 3 classes, predictions of all folds pooled, no averages of folds; {INTERVAL}"
    counts = {"clips": len(answers), "subjects": len(result.people)}
    return Report(
        protocol, counts, tuple(rows), notes=tuple(notes), classes=recognition.CLASSES, confusion=_matrix(result.of())
    )


def action_units(
    compared: Compared, table: au_measures.AUTable, threshold: float, source: str, notes: Sequence[str] = ()
) -> Report:
    """AUs of annotated intervals: averages first, then each AU."""
    measured = au_measures.measure(table, threshold)
    rows = [
        Row("mean", name, m.average, *m.interval, f"{np.isfinite(list(m.per_au.values())).sum()} AUs")
        for name, m in measured.items()
    ]
    for k, number in enumerate(table.aus):
        there = int(np.nansum(table.present[:, k]))
        for name in ("f1", "auc"):
            rows.append(
                Row(
                    f"AU{number}",
                    name,
                    measured[name].per_au[number],
                    np.nan,
                    np.nan,
                    f"there in {there} of {len(table.people)}",
                )
            )
    protocol = (
        f"AUs on {compared.dataset}: one row per annotated interval, predicted from {source}, present at intensity >= "
        f"{threshold:g}; F1 averaged over the AUs that occur (as CD6ME's test set); {INTERVAL}"
    )
    return Report(
        protocol, _counts(compared) | {"rows": len(table.people)}, tuple(rows), notes=(*_notes(compared), *notes)
    )


def questions(
    scores: dict[str, dict[str, Value]], counts: dict[str, int], what: str, notes: Sequence[str] = ()
) -> Report:
    """ME-VQA. `scores` by data set, "overall" among them."""
    rows = [
        Row(group, name, v.value, v.low, v.high, f"{v.answers} answers")
        for group, own in scores.items()
        for name, v in own.items()
    ]
    protocol = (
        f"ME-VQA, {what}: UF1 and UAR of the coarse and fine question over the classes of the reference; BLEU-4 and ROUGE-1 over "
        f"all answers in both published variants; {INTERVAL}"
    )
    return Report(protocol, counts, tuple(rows), notes=tuple(notes))


def _counts(compared: Compared) -> dict[str, int]:
    truths, found = compared.truths, compared.predictions
    return {
        "clips": len(compared.clips),
        "subjects": len({clip.person for clip in compared.clips}),
        "micro annotated": sum(t.kind == "micro" for t in truths),
        "macro annotated": sum(t.kind == "macro" for t in truths),
        "micro predicted": sum(p.kind == "micro" for p in found),
        "macro predicted": sum(p.kind == "macro" for p in found),
    }


def _notes(compared: Compared) -> tuple[str, ...]:
    notes = []
    if compared.missing:
        notes.append(
            f"{len(compared.missing)} clips were not analysed and are left out: {', '.join(compared.missing[:5])}"
        )
    if compared.unscorable:
        notes.append(f"{compared.unscorable} annotations lack onset or offset and cannot be scored")
    if people := _several_people(compared.clips):
        notes.append(
            f"more than one person has events in {people} clips; all of them are on the clip's one line of time"
        )
    return tuple(notes)


def _several_people(clips: Sequence[Found]) -> int:
    return sum(len({e.event.person for e in clip.events if e and e.event.person}) > 1 for clip in clips)


def _matrix(matrix: np.ndarray) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(v) for v in row) for row in matrix)
