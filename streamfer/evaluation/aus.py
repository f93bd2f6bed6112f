"""Were the action units read right: presence (F1, AUC) and intensity (ICC, PCC, MAE, MSE), per AU and on average.

A table has one row per frame, clip or annotated interval, one column per AU, and says whose each row is. What the truth
does not tell is NaN and left out, per AU. Averages are over the AUs for which the measure exists; F1 does not exist for
an AU that is never there in truth (whatever was predicted), AUC for one that is always or never there.

    F1 = 2TP / (2TP + FP + FN), predicted present at an intensity of `threshold` or more
    ICC(3,1) of two raters = 2 C_xy / (S_xx + S_yy), C and S centred sums; PCC = C_xy / sqrt(S_xx S_yy)

(agreement.py has the general forms; these are the same numbers from sums, so that people can be drawn again. A test
holds them together.)

CD6ME (tvaranka/meb, "Data Leakage and Evaluation Issues in Micro-Expression Analysis", 2211.11425): 12 AUs, binary, of the
clips of six data sets; a model is trained on five and tested on the sixth, the F1 of each AU averaged. `CD6ME_AUS` are
the columns, `leave_one_dataset_out` the splits. Whatever was never trained on any of them may be tested on all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from streamfer.evaluation import bootstrap
from streamfer.evaluation.agreement import auc
from streamfer.evaluation.folds import Fold, T, person

CD6ME_AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17)
CD6ME_SETS = ("casme", "casme2", "samm", "4dme", "mmew", "casme3a")
PRESENT = 0.5
"""Intensity from which on an AU counts as present unless told otherwise: half way to a trace (A = 1)."""
_RANKED_DRAWS = 300


@dataclass(frozen=True, slots=True)
class AUTable:
    """Predicted intensities and the truth of the same rows."""

    aus: tuple[int, ...]  # K
    people: tuple[str, ...]  # N keys, see folds.person
    predicted: np.ndarray  # (N, K) intensity, 0-5
    present: np.ndarray  # (N, K) 1, 0 or NaN: true presence
    intensity: np.ndarray | None = None  # (N, K) true intensity or NaN; None: the set has none

    def __post_init__(self) -> None:
        shape = (len(self.people), len(self.aus))
        for array in (self.predicted, self.present, *([] if self.intensity is None else [self.intensity])):
            if array.shape != shape:
                raise ValueError(f"a table of {shape[0]} rows and {shape[1]} AUs cannot hold an array of {array.shape}")

    def presence_sums(self, threshold: float = PRESENT) -> np.ndarray:
        """(S, K, 3): true positives, false positives, false negatives of each person."""
        said, known = self.predicted >= threshold, ~np.isnan(self.present)
        true = self.present == 1
        return self._by_person(np.stack([said & true, said & ~true & known, ~said & true], axis=2).astype(np.float64))

    def intensity_sums(self) -> np.ndarray:
        """(S, K, 7) of each person, over rows with a true intensity y: n, x, y, xx, yy, xy, |x - y|."""
        assert self.intensity is not None
        known = ~np.isnan(self.intensity)
        x, y = np.where(known, self.predicted, 0.0), np.where(known, self.intensity, 0.0)
        return self._by_person(np.stack([known.astype(float), x, y, x * x, y * y, x * y, np.abs(x - y)], axis=2))

    def aucs(self, weights: np.ndarray | None = None) -> np.ndarray:
        """(K,) chance that a row with the AU is given more of it than one without; `weights` (S,) repeats people."""
        names, owner = np.unique(self.people, return_inverse=True)
        times = np.ones(len(names), int) if weights is None else weights
        rows = np.repeat(np.arange(len(self.people)), times[owner])
        values = []
        for k in range(len(self.aus)):
            score, truth = self.predicted[rows, k], self.present[rows, k]
            values.append(auc(score[truth == 1], score[truth == 0]))
        return np.array(values)

    def _by_person(self, values: np.ndarray) -> np.ndarray:
        names, owner = np.unique(self.people, return_inverse=True)
        table = np.zeros((len(names), *values.shape[1:]))
        np.add.at(table, owner, values)
        return table


def f1(sums: np.ndarray) -> np.ndarray:
    """(..., K) from (..., K, 3); NaN for an AU that is never there in truth."""
    tp, fp, fn = np.moveaxis(sums, -1, 0)
    return np.where(tp + fn > 0, bootstrap.ratio(2 * tp, 2 * tp + fp + fn), np.nan)


def agreement(sums: np.ndarray) -> dict[str, np.ndarray]:
    """icc, pcc, mae, mse, each (..., K) from (..., K, 7). ICC is 0 where nothing varies, PCC NaN where one does not."""
    n, x, y, xx, yy, xy, error = np.moveaxis(sums, -1, 0)
    ratio = bootstrap.ratio
    s_xx, s_yy, c = (_centred(xx, x, x, n), _centred(yy, y, y, n), _centred(xy, x, y, n))
    icc = _zero(ratio(2 * c, s_xx + s_yy))
    return {
        "icc": np.where(n > 1, icc, np.nan),
        "pcc": ratio(c, np.sqrt(s_xx * s_yy)),
        "mae": ratio(error, n),
        "mse": ratio(xx + yy - 2 * xy, n),
    }


def mean(values: np.ndarray) -> np.ndarray:
    """(...) over the AUs of (..., K) that have a value."""
    known = ~np.isnan(values)
    return bootstrap.ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))


@dataclass(frozen=True, slots=True)
class Measured:
    """One measure: per AU (NaN where it does not exist), averaged, and the 95 % interval of the average."""

    per_au: dict[int, float]
    average: float
    interval: tuple[float, float]


def measure(table: AUTable, threshold: float = PRESENT) -> dict[str, Measured]:
    """f1, auc and, where there are true intensities, icc, pcc, mae, mse."""
    sums = table.presence_sums(threshold)
    found = {"f1": _measured(table, f1(sums.sum(axis=0)), bootstrap.interval(sums, lambda s: mean(f1(s))))}
    spread = bootstrap.interval_of(len(sums), lambda w: float(mean(table.aucs(w))), draws=_RANKED_DRAWS)
    found["auc"] = _measured(table, table.aucs(), spread)
    if table.intensity is not None and not np.isnan(table.intensity).all():
        moments = table.intensity_sums()
        for name, values in agreement(moments.sum(axis=0)).items():
            limits = bootstrap.interval(moments, lambda s, name=name: mean(agreement(s)[name]))  # type: ignore[misc]
            found[name] = _measured(table, values, limits)
    return found


def leave_one_dataset_out(items: Iterable[T]) -> Iterator[Fold[T]]:
    """Train on all data sets but one, test on that one; people of the test set are taken out of the training too."""
    everything = list(items)
    names = list(dict.fromkeys(item.dataset for item in everything))
    if len(names) < 2:
        raise ValueError(f"leaving one data set out needs two, there is {' and '.join(names) or 'none'}")
    for name in names:
        test = tuple(item for item in everything if item.dataset == name)
        tested = {person(item.dataset, item.subject) for item in test}
        yield Fold(name, tuple(i for i in everything if person(i.dataset, i.subject) not in tested), test)


def _measured(table: AUTable, values: Sequence[float] | np.ndarray, limits: tuple[float, float]) -> Measured:
    array = np.asarray(values, np.float64)
    return Measured(dict(zip(table.aus, map(float, array), strict=True)), float(mean(array)), limits)


def _centred(products: np.ndarray, a: np.ndarray, b: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Sum of (a - mean a)(b - mean b); what is only rounding is 0, so that a constant does not vary."""
    value = products - _zero(bootstrap.ratio(a * b, n))
    return np.where(np.abs(value) > 1e-9, value, 0.0)


def _zero(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values, nan=0.0)
