"""Fit the weights of streamfer/screening/score.py: a small logistic regression on tuning clips.

    python -m streamfer.training.fit_screening ROWS.csv [--prior 1.0]

ROWS has one line per bump: the numbers of `score.features` and `hit` (1 when the bump overlaps a true
event of its kind with IoU >= 0.5). screening_rows.py makes it from clips with known truth; tuning and reporting
clips must be different people and seeds. Prints the table to paste into score.py. Newton's method with a Gaussian
prior (`--prior`, its standard deviation per feature); no other dependency.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from streamfer.screening.score import MICRO_WEIGHTS

ROUNDS = 50
PRIOR_MEANS = {"lower_talking": -2.0, "lower_opening": -1.0}
"""Speech is a confound of every signal of the mouth (research on micro-expressions in interviews), and clips with
speech and known truth are few: without evidence to the contrary the mouth of a talking face is not believed."""


def fit(numbers: np.ndarray, hits: np.ndarray, importance: np.ndarray, prior: float, means: np.ndarray) -> np.ndarray:
    """Weights (F,) for `numbers` (N, F), `hits` (N,) 0/1 and `importance` (N,); the first feature is the bias.

    `means` (F,) is where the prior pulls the weights to.
    """
    spread = numbers.std(axis=0)
    spread[spread == 0] = 1.0
    scaled = numbers / spread
    precision = np.full(numbers.shape[1], 1 / prior**2)
    precision[0] = 1e-3
    centre = means * spread

    def loss(weights: np.ndarray) -> float:
        total = scaled @ weights
        each = np.logaddexp(0.0, total) - hits * total
        return float(importance @ each + 0.5 * precision @ (weights - centre) ** 2)

    weights = centre.copy()
    for _ in range(ROUNDS):
        chance = 1 / (1 + np.exp(-np.clip(scaled @ weights, -30, 30)))
        slope = scaled.T @ (importance * (hits - chance)) - precision * (weights - centre)
        curvature = (scaled * (importance * chance * (1 - chance))[:, None]).T @ scaled + np.diag(precision)
        step = np.linalg.solve(curvature, slope)
        while loss(weights + step) > loss(weights) and np.abs(step).max() > 1e-6:
            step = step / 2  # Newton overshoots where the classes are far apart
        weights = weights + step
        if np.abs(step).max() < 1e-6:
            break
    return weights / spread


@click.command(help=__doc__)
@click.argument("rows", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--prior", default=1.0, show_default=True, help="standard deviation of the weights")
def main(rows: Path, prior: float) -> None:
    import pandas as pd

    table = pd.read_csv(rows)
    numbers = table[list(MICRO_WEIGHTS)].to_numpy(float)
    hits = table["hit"].to_numpy(float)
    importance = table["importance"].to_numpy(float) if "importance" in table else np.ones(len(table))
    means = np.array([PRIOR_MEANS.get(name, 0.0) for name in MICRO_WEIGHTS])
    for name, weight in zip(MICRO_WEIGHTS, fit(numbers, hits, importance, prior, means), strict=True):
        print(f'    "{name}": {weight:.3f},')


if __name__ == "__main__":
    main()
