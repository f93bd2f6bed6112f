"""How sure the screener is: a logistic function of a few numbers, 0-1.

The weights were fitted by streamfer/training/fit_screening.py on the tuning clips only (see benchmarks/LOG.md for
clips, seeds and the figures on clips that it has not seen).
"""

from __future__ import annotations

import math

from streamfer.records import Kind
from streamfer.screening.brief import LOWER, Bump
from streamfer.screening.context import Surroundings

MICRO_WEIGHTS: dict[str, float] = {
    "bias": -3.065,
    "log_fit": 0.812,  # energy explained over energy left
    "log_height": -0.184,  # against 0.04 IED
    "log_share": 1.021,  # odds of the energy explained near the action
    "log_step": 0.618,  # bump against plain step
    "log_noise": -0.710,  # height against the recent movement of the same regions
    "agree": 0.968,  # the landmarks moved the same way, as a share
    "busy": 0.051,  # recent movement of that half of the face, against 0.01 IED
    "large": -4.185,  # higher than micro-expressions are (0.1 IED)
    "short": -14.401,  # shorter than four frames of a 30 fps film
    "blink": -3.952,  # the eyes closed meanwhile, by this share beyond 0.15
    "blink_now": -5.168,  # and were most closed at the very apex
    "head_speed": -0.606,  # IED/s
    "head_bump": -1.011,  # the head went out and back with it, against the height
    "lower": 1.035,  # the lower face, and for it alone:
    "lower_log_fit": -0.124,
    "lower_large": -3.674,
    "lower_talking": -1.184,  # mouth rhythm
    "lower_opening": -0.123,  # the lips parted, against the height
    "lower_busy": -0.804,
    "lower_blink": -0.613,
}

MACRO_WEIGHTS: dict[str, float] = {
    "bias": 3.225,
    "log_fit": 0.010,
    "log_height": -1.283,
    "log_share": 1.112,
    "log_step": -3.162,
    "log_noise": 1.460,
    "agree": -0.219,
    "busy": -0.669,
    "large": 0.759,
    "short": 0.000,
    "blink": -1.513,
    "blink_now": 1.091,
    "head_speed": -0.313,
    "head_bump": 0.470,
    "lower": -1.923,
    "lower_log_fit": 0.875,
    "lower_large": -0.037,
    "lower_talking": 0.375,
    "lower_opening": 1.145,
    "lower_busy": -0.441,
    "lower_blink": -0.057,
}

BLINK_LAG_S = 0.2  # a blink lasts 0.2-0.5 s: its deepest point this far from an apex is another movement


def features(bump: Bump, around: Surroundings) -> dict[str, float]:
    """The numbers that the weights are for."""
    lower = 1.0 if bump.half == LOWER else 0.0
    log_fit = _log(bump.fit, 0.1, 30.0)
    large = max(0.0, math.log(max(bump.height, 1e-3) / 0.1))
    busy = _log(around.busy / 0.01, 0.3, 30.0)
    blink = max(0.0, around.blink - 0.15)
    return {
        "bias": 1.0,
        "log_fit": log_fit,
        "log_height": _log(bump.height / 0.04, 0.1, 10.0),
        "log_share": _log((bump.share + 0.01) / (1.01 - bump.share), 0.1, 50.0),
        "log_step": _log(bump.fit / (bump.step_fit + 0.05), 0.3, 30.0),
        "log_noise": _log(bump.height / (around.noise + 0.003), 0.3, 30.0),
        "agree": min(max(around.agree, -0.5), 1.5),
        "busy": busy,
        "large": large,
        "short": max(0.0, 0.13 - bump.total_s) / 0.1,
        "blink": blink,
        "blink_now": blink * max(0.0, 1.0 - around.blink_lag / BLINK_LAG_S),
        "head_speed": min(around.head_speed, 3.0),
        "head_bump": min(around.head_bump / max(bump.height, 1e-3), 3.0),
        "lower": lower,
        "lower_log_fit": lower * log_fit,
        "lower_large": lower * large,
        "lower_talking": lower * _log(1 + around.talking / 0.02, 0.5, 10.0),
        "lower_opening": lower * min(around.opening / max(bump.height, 1e-3), 3.0),
        "lower_busy": lower * busy,
        "lower_blink": lower * blink,
    }


def score(numbers: dict[str, float], kind: Kind) -> float:
    """0-1 from `features`."""
    weights = MICRO_WEIGHTS if kind == "micro" else MACRO_WEIGHTS
    total = sum(weight * numbers[name] for name, weight in weights.items())
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))


def _log(value: float, low: float, high: float) -> float:
    return math.log(min(max(value, low), high))
