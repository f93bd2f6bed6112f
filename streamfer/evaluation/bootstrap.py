"""How far a score would move with other people: bootstrap over subjects.

Clips of one person are not independent, so whole subjects are drawn again with replacement, as many as there are, and
the score is taken of each draw; the interval is between its percentiles (Efron & Tibshirani 1993, ch. 13). Most scores
are functions of sums over subjects (hits, confusion counts, sums of squares), which makes a draw one matrix product:
`interval`. Those that are not (average precision, AUC) give `multiplicities` and weight their items: `interval_of`.

A draw in which the score is undefined (nothing predicted, say) is left out. With fewer than two subjects there is no
interval (NaN). The generator is seeded: the same results give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

LEVEL = 0.95
DRAWS = 2000


def multiplicities(subjects: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(draws, subjects): how often each subject is in each draw; every row sums to `subjects`."""
    return np.random.default_rng(seed).multinomial(subjects, np.full(subjects, 1 / subjects), draws)


def interval(
    table: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray],
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """For a `score` of sums. `table` (S, ...) has one row per subject; `score` maps (draws, ...) to (draws,)."""
    table = np.asarray(table, np.float64)
    if len(table) < 2:
        return math.nan, math.nan
    drawn = multiplicities(len(table), draws, seed)
    return percentiles(score(np.tensordot(drawn, table, axes=1)), level)


def interval_of(
    subjects: int, score: Callable[[np.ndarray], float], level: float = LEVEL, draws: int = 300, seed: int = 0
) -> tuple[float, float]:
    """For any `score` of how often each subject counts, (S,). Called once for each draw."""
    if subjects < 2:
        return math.nan, math.nan
    return percentiles(np.array([score(row) for row in multiplicities(subjects, draws, seed)]), level)


def percentiles(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The middle `level` of the values that are defined."""
    if np.isnan(values).all():
        return math.nan, math.nan
    tail = 100 * (1 - level) / 2
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where below is 0."""
    above, below = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
