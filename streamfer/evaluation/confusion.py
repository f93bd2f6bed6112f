"""Classification scores from a confusion matrix: accuracy, recall of each class, UAR, UF1.

A matrix is (..., C, C + 1): rows the true class, columns the predicted one, the last column "no answer" (nothing
spotted, or a word outside the list). An unanswered item is a miss of its class and a false alarm of none.
Leading axes are kept, so that a whole bootstrap is scored at once.

    F1_c = 2 TP_c / (2 TP_c + FP_c + FN_c)    UF1 = mean of F1_c    UAR = mean of TP_c / n_c

(MEGC 2019). A class that has no true item in the whole matrix (the first one given, not the draw) is left out of both
means: otherwise a set without surprise could never score 1. In a draw of the bootstrap that happens to lack a class,
the mean is over those that it has.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from streamfer.evaluation.bootstrap import ratio


def confusion(truths: Iterable[Hashable], answers: Iterable[Hashable], classes: Sequence[Hashable]) -> np.ndarray:
    """(C, C + 1) counts. An answer that is not one of `classes` goes to the last column; such a truth is an error."""
    place = {name: i for i, name in enumerate(classes)}
    matrix = np.zeros((len(classes), len(classes) + 1), np.int64)
    for truth, answer in zip(truths, answers, strict=True):
        if truth not in place:
            raise ValueError(f"true class {truth!r} is none of {', '.join(map(str, classes))}")
        matrix[place[truth], place.get(answer, len(classes))] += 1
    return matrix


def accuracy(matrix: np.ndarray) -> np.ndarray:
    """Share of items given their class; NaN without items."""
    return ratio(_hits(matrix).sum(axis=-1), matrix.sum(axis=(-2, -1)))


def recalls(matrix: np.ndarray) -> np.ndarray:
    """(..., C) recall of each class; NaN for a class without items."""
    return ratio(_hits(matrix), matrix.sum(axis=-1))


def precisions(matrix: np.ndarray) -> np.ndarray:
    """(..., C) precision of each class; NaN for a class never given."""
    return ratio(_hits(matrix), matrix[..., :-1].sum(axis=-2))


def f1s(matrix: np.ndarray) -> np.ndarray:
    """(..., C) F1 of each class; NaN for a class without items, whatever was answered."""
    true = matrix.sum(axis=-1)
    return np.where(true > 0, ratio(2 * _hits(matrix), true + matrix[..., :-1].sum(axis=-2)), np.nan)


def uf1(matrix: np.ndarray) -> np.ndarray:
    """Unweighted F1: the mean over classes that have items."""
    return _mean(f1s(matrix))


def uar(matrix: np.ndarray) -> np.ndarray:
    """Unweighted average recall: the mean over classes that have items."""
    return _mean(recalls(matrix))


def _hits(matrix: np.ndarray) -> np.ndarray:
    return np.diagonal(matrix, axis1=-2, axis2=-1)


def _mean(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))
