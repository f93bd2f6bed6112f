"""How sure the screener is: a logistic function of ten numbers, 0-1.

The weights were fitted by streamfer/training/fit_screening.py on the tuning clips only (see benchmarks/LOG.md for
clips, seeds and the figures on clips that it has not seen).
"""

from __future__ import annotations

import math

from streamfer.screening.brief import LOWER, Bump
from streamfer.screening.context import Surroundings

FEATURES: tuple[tuple[str, float], ...] = (
    # name, weight
    ("bias", -1.0),
    ("log_fit", 1.6),  # energy explained over energy left
    ("log_height", 1.0),  # against 0.04 IED
    ("log_share", 0.5),  # odds of the energy explained near the action
    ("log_step", 0.2),  # bump against plain step
    ("log_noise", 0.3),  # height against the recent movement of the same regions
    ("blink", -5.0),  # the eyes closed meanwhile
    ("head_speed", -0.5),
    ("head_bump", -1.0),  # the head went out and back with it, against the height
    ("talking", -1.0),  # mouth rhythm, for the lower face only
    ("short", -1.0),  # shorter than three frames of a 30 fps film
)


def features(bump: Bump, around: Surroundings) -> dict[str, float]:
    """The numbers named in FEATURES."""
    lower = LOWER in bump.halves and len(bump.halves) == 1
    return {
        "bias": 1.0,
        "log_fit": _log(bump.fit, 0.1, 30.0),
        "log_height": _log(bump.height / 0.04, 0.1, 10.0),
        "log_share": _log((bump.share + 0.01) / (1.01 - bump.share), 0.1, 50.0),
        "log_step": _log(bump.fit / (bump.step_fit + 0.05), 0.3, 30.0),
        "log_noise": _log(bump.height / (around.noise + 0.003), 0.3, 30.0),
        "blink": max(0.0, around.blink - 0.15) if around.blink_lag < 0.3 else 0.0,
        "head_speed": min(around.head_speed, 3.0),
        "head_bump": min(around.head_bump / max(bump.height, 1e-3), 3.0),
        "talking": _log(1 + around.talking / 0.02, 0.5, 10.0) if lower else 0.0,
        "short": max(0.0, 0.13 - bump.total_s) / 0.1,
    }


def score(numbers: dict[str, float]) -> float:
    """0-1 from `features`."""
    total = sum(weight * numbers[name] for name, weight in FEATURES)
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))


def _log(value: float, low: float, high: float) -> float:
    return math.log(min(max(value, low), high))
