"""Where the apex is: error, success rate; and how good the ranking of events is: AP over temporal IoU.

    MAE = (1/N) sum |predicted - true apex|      ASR = (1/N) sum [onset < predicted apex < offset]

(Liong et al.; strict on both ends, as in MEAN's code.) Apex spotting gives every true interval one predicted apex. A
spotter does not, so N must be said: MAE and `asr` are over the spotted intervals (matched one to one at IoU >= 0.5) whose
apexes are both known; `asr_all` has the predicted apexes inside over **all** true intervals, what was not spotted being
a failure. Milliseconds make frame rates comparable.

AP at an IoU threshold: events by falling score each take the best true interval of their video and kind that is still
free; precision is made non-increasing from the right and read at recall 0.00, 0.01 ... 1.00 (COCO's 101 points);
`average_precision` is the mean over the thresholds .5, .55 ... .95. Events of equal score count as one step, so that
their order does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamfer.evaluation import bootstrap
from streamfer.evaluation.spotting import IoUMode, Pair, Spot, by_video, iou

IOUS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True)
class ApexScores:
    """Sums of each subject: pairs, |error| in frames and ms, apexes inside, true intervals."""

    sums: np.ndarray  # (S, 5)

    def scores(self) -> dict[str, float]:
        """mae_frames, mae_ms, asr, asr_all; NaN where there is nothing to divide by."""
        total = self.sums.sum(axis=0, keepdims=True)
        return {name: float(values[0]) for name, values in _apex_scores(total).items()}

    def interval(self, measure: str) -> tuple[float, float]:
        return bootstrap.interval(self.sums, lambda sums: _apex_scores(sums)[measure])

    @property
    def pairs(self) -> int:
        return int(self.sums[:, 0].sum())


def apex_scores(pairs: Iterable[Pair], truths: Iterable[Spot], subjects: Mapping[str, str] | None = None) -> ApexScores:
    """`truths` are all true intervals, spotted or not; `subjects` says whose each video is, else each is its own."""
    rows: dict[str, np.ndarray] = {}

    def row(video: str) -> np.ndarray:
        return rows.setdefault(subjects[video] if subjects else video, np.zeros(5))

    for truth in truths:
        row(truth.video)[4] += 1
    for pair in pairs:
        error, ms, predicted = pair.apex_error_frames, pair.apex_error_ms, pair.prediction.apex
        if error is None or ms is None or predicted is None:
            continue
        inside = pair.truth.onset.frame < predicted.frame < pair.truth.offset.frame
        row(pair.truth.video)[:4] += (1, abs(error), abs(ms), inside)
    return ApexScores(np.array(list(rows.values())).reshape(-1, 5))


def _apex_scores(sums: np.ndarray) -> dict[str, np.ndarray]:
    pairs, frames, ms, inside, truths = np.moveaxis(sums, -1, 0)
    ratio = bootstrap.ratio
    return {
        "mae_frames": ratio(frames, pairs), "mae_ms": ratio(ms, pairs),
        "asr": ratio(inside, pairs), "asr_all": ratio(inside, truths),
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ranking:
    """All predictions by falling score, with whether each was right at each IoU threshold."""

    scores: np.ndarray  # (N,)
    hits: np.ndarray  # (T, N) bool
    owner: np.ndarray  # (N,) index of the subject
    truths: np.ndarray  # (S,) true intervals of each subject

    def average_precision(self, weights: np.ndarray | None = None) -> float:
        """Mean AP over the thresholds; `weights` (S,) says how often each subject counts. NaN without truths."""
        weight = np.ones(len(self.truths)) if weights is None else weights
        total = float((self.truths * weight).sum())
        if total == 0:
            return math.nan
        each = weight[self.owner]
        last_of_score = np.append(self.scores[1:] != self.scores[:-1], True) if len(self.scores) else np.zeros(0, bool)
        made = np.cumsum(each)[last_of_score]
        values = []
        for hits in self.hits:
            found = np.cumsum(each * hits)[last_of_score]
            some = made > 0
            precision, recall = found[some] / made[some], found[some] / total
            best = np.maximum.accumulate(precision[::-1])[::-1]  # no precision below one that more recall has
            place = np.searchsorted(recall, _RECALLS - 1e-12)
            values.append(np.append(best, 0.0)[place].mean())
        return float(np.mean(values))

    def interval(self) -> tuple[float, float]:
        return bootstrap.interval_of(len(self.truths), self.average_precision)


def ranking(
    truths: Iterable[Spot],
    predictions: Iterable[Spot],
    subjects: Mapping[str, str] | None = None,
    ious: Sequence[float] = IOUS,
    mode: IoUMode = "inclusive",
) -> Ranking:
    """Which predictions are right at each threshold."""
    truths = list(truths)
    true_of = by_video(truths)
    ranked = sorted(predictions, key=lambda p: (-p.score, p.video, p.onset.frame, p.offset.frame))
    names: dict[str, int] = {}
    for spot in [*truths, *ranked]:
        names.setdefault(subjects[spot.video] if subjects else spot.video, len(names))

    def owner(spot: Spot) -> int:
        return names[subjects[spot.video] if subjects else spot.video]

    taken: list[set[int]] = [set() for _ in ious]
    hits = np.zeros((len(ious), len(ranked)), bool)
    for j, prediction in enumerate(ranked):
        overlaps = sorted(
            ((iou(t, prediction, mode), -i, t) for i, t in enumerate(true_of.get(prediction.video, []))
             if t.kind == prediction.kind),
            key=lambda row: row[:2], reverse=True,
        )  # fmt: skip
        for k, threshold in enumerate(ious):
            free = next((t for v, _, t in overlaps if v >= threshold and v > 0 and id(t) not in taken[k]), None)
            if free is not None:
                taken[k].add(id(free))
                hits[k, j] = True
    counts = np.zeros(len(names))
    for truth in truths:
        counts[owner(truth)] += 1
    scores = np.array([p.score for p in ranked])
    return Ranking(scores, hits, np.array([owner(p) for p in ranked], np.int64), counts)
