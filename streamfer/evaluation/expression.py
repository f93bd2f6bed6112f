"""Expression of single faces against the votes of several taggers, by the rules of FER+.

FER+ (Barsoum et al. 2016, microsoft/FERPlus) has ten votes for each picture of FER2013: eight expressions, "unknown"
and "NF" (no face). Its majority rule, applied here to each row of votes:

1. a class with a single vote loses it (outliers);
2. the class with most of the votes that are left is the label, if it has **more than half** of them;
3. otherwise (ties included), and when the majority is unknown or NF, the picture is dropped.

Accuracy is over the pictures kept; mean recall is that of the classes which occur among them. Nobody knows who is on
which picture, so the interval draws pictures again, not people, and is a little too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamfer.evaluation import bootstrap
from streamfer.evaluation.confusion import accuracy, confusion, recalls, uar
from streamfer.records import LABELS

VOTED = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
"""FER+'s columns."""
_TO_LABEL = np.array([LABELS.index(name) if name in LABELS else -1 for name in VOTED])


@dataclass(frozen=True, slots=True)
class ExpressionScores:
    """Of all pictures that have a label. Classes are in the order of `records.LABELS`."""

    confusion: np.ndarray  # (8, 9) true by given; the last column stays empty
    accuracy: float
    mean_recall: float
    recall: dict[str, float]  # NaN for a class without pictures
    pictures: int
    dropped: int  # no majority, unknown, or no face
    accuracy_interval: tuple[float, float]
    mean_recall_interval: tuple[float, float]


def majority(votes: np.ndarray) -> np.ndarray:
    """(N,) index into LABELS, or -1 for a picture that is dropped; votes are (N, 10) counts in FER+'s order."""
    votes = np.asarray(votes, np.float64)
    if votes.ndim != 2 or votes.shape[1] != len(VOTED):
        raise ValueError(f"votes must be (N, {len(VOTED)}) in FER+'s order, they are {votes.shape}")
    votes = np.where(votes <= 1, 0, votes)
    label = _TO_LABEL[votes.argmax(axis=1)]
    return np.where(votes.max(axis=1, initial=0) > votes.sum(axis=1) / 2, label, -1)


def evaluate(probabilities: np.ndarray, votes: np.ndarray, seed: int = 0) -> ExpressionScores:
    """Score predictions (N, 8), columns in the order of LABELS, against votes (N, 10)."""
    probabilities = np.asarray(probabilities)
    if probabilities.shape != (len(votes), len(LABELS)):
        raise ValueError(f"probabilities must be ({len(votes)}, {len(LABELS)}), they are {probabilities.shape}")
    truth = majority(votes)
    kept = truth >= 0
    matrix = confusion(truth[kept].tolist(), probabilities[kept].argmax(axis=1).tolist(), range(len(LABELS)))
    drawn = drawn_again(matrix, seed)
    return ExpressionScores(
        matrix, float(accuracy(matrix)), float(uar(matrix)),
        dict(zip(LABELS, map(float, recalls(matrix)), strict=True)), int(kept.sum()), int((~kept).sum()),
        bootstrap.percentiles(accuracy(drawn)), bootstrap.percentiles(uar(drawn)),
    )  # fmt: skip


def drawn_again(matrix: np.ndarray, seed: int) -> np.ndarray:
    """(draws, 8, 9): drawing N pictures again is drawing N cells, each as likely as it is full."""
    total = int(matrix.sum())
    if total < 2:
        return np.zeros((1, *matrix.shape))
    shares = (matrix / total).ravel()
    return np.random.default_rng(seed).multinomial(total, shares, bootstrap.DRAWS).reshape(-1, *matrix.shape)
