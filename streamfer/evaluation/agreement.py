"""How well intensities agree with a truth: the measures of the AU literature, without any of its averaging tricks.

Arrays are (N, K): N frames or clips, K action units; each measure gives (K,). ICC(3,1) is of Shrout & Fleiss,
Psychological Bulletin 86 (1979). A column that does not vary has no correlation (NaN); its ICC is 0, because raters who
say the same to everything tell nothing apart.
"""

from __future__ import annotations

import numpy as np


def mae(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean absolute error (K,) of (N, K)."""
    return np.abs(predicted - truth).mean(axis=0)


def mse(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean squared error (K,) of (N, K)."""
    return ((predicted - truth) ** 2).mean(axis=0)


def icc31(*raters: np.ndarray) -> np.ndarray:
    """ICC(3,1), two-way mixed, consistency, single rater: (K,) of two or more raters (N, K) each.

    (BMS - EMS) / (BMS + (r - 1) EMS) for r raters: BMS the mean square between targets, EMS the residual one.
    """
    table = np.stack(raters, axis=2)  # (N, K, r)
    count, _, r = table.shape
    rows = table.mean(axis=2, keepdims=True)
    columns = table.mean(axis=0, keepdims=True)
    grand = table.mean(axis=(0, 2), keepdims=True)
    between = r * ((rows - grand) ** 2).sum(axis=(0, 2)) / (count - 1)
    residual = ((table - rows - columns + grand) ** 2).sum(axis=(0, 2)) / ((count - 1) * (r - 1))
    total = between + (r - 1) * residual
    return np.divide(between - residual, total, out=np.zeros_like(total), where=total > 0)


def correlation(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pearson's r (K,) of (N, K); NaN where one of the two does not vary."""
    a, b = predicted - predicted.mean(axis=0), truth - truth.mean(axis=0)
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.divide((a * b).sum(axis=0), scale, out=np.full(scale.shape, np.nan), where=scale > 1e-9)


def within(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Values (N, K) less the mean of their group (N,): what is left when every group has its own level."""
    _, index = np.unique(group, return_inverse=True)
    count = np.bincount(index).astype(float)
    mean = np.zeros((len(count), values.shape[1]))
    np.add.at(mean, index, values)
    return values - (mean / count[:, None])[index]


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Chance that a positive scores higher than a negative (Mann-Whitney), ties count half; NaN without one of them."""
    from scipy.stats import rankdata

    if not len(positive) or not len(negative):
        return float("nan")
    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    return float((ranks.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative)))
