"""Scores on data sets of single faces: what `streamfer evaluate fer|aus --dataset` prints (datasets/stills.py).

Expressions: accuracy and mean recall over the classes that the data set knows (a model with eight names the likeliest of those),
confusion. A face without a mesh is read from its crop alone; a picture that cannot be read is an answer not given.
Action units: per AU and averaged MAE, ICC(3,1), PCC and F1. Truth and prediction count as present from the same intensity on
(stills.THRESHOLD), or as coded (BP4D); of an AU's two sides the stronger counts, on either hand. Faces without a mesh have no
reading and are left out, and said. AUs that the model lacks are named, never scored as 0.

Intervals draw people again where the data set says who is who, else pictures (a little too narrow: people repeat).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice

import numpy as np

from streamfer.action_units import facs
from streamfer.action_units.model import LANDMARKS, AUModel
from streamfer.datasets.stills import CLASSES, CODED, THRESHOLD, Still, StillSet
from streamfer.errors import UsageError
from streamfer.evaluation import bootstrap, confusion
from streamfer.evaluation.aus import AUTable, agreement, f1, mean
from streamfer.evaluation.expression import drawn_again
from streamfer.evaluation.reports import Report, Row
from streamfer.records import LABELS
from streamfer.training.still_faces import StillFace, faces

BATCH = 512
REPORTED: dict[str, tuple[int, ...]] = {
    "disfa": (1, 2, 4, 6, 9, 12, 25, 26),
    "bp4d": (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24),
}
"""AUs over which papers average F1 (JAA-Net, ME-GraphAU)."""


def expressions(found: StillSet, stills: Sequence[Still], model: AUModel, mirror: bool, part: str) -> Report:
    """Raises UsageError for a data set without expressions, ModelContract for a model that names none."""
    if found.name in CODED:
        raise UsageError(f"{found.name} has action units and no expressions: use `streamfer evaluate aus --dataset {found.name}`")
    labelled = [s for s in stills if s.label is not None]
    if not labelled:
        raise UsageError(f"{found.root}: none of the {len(stills)} pictures has a label")
    classes = CLASSES[found.name]
    columns = [LABELS.index(label) for label in classes]
    answers: list[str | None] = []
    without = 0
    for batch in _batches(faces(labelled)):
        readable = [f for f in batch if f.picture is not None]
        without += sum(f.landmarks is None for f in readable)
        given = dict.fromkeys((f.row for f in batch), "")
        if readable:
            best = _express(model, readable, mirror)[:, columns].argmax(axis=1)
            given.update({f.row: classes[k] for f, k in zip(readable, best, strict=True)})
        answers += [answer or None for answer in given.values()]
    truths = [s.label for s in labelled]
    matrix = confusion.confusion(truths, answers, classes)
    drawn = _drawn(labelled, truths, answers, classes, matrix)
    rows = [
        Row("all", "accuracy", float(confusion.accuracy(matrix)), *bootstrap.percentiles(confusion.accuracy(drawn))),
        Row("all", "mean recall", float(confusion.uar(matrix)), *bootstrap.percentiles(confusion.uar(drawn))),
    ]
    rows += [
        Row(label, "recall", float(r), *bootstrap.percentiles(values), f"{int(n)} pictures")
        for label, r, values, n in zip(
            classes, confusion.recalls(matrix), confusion.recalls(drawn).T, matrix.sum(axis=1), strict=True
        )
    ]
    unread = answers.count(None)
    notes = [f"{unread} pictures cannot be read: each is a miss of its class"] if unread else []
    if left := len(stills) - len(labelled):
        notes.append(f"{left} pictures without a label are left out")
    people = _people(labelled)
    protocol = (
        f"{found.name}, {part}: {len(classes)} classes; {model.info.name} {model.info.version}"
        f"{', picture and mirror image' if mirror else ''}; 95 % intervals draw {'people' if people else 'pictures'} again"
    )
    counts = {"pictures": len(labelled), "without landmarks": without}
    if people:
        counts["subjects"] = len(people)
    table = tuple(tuple(int(n) for n in row) for row in matrix)
    return Report(protocol, counts, tuple(rows), notes=tuple(notes), classes=classes, confusion=table)


def action_units(found: StillSet, stills: Sequence[Still], model: AUModel, threshold: float | None, part: str) -> Report:
    """`threshold` replaces the data set's own. Raises UsageError for a data set or a model without the AUs."""
    if found.name not in CODED:
        raise UsageError(f"{found.name} has expressions and no action units: use `streamfer evaluate fer --dataset {found.name}`")
    limit = THRESHOLD[found.name] if threshold is None else threshold
    coded = sorted({_number(name) for s in stills for name in {**(s.aus or {}), **(s.present or {})}})
    own = {facs.parse(name)[0] for name in model.names}
    aus = tuple(au for au in coded if au in own)
    if not aus:
        raise UsageError(f"{model.info.path} reads none of the AUs that {found.name} has: {', '.join(f'AU{au}' for au in coded)}")
    rows_read, readings = _readings(stills, model, aus)
    if not rows_read:
        raise UsageError(f"{found.root}: no face was found in any of the {len(stills)} pictures")
    kept = [stills[row] for row in rows_read]
    intensity = np.array([[_strongest(s.aus, au) for au in aus] for s in kept])
    present = np.array([[_present(s, au, limit) for au in aus] for s in kept])
    table = AUTable(aus, tuple(s.subject or str(s.path) for s in kept), readings, present, intensity)
    rows = _au_rows(table, limit, REPORTED.get(found.name, ()))
    notes = [f"{len(stills) - len(kept)} pictures in which no face was found are left out"] if len(kept) < len(stills) else []
    if missing := [f"AU{au}" for au in coded if au not in own]:
        notes.append(f"coded, but not read by this model and not scored: {', '.join(missing)}")
    protocol = (
        f"{found.name}, {part}: AUs of single frames; {model.info.name} {model.info.version}; of two sides the stronger one; "
        "95 % intervals draw people again"
    )
    counts = {"frames": len(kept), "subjects": len(_people(kept)), "AUs": len(aus)}
    if found.name == "bp4d":
        said = f"truth: coded as there; predicted: intensity {limit:g} and more"
    else:
        said = f"present at intensity {limit:g} and more, in truth and prediction"
    return Report(protocol, counts, tuple(rows), said, tuple(notes))


