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
    "bias": -6.948,
    "log_fit": 1.591,  # energy explained over energy left
    "log_height": -1.515,  # against 0.04 IED
    "log_share": 1.745,  # odds of the energy explained near the action
    "log_step": 0.856,  # bump against plain step
    "log_noise": -0.936,  # height against the recent movement of the same regions
    "agree": 1.704,  # the landmarks moved the same way, as a share
    "busy": 0.489,  # recent movement of that half of the face, against 0.01 IED
    "large": -6.661,  # higher than micro-expressions are (0.1 IED)
    "short": 0.000,  # shorter than four frames of a 30 fps film
    "blink": -6.583,  # the eyes closed meanwhile, by this share beyond OPEN_EYES
    "blink_now": -4.596,  # and were most closed at the very apex
    "head_speed": 0.370,  # IED/s
    "head_bump": -0.328,  # the head went out and back with it, against the height, and landmarks do not agree
    "head_unseen": -0.186,  # head speed when the landmarks do not agree
    "lower": 2.537,  # the lower face, and for it alone:
    "lower_log_fit": -0.868,
    "lower_large": 1.771,
    "lower_talking": -1.919,  # mouth rhythm
    "lower_opening": -1.849,  # the lips parted, against the height
    "lower_busy": -0.755,
    "lower_blink": 0.326,
}

MACRO_WEIGHTS: dict[str, float] = {
    "bias": -4.549,
    "log_fit": 0.758,
    "log_height": -0.114,
    "log_share": 0.714,
    "log_step": 0.000,
    "log_noise": 1.127,
    "agree": 2.173,
    "busy": 0.495,
    "large": -0.140,
    "short": 0.000,
    "blink": -2.790,
    "blink_now": -2.214,
    "head_speed": -1.111,
    "head_bump": -0.764,
    "head_unseen": -4.420,
    "lower": 0.015,
    "lower_log_fit": 0.699,
    "lower_large": 0.386,
    "lower_talking": -1.218,
    "lower_opening": 0.198,
    "lower_busy": -0.218,
    "lower_blink": -1.575,
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
