"""From a clip with known truth to rows, from rows to weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from click.testing import CliRunner

from streamfer.screening.score import MICRO_WEIGHTS
from streamfer.training.fit_screening import fit
from streamfer.training.fit_screening import main as fit_main
from streamfer.training.screening_rows import main as rows_main

SAMPLE = Path(__file__).parent.parent / "samples" / "portrait.mp4"


def test_rows_of_the_sample_find_its_micro_expressions(tmp_path: Path) -> None:
    import pandas as pd

    run = CliRunner().invoke(rows_main, [str(SAMPLE), "-o", str(tmp_path / "rows.csv")])
    assert run.exit_code == 0, run.output
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert set(MICRO_WEIGHTS) <= set(rows.columns)
    hits = rows[rows["hit"] == 1]
    assert 2 <= len(hits) < len(rows)  # three are planted; blinks and macro-expressions leave bumps that are none
    assert hits["score"].mean() > rows[rows["hit"] == 0]["score"].mean()
    run = CliRunner().invoke(fit_main, [str(tmp_path / "rows.csv")])
    assert run.exit_code == 0 and '"log_fit":' in run.output, run.output


def test_the_fit_finds_the_weights_that_made_the_rows() -> None:
    rng = np.random.default_rng(0)
    numbers = np.column_stack([np.ones(4000), rng.normal(size=(4000, 2))])
    chance = 1 / (1 + np.exp(-(numbers @ [-1.0, 2.0, 0.0])))
    hits = (rng.random(4000) < chance).astype(float)
    weights = fit(numbers, hits, np.ones(4000), 3.0, np.zeros(3))
    assert np.allclose(weights, [-1.0, 2.0, 0.0], atol=0.2)
