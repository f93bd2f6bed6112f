"""Spot, then recognise: STRS, the product of a spotting F1 and an analysis F1 (Liong, See & Chan 2023; MEGC 2023-2025).

    STRS = F1_spot * F1_analysis

F1_spot is that of spotting.py (IoU >= 0.5, one to one, all videos as one) over micro-expressions. F1_analysis is over
the spotted ones only: for each class precision P_e = TP / (TP + FP) and recall R_e = TP / (TP + FN), 0 where there is
nothing to divide by; then of their means P and R, **F1 = 2PR / (P + R)**. The mean of the classes' own F1 is another
number, given as UF1, and the mean of R_e is UAR. Classes are those that occur among the true and the predicted labels of
the whole evaluation, spotted or not, as in the official script. A true expression without a class (not labelled, or
"others" in a three-class scheme) counts for spotting and not for the analysis; a prediction without a label is wrong.

Scores of several data sets together are pooled: give all of them in one call.

`official=True` counts as the published script does (genbing99/STRS-Metric), errors included, to compare with numbers
made with it: subjects are taken from the predictions, so one without any adds no misses; videos are taken from the
truth, so predictions elsewhere are no false alarms; a prediction may match several true intervals and the other way
round; what it calls UAR is the mean of P_e; and P + R = 0 gives NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from streamfer.evaluation import bootstrap
from streamfer.evaluation.confusion import confusion
from streamfer.evaluation.spotting import Counts, IoUMode, Spot, iou, match


@dataclass(frozen=True, slots=True)
class Labelled:
    """An interval with its class; None: it has none."""

    spot: Spot
    subject: str
    label: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """What one subject adds to the sums."""

    counts: Counts
    confusion: np.ndarray  # (C, C + 1), spotted true class by given class


@dataclass(frozen=True, slots=True)
class STRS:
    """Scores of all subjects together."""

    classes: tuple[str, ...]
    tables: dict[str, Table]
    official: bool = False

    @property
    def counts(self) -> Counts:
        return sum((table.counts for table in self.tables.values()), Counts())

    @property
    def confusion(self) -> np.ndarray:
        empty = np.zeros((len(self.classes), len(self.classes) + 1), np.int64)
        return sum((table.confusion for table in self.tables.values()), empty)

    def scores(self) -> dict[str, float]:
        """strs, f1_spot, precision_analysis, recall_analysis, f1_analysis, uf1_analysis, uar_analysis."""
        flat = self._flat().sum(axis=0, keepdims=True) if self.tables else np.zeros((1, 3 + self.confusion.size))
        scores = {name: float(values[0]) for name, values in self._scores(flat).items()}
        if self.official:
            scores["uar_analysis"] = scores["precision_analysis"]
            if scores["precision_analysis"] + scores["recall_analysis"] == 0:
                scores["f1_analysis"] = scores["strs"] = math.nan
        return scores

    def interval(self, measure: str) -> tuple[float, float]:
        """95 % interval of one of `scores`, subjects drawn again."""
        if not self.tables:
            return math.nan, math.nan
        return bootstrap.interval(self._flat(), lambda sums: self._scores(sums)[measure])

    def _flat(self) -> np.ndarray:
        """(S, 3 + C (C + 1)): hits, predictions, truths and the confusion matrix of each subject."""
        return np.array(
            [
                [t.counts.hits, t.counts.predictions, t.counts.truths, *t.confusion.ravel()]
                for t in self.tables.values()
            ],
            np.float64,
        )

    def _scores(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        hits, predictions, truths = np.moveaxis(sums[:, :3], -1, 0)
        matrix = sums[:, 3:].reshape(len(sums), len(self.classes), len(self.classes) + 1)
        right = np.diagonal(matrix, axis1=-2, axis2=-1)
        given, true = matrix[..., :-1].sum(axis=-2), matrix.sum(axis=-1)
        precision = _zero(bootstrap.ratio(right, given)).mean(axis=-1) if self.classes else np.zeros(len(sums))
        recall = _zero(bootstrap.ratio(right, true)).mean(axis=-1) if self.classes else np.zeros(len(sums))
        uf1 = _zero(bootstrap.ratio(2 * right, given + true)).mean(axis=-1) if self.classes else np.zeros(len(sums))
        f1_spot = bootstrap.ratio(2 * hits, predictions + truths)
        f1_analysis = _zero(bootstrap.ratio(2 * precision * recall, precision + recall))
        return {
            "strs": f1_spot * f1_analysis, "f1_spot": f1_spot, "precision_analysis": precision,
            "recall_analysis": recall, "f1_analysis": f1_analysis, "uf1_analysis": uf1, "uar_analysis": recall,
        }  # fmt: skip


def strs(
    truths: Iterable[Labelled],
    predictions: Iterable[Labelled],
    threshold: float = 0.5,
    mode: IoUMode = "inclusive",
    official: bool = False,
) -> STRS:
    """Score labelled intervals. Kinds are not told apart: give only micro-expressions. Videos are (subject, video)."""
    truths, predictions = list(truths), list(predictions)
    classes = tuple(sorted({item.label for item in [*truths, *predictions] if item.label is not None}))
    subjects = dict.fromkeys(p.subject for p in predictions)
    if not official:
        subjects = dict.fromkeys([*(t.subject for t in truths), *subjects])
    true_of, found_of = _by_subject(truths), _by_subject(predictions)
    tables = {
        subject: _table(true_of.get(subject, []), found_of.get(subject, []), classes, threshold, mode, official)
        for subject in subjects
    }
    return STRS(classes, tables, official)


def _table(
    truths: list[Labelled],
    predictions: list[Labelled],
    classes: Sequence[str],
    threshold: float,
    mode: IoUMode,
    official: bool,
) -> Table:
    if official:
        videos = {t.spot.video for t in truths}
        predictions = [p for p in predictions if p.spot.video in videos]
        pairs = [
            (i, j)
            for j, p in enumerate(predictions)
            for i, t in enumerate(truths)
            if t.spot.video == p.spot.video and iou(t.spot, p.spot) >= threshold
        ]
        alarms = len(predictions) - len({j for _, j in pairs})
        missed = len(truths) - len({i for i, _ in pairs})
        counts = Counts(len(pairs), len(pairs) + alarms, len(pairs) + missed)
    else:
        found = match([t.spot for t in truths], [p.spot for p in predictions], threshold, mode, kinds_must_agree=False)
        pairs = [(i, j) for i, j, _ in found]
        counts = Counts(len(pairs), len(predictions), len(truths))
    classed = [(truths[i].label, predictions[j].label) for i, j in pairs if truths[i].label is not None]
    return Table(counts, confusion([t for t, _ in classed], [p for _, p in classed], classes))


def _by_subject(items: Iterable[Labelled]) -> dict[str, list[Labelled]]:
    groups: dict[str, list[Labelled]] = {}
    for item in items:
        groups.setdefault(item.subject, []).append(item)
    return groups


def _zero(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values, nan=0.0)
