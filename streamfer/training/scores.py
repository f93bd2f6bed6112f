"""How well intensities agree with a truth: the measures of the AU literature, without any of its averaging tricks."""

from __future__ import annotations

import numpy as np


def mae(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean absolute error (K,) of (N, K)."""
    return np.abs(predicted - truth).mean(axis=0)


def icc31(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """ICC(3,1), two-way mixed, consistency, single rater (Shrout & Fleiss 1979): (K,) of (N, K)."""
    pair = np.stack([predicted, truth], axis=2)  # (N, K, 2)
    count = len(pair)
    rows = pair.mean(axis=2, keepdims=True)
    raters = pair.mean(axis=0, keepdims=True)
    grand = pair.mean(axis=(0, 2), keepdims=True)
    between = 2 * ((rows - grand) ** 2).sum(axis=(0, 2)) / (count - 1)
    residual = ((pair - rows - raters + grand) ** 2).sum(axis=(0, 2)) / (count - 1)
    total = between + residual
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
    """Chance that a positive scores higher than a negative (Mann-Whitney), ties count half."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    return float((ranks.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative)))
