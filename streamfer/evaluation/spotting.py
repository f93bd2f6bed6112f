"""Were the expressions found, and where: spotting scores of the MEGC challenges.

The rules (MEGC 2019-2025 guidelines and baseline code): a prediction is a true positive when it overlaps a true
interval of the same kind with an intersection over union of at least 0.5, counted in frames with both ends
included. Pairs are one to one, largest overlap first. True positives A, predictions N and true intervals M are
summed over all videos before anything is divided: precision A/N, recall A/M, F1 = 2A/(M+N). `overall` sums both
kinds. Scores per video are never averaged.

Published code differs in the overlap, hence `IoUMode`: `inclusive` is the rule; `exclusive` counts offset - onset
(the sorted-end-points formula of several entries); `loose` adds the 1 of the intersection outside its clamp, as
the MDMD baseline does, so that intervals a frame apart still share one.

Apex error and success rate (apex strictly inside the true interval) are over matched pairs, in frames and ms.
Confidence intervals come from drawing whole subjects again with replacement (bootstrap.py), or whole videos where
nobody says whose they are: intervals of one video are not independent.

This module sees one line of time per `video`. When several people are in one file, give each their own name, such
as "clip/P1".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from streamfer.evaluation import bootstrap
from streamfer.records import Event, Kind, Moment

IoUMode = Literal["inclusive", "exclusive", "loose"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Spot:
    """One interval, true or predicted. `apex` is None where it is not annotated."""

    video: str
    kind: Kind
    onset: Moment
    offset: Moment
    apex: Moment | None = None
    score: float = 1.0

    def __post_init__(self) -> None:
        if self.offset.frame < self.onset.frame:
            raise ValueError(
                f"{self.video}: offset {self.offset.frame} lies before onset {self.onset.frame}; "
                "drop or repair the row before scoring"
            )

    @classmethod
    def of(cls, event: Event, video: str | None = None) -> Spot:
        """The interval of an event that streamfer found; `video` defaults to its source."""
        return cls(video or event.source, event.kind, event.onset, event.offset, event.apex, event.score)


@dataclass(frozen=True, slots=True)
class Pair:
    """A true positive."""

    truth: Spot
    prediction: Spot
    iou: float

    @property
    def apex_error_frames(self) -> int | None:
        """Predicted minus true apex; None when one of them is missing."""
        if self.truth.apex is None or self.prediction.apex is None:
            return None
        return self.prediction.apex.frame - self.truth.apex.frame

    @property
    def apex_error_ms(self) -> float | None:
        if self.truth.apex is None or self.prediction.apex is None:
            return None
        return 1000 * (self.prediction.apex.time_s - self.truth.apex.time_s)


@dataclass(frozen=True, slots=True)
class Counts:
    """A true positives among N predictions and M true intervals."""

    hits: int = 0
    predictions: int = 0
    truths: int = 0

    @property
    def false_alarms(self) -> int:
        return self.predictions - self.hits

    @property
    def missed(self) -> int:
        return self.truths - self.hits

    @property
    def precision(self) -> float:
        """A/N; NaN when nothing was predicted."""
        return self.hits / self.predictions if self.predictions else math.nan

    @property
    def recall(self) -> float:
        """A/M; NaN when there was nothing to find."""
        return self.hits / self.truths if self.truths else math.nan

    @property
    def f1(self) -> float:
        """2A/(M+N); NaN only when there was nothing to find and nothing was predicted."""
        both = self.truths + self.predictions
        return 2 * self.hits / both if both else math.nan

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.hits + other.hits, self.predictions + other.predictions, self.truths + other.truths)


@dataclass(frozen=True, slots=True)
class ApexError:
    """Over the matched pairs whose apexes are both known. NaN when there is none."""

    pairs: int
    median_frames: float
    mean_frames: float
    median_ms: float
    mean_ms: float
    inside: float  # share of predicted apexes strictly inside the true interval (apex success rate)


@dataclass(frozen=True, slots=True)
class Spotting:
    """The outcome of one evaluation. Kinds are "micro", "macro" and "overall"."""

    pairs: tuple[Pair, ...]
    missed: tuple[Spot, ...]
    false_alarms: tuple[Spot, ...]
    per_video: dict[str, dict[Kind, Counts]]

    def counts(self, kind: Kind | Literal["overall"] = "overall") -> Counts:
        """Pooled over all videos."""
        kinds = KINDS if kind == "overall" else (kind,)
        return sum((video[k] for video in self.per_video.values() for k in kinds), Counts())

    def apex(self, kind: Kind | Literal["overall"] = "overall") -> ApexError:
        known = [
            p for p in self.pairs
            if (kind == "overall" or p.truth.kind == kind) and p.apex_error_frames is not None
        ]  # fmt: skip
        if not known:
            return ApexError(0, math.nan, math.nan, math.nan, math.nan, math.nan)
        frames = np.abs([p.apex_error_frames for p in known])  # type: ignore[arg-type]
        ms = np.abs([p.apex_error_ms for p in known])  # type: ignore[arg-type]
        inside = [p.truth.onset.frame < p.prediction.apex.frame < p.truth.offset.frame for p in known]  # type: ignore[union-attr]
        return ApexError(
            len(known),
            float(np.median(frames)), float(np.mean(frames)),
            float(np.median(ms)), float(np.mean(ms)),
            float(np.mean(inside)),
        )  # fmt: skip

    def interval(
        self,
        measure: Literal["precision", "recall", "f1"],
        kind: Kind | Literal["overall"] = "overall",
        level: float = 0.95,
        draws: int = 2000,
        seed: int = 0,
        subjects: Mapping[str, str] | None = None,
    ) -> tuple[float, float]:
        """Bootstrap confidence interval of a measure; `subjects` says whose each video is, else each is its own.

        NaN for fewer than two subjects.
        """
        kinds = KINDS if kind == "overall" else (kind,)
        tables: dict[str, np.ndarray] = {}
        for name, video in self.per_video.items():
            counts = sum((video[k] for k in kinds), Counts())
            row = np.array([counts.hits, counts.predictions, counts.truths])
            subject = subjects[name] if subjects else name
            tables[subject] = tables.get(subject, 0) + row

        def score(sums: np.ndarray) -> np.ndarray:
            hits, predictions, truths = np.moveaxis(sums, -1, 0)
            below = {"precision": predictions, "recall": truths, "f1": (predictions + truths) / 2}[measure]
            return bootstrap.ratio(hits, below)

        return bootstrap.interval(np.array(list(tables.values())), score, level, draws, seed)


def iou(a: Spot, b: Spot, mode: IoUMode = "inclusive") -> float:
    """Intersection over union of two intervals of one video, in frames."""
    shared = min(a.offset.frame, b.offset.frame) - max(a.onset.frame, b.onset.frame)
    lengths = (a.offset.frame - a.onset.frame) + (b.offset.frame - b.onset.frame)
    if mode == "exclusive":
        shared, both = max(0, shared), lengths
    elif mode == "inclusive":
        shared, both = max(0, shared + 1), lengths + 2
    elif mode == "loose":
        shared, both = max(0, shared) + 1, lengths + 2
    else:
        raise ValueError(f"IoU mode {mode!r}: choose from {', '.join(get_args(IoUMode))}")
    return shared / (both - shared) if both > shared else float(shared > 0)


def match(
    truths: Sequence[Spot],
    predictions: Sequence[Spot],
    threshold: float = 0.5,
    mode: IoUMode = "inclusive",
    kinds_must_agree: bool = True,
) -> list[tuple[int, int, float]]:
    """One-to-one pairs (index of truth, index of prediction, IoU), largest overlap first.

    Equal overlaps go to the earlier truth, then to the prediction with the higher score, so that the order in
    which intervals are given does not matter.
    """
    candidates = []
    for i, truth in enumerate(truths):
        for j, prediction in enumerate(predictions):
            if truth.video != prediction.video or (kinds_must_agree and truth.kind != prediction.kind):
                continue
            overlap = iou(truth, prediction, mode)
            if overlap >= threshold and overlap > 0:
                order = (-overlap, truth.onset.frame, truth.offset.frame, -prediction.score, prediction.onset.frame)
                candidates.append((order, i, j, overlap))
    taken_truths: set[int] = set()
    taken_predictions: set[int] = set()
    pairs = []
    for _, i, j, overlap in sorted(candidates):
        if i not in taken_truths and j not in taken_predictions:
            taken_truths.add(i)
            taken_predictions.add(j)
            pairs.append((i, j, overlap))
    return pairs


def evaluate(
    truths: Iterable[Spot],
    predictions: Iterable[Spot],
    videos: Iterable[str] = (),
    threshold: float = 0.5,
    mode: IoUMode = "inclusive",
) -> Spotting:
    """Score predictions. `videos` names videos that may hold neither: they count when videos are drawn again."""
    truths, predictions = list(truths), list(predictions)
    names = dict.fromkeys([*videos, *(t.video for t in truths), *(p.video for p in predictions)])
    true_of, found_of = by_video(truths), by_video(predictions)
    pairs: list[Pair] = []
    missed: list[Spot] = []
    alarms: list[Spot] = []
    per_video: dict[str, dict[Kind, Counts]] = {}
    for name in names:
        here_t, here_p = true_of.get(name, []), found_of.get(name, [])
        found = match(here_t, here_p, threshold, mode)
        hit_t, hit_p = {i for i, _, _ in found}, {j for _, j, _ in found}
        pairs += [Pair(here_t[i], here_p[j], overlap) for i, j, overlap in found]
        missed += [t for i, t in enumerate(here_t) if i not in hit_t]
        alarms += [p for j, p in enumerate(here_p) if j not in hit_p]
        per_video[name] = {
            kind: Counts(
                sum(here_t[i].kind == kind for i in hit_t),
                sum(p.kind == kind for p in here_p),
                sum(t.kind == kind for t in here_t),
            )
            for kind in KINDS
        }
    return Spotting(tuple(pairs), tuple(missed), tuple(alarms), per_video)


def by_video(spots: Iterable[Spot]) -> dict[str, list[Spot]]:
    """The intervals of each video, in the order given."""
    groups: dict[str, list[Spot]] = {}
    for spot in spots:
        groups.setdefault(spot.video, []).append(spot)
    return groups
