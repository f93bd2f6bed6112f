"""How sure the screener is: a logistic function of a few numbers, 0-1.

The weights were fitted by streamfer/training/fit_screening.py on the tuning clips only (see benchmarks/LOG.md for
clips, seeds and the figures on clips that it has not seen).
"""

from __future__ import annotations

import math

from streamfer.records import Kind
from streamfer.screening.brief import LOWER, Bump
from streamfer.screening.context import BLINK_DROP, TALK_OPENING_IED, Surroundings

MICRO_WEIGHTS: dict[str, float] = {
    "bias": -6.868,
    "log_fit": 1.632,  # energy explained over energy left
    "log_height": -1.511,  # against 0.04 IED
    "log_share": 1.753,  # odds of the energy explained near the action
    "log_step": 0.858,  # bump against plain step
    "log_noise": -1.022,  # height against the recent movement of the same regions
    "agree": 1.733,  # the landmarks moved the same way, as a share
    "busy": 0.498,  # recent movement of that half of the face, against 0.01 IED
    "large": -6.659,  # higher than micro-expressions are (0.1 IED)
    "short": 0.000,  # shorter than four frames of a 30 fps film
    "blink": -6.611,  # the eyes closed meanwhile, by this share beyond OPEN_EYES
    "blink_now": -4.490,  # and were most closed at the very apex
    "head_speed": 0.325,  # IED/s
    "head_bump": -0.312,  # the head went out and back with it, against the height, and landmarks do not agree
    "head_unseen": -0.195,  # head speed when the landmarks do not agree
    "lower": 2.536,  # the lower face, and for it alone:
    "lower_log_fit": -0.866,
    "lower_large": 1.711,
    "lower_talking": -1.944,  # mouth rhythm
    "lower_opening": -1.844,  # the lips parted, against the height
    "lower_busy": -0.755,
    "lower_blink": 0.283,
}

MACRO_WEIGHTS: dict[str, float] = {
    "bias": -2.822,
    "log_fit": 0.784,
    "log_height": 0.079,
    "log_share": 0.765,
    "log_step": 0.000,
    "log_noise": -0.160,
    "agree": 0.293,
    "busy": -0.302,
    "large": 1.851,
    "short": 0.000,
    "blink": -0.285,
    "blink_now": -5.738,
    "head_speed": -0.616,
    "head_bump": -0.182,
    "head_unseen": -5.390,
    "lower": -0.193,
    "lower_log_fit": 0.593,
    "lower_large": 3.941,
    "lower_talking": -1.361,
    "lower_opening": 1.039,
    "lower_busy": -0.091,
    "lower_blink": -1.117,
}

OPEN_EYES = 0.25  # eyes vary by this share without blinking
LONGEST_BLINK_S = 1.0
BLINK_LAG_S = 0.2  # a blink lasts 0.2-0.5 s: its deepest point this far from an apex is another movement


def features(bump: Bump, around: Surroundings) -> dict[str, float]:
    """The numbers that the weights are for."""
    lower = 1.0 if bump.half == LOWER else 0.0
    log_fit = _log(bump.fit, 0.1, 30.0)
    large = max(0.0, math.log(max(bump.height, 1e-3) / 0.1))
    busy = _log(around.busy / 0.01, 0.3, 30.0)
    blink = max(0.0, around.blink - OPEN_EYES)
    agree = min(max(around.agree, 0.0), 1.0)
    return {
        "bias": 1.0,
        "log_fit": log_fit,
        "log_height": _log(bump.height / 0.04, 0.1, 10.0),
        "log_share": _log((bump.share + 0.01) / (1.01 - bump.share), 0.1, 50.0),
        "log_step": 0.0 if bump.step_fit is None else _log(bump.fit / (bump.step_fit + 0.05), 0.3, 30.0),
        "log_noise": _log(bump.height / (around.noise + 0.003), 0.3, 30.0),
        "agree": agree,
        "busy": busy,
        "large": large,
        "short": max(0.0, 0.13 - bump.total_s) / 0.1,
        "blink": blink,
        "blink_now": blink * max(0.0, 1.0 - around.blink_lag / BLINK_LAG_S),
        "head_speed": min(around.head_speed, 3.0),
        "head_bump": min(around.head_bump / max(bump.height, 1e-3), 3.0) * (1 - agree),
        "head_unseen": min(around.head_speed, 3.0) * (1 - agree),
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


def strong(peak: float, half: int, total_s: float, around: Surroundings) -> float:
    """0-1 for an expression in the AU curves with this peak intensity; chosen, not fitted.

    Half at intensity 1.2 (where a run begins), 0.9 at 2.3. Speech asks for one step of the FACS scale more of the
    lower face, and so does a blink of anything short: closing eyes look like raised cheeks.
    """
    talking = 1.0 if half == LOWER and around.talking > TALK_OPENING_IED else 0.0
    blinking = 1.0 if around.blink > BLINK_DROP and total_s < LONGEST_BLINK_S else 0.0
    return 1.0 / (1.0 + math.exp(-2.0 * (peak - 1.2 - talking - blinking)))


def _log(value: float, low: float, high: float) -> float:
    return math.log(min(max(value, low), high))