def _au_rows(table: AUTable, limit: float, reported: tuple[int, ...]) -> list[Row]:
    presence, moments = table.presence_sums(limit), table.intensity_sums()
    usual = [k for k, au in enumerate(table.aus) if au in reported]
    measures: list[tuple[str, np.ndarray, Callable[[np.ndarray], np.ndarray]]] = [
        (name, moments, lambda sums, name=name: agreement(sums)[name]) for name in ("mae", "icc", "pcc")  # type: ignore[misc]
    ]
    measures.insert(0, ("f1", presence, f1))
    rows = []
    for name, sums, measure in measures:
        values = measure(sums.sum(axis=0))
        limits = bootstrap.interval(sums, lambda s, m=measure: mean(m(s)))  # type: ignore[misc]
        rows.append(Row("mean", name, float(mean(values)), *limits, f"{int(np.isfinite(values).sum())} AUs"))
    if usual and len(usual) < len(table.aus):
        part = presence[:, usual]
        limits = bootstrap.interval(part, lambda s: mean(f1(s)))
        said = f"{len(usual)} of the {len(reported)} AUs that papers average"
        rows.append(Row("as reported", "f1", float(mean(f1(part.sum(axis=0)))), *limits, said))
    for k, au in enumerate(table.aus):
        there = f"there in {int(np.nansum(table.present[:, k]))} of {int((~np.isnan(table.present[:, k])).sum())}"
        for name, sums, measure in measures:
            value = float(measure(sums.sum(axis=0))[k])
            if not math.isnan(value):
                limits = bootstrap.interval(sums[:, k : k + 1], lambda s, m=measure: m(s)[:, 0])  # type: ignore[misc]
                rows.append(Row(f"AU{au}", name, value, *limits, there))
    return rows


def _readings(stills: Sequence[Still], model: AUModel, aus: Sequence[int]) -> tuple[list[int], np.ndarray]:
    """Rows in which a face was found, and the stronger side of each AU there (N, K)."""
    columns = [[i for i, name in enumerate(model.names) if facs.parse(name)[0] == au] for au in aus]
    rows: list[int] = []
    parts: list[np.ndarray] = []
    for batch in _batches(faces(stills)):
        seen = [f for f in batch if f.landmarks is not None]
        if not seen:
            continue
        read = model.predict([f.landmarks for f in seen if f.landmarks is not None], _crops(model, seen))
        rows += [f.row for f in seen]
        parts.append(np.stack([read[:, own].max(axis=1) for own in columns], axis=1))
    return rows, np.concatenate(parts) if parts else np.zeros((0, len(aus)), np.float32)


def _express(model: AUModel, seen: Sequence[StillFace], mirror: bool) -> np.ndarray:
    """(N, 8); landmarks of NaN where there is no mesh."""
    points = [np.full((LANDMARKS, 3), np.nan, np.float32) if f.landmarks is None else f.landmarks for f in seen]
    return model.express(points, _crops(model, seen), mirror=mirror)


def _crops(model: AUModel, seen: Sequence[StillFace]) -> list[np.ndarray] | None:
    return [f.crop(model.crop_input.size_px, model.crop_input.ied_px) for f in seen] if model.needs_crop else None


def _strongest(aus: Mapping[str, float] | None, au: int) -> float:
    """The larger of an AU's sides; NaN where it was not coded."""
    return max((float(value) for name, value in (aus or {}).items() if _number(name) == au), default=math.nan)


@cache
def _number(name: str) -> int:
    return facs.parse(name)[0]


def _present(still: Still, au: int, limit: float) -> float:
    if still.present is not None and not math.isnan(there := _strongest(still.present, au)):
        return there
    value = _strongest(still.aus, au)
    return value if math.isnan(value) else float(value >= limit)


def _drawn(
    stills: Sequence[Still], truths: Sequence[str | None], answers: Sequence[str | None], classes: Sequence[str], matrix: np.ndarray
) -> np.ndarray:
    """(draws, C, C + 1)."""
    people = _people(stills)
    if not people:
        return drawn_again(matrix, 0)
    by_person = np.stack([
        confusion.confusion(
            [t for t, s in zip(truths, stills, strict=True) if s.subject == who],
            [a for a, s in zip(answers, stills, strict=True) if s.subject == who], classes,
        )
        for who in people
    ])  # fmt: skip
    return np.tensordot(bootstrap.multiplicities(len(people)), by_person, axes=1)


def _people(stills: Sequence[Still]) -> list[str]:
    return sorted({s.subject for s in stills if s.subject})


def _batches(items: Iterator[StillFace]) -> Iterator[list[StillFace]]:
    while batch := list(islice(items, BATCH)):
        yield batch
