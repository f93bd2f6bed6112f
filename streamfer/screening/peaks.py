"""Numbers only: fitting bumps and plateaus to displacement signals sampled in time.

The shape that is looked for is a raised cosine up from onset to apex and down from apex to offset, which is how
brief facial actions are described (rise medians of 0.15-0.20 s in CASME II, SAMM and CAS(ME)^2). A bank of
such shapes of all rise and fall times is fitted, with a free level and slope for drift, to every region around
every instant; long bumps and plain steps compete, so that the rise of a long expression or a swaying head
is explained by those and not taken for a micro-expression.

Why a fitted shape and not a threshold on a low-passed curve: onset and offset come out where the movement starts
and ends instead of where it crosses a level, one frame of noise cannot win, and the share of the signal that
the shape explains is a measure of trust. Nothing here knows about faces, frames or configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

BEFORE_S = 0.50  # the fit sees this much before an apex ...
AFTER_S = 0.50  # ... and this much after it
RISES_S = (0.067, 0.1, 0.133, 0.167, 0.2, 0.25, 0.3)
FALLS_S = (0.067, 0.1, 0.133, 0.167, 0.2, 0.25, 0.3, 0.35, 0.4)
LONGEST_S = 0.6
DRIFT_DEGREE = 2  # level, slope and bend are free: swaying heads bend, actions of half a second do not
STEPS_S = (0.1, 0.2, 0.3, 0.45)


def resample(times_s: np.ndarray, values: np.ndarray, grid_s: np.ndarray) -> np.ndarray:
    """`values` (T, ...) at `times_s` (T,), ascending but of any rate, linearly interpolated at `grid_s`."""
    right = np.clip(np.searchsorted(times_s, grid_s), 1, len(times_s) - 1)
    span = times_s[right] - times_s[right - 1]
    part = np.clip((grid_s - times_s[right - 1]) / np.where(span > 0, span, 1.0), 0.0, 1.0)
    part = part.reshape(-1, *[1] * (values.ndim - 1))
    return values[right - 1] * (1 - part) + values[right] * part


def low_pass(values: np.ndarray, rate_hz: float, corner_hz: float) -> np.ndarray:
    """Second-order Butterworth run forth and back along the first axis: no shift in time. Short inputs pass through.

    The same as scipy.signal.sosfiltfilt (a test holds the two together), by its closed form: forth and back, a Butterworth
    filter of order n multiplies frequency f by 1 / (1 + (tan(pi f / rate) / tan(pi corner / rate))^2n). Importing
    scipy.signal alone would take a quarter of the program's start-up.
    """
    count = len(values)
    if corner_hz >= 0.45 * rate_hz or count <= 9:
        return values
    pad = min(count - 1, round(3 * rate_hz / corner_hz))  # longer than the filter remembers
    before, after = 2 * values[0] - values[pad:0:-1], 2 * values[-1] - values[-2 : -pad - 2 : -1]
    padded = np.concatenate((before, values, after))
    part = np.tan(np.pi * np.fft.rfftfreq(len(padded)) * (1 - 1e-9)) / np.tan(np.pi * corner_hz / rate_hz)
    gain = 1 / (1 + part**4)
    spectrum = np.fft.rfft(padded, axis=0) * gain.reshape(-1, *[1] * (values.ndim - 1))
    return np.fft.irfft(spectrum, len(padded), axis=0)[pad : pad + count]


def bump(times_s: np.ndarray, onset_s: float, apex_s: float, offset_s: float) -> np.ndarray:
    """A raised cosine: 0 up to onset, 1 at apex, 0 from offset on."""
    return plateau(times_s, onset_s, apex_s, apex_s, offset_s)


@dataclass(frozen=True, slots=True)
class Shape:
    """One member of the bank; fall_s None is a step."""

    rise_s: float
    fall_s: float | None

    @property
    def total_s(self) -> float:
        return self.rise_s + (self.fall_s or 0.0)


@dataclass(frozen=True, slots=True)
class Bank:
    """Unit vectors of all shapes over one window, freed of level and slope."""

    rate_hz: float
    before: int  # samples before the apex
    after: int
    shapes: tuple[Shape, ...]
    bumps: np.ndarray  # (J,) bool
    units: np.ndarray  # (J, W)
    heights: np.ndarray  # (J,) height of the shape per unit of its coefficient
    drift: np.ndarray  # (3, W) orthonormal level, slope and bend


@lru_cache(maxsize=8)
def bank(rate_hz: float) -> Bank:
    """The bank at a sample rate (cached: it depends on nothing else)."""
    before, after = round(BEFORE_S * rate_hz), round(AFTER_S * rate_hz)
    at = np.arange(-before, after + 1) / rate_hz
    shapes = [Shape(r, f) for r in RISES_S for f in FALLS_S if r + f <= LONGEST_S and 1 / 4 <= r / f <= 4]
    shapes += [Shape(r, None) for r in STEPS_S]
    curves = np.array([
        bump(at, -s.rise_s, 0.0, s.fall_s) if s.fall_s is not None else bump(at, -s.rise_s / 2, s.rise_s / 2, 1e9)
        for s in shapes
    ])  # fmt: skip
    drift = np.linalg.qr(np.vander(at, DRIFT_DEGREE + 1))[0].T
    free = curves - curves @ drift.T @ drift
    norm = np.linalg.norm(free, axis=1)
    is_bump = np.array([s.fall_s is not None for s in shapes])
    return Bank(rate_hz, before, after, tuple(shapes), is_bump, free / norm[:, None], 1 / norm, drift)


def fit_bank(shapes: Bank, values: np.ndarray, apexes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares coefficients of every shape at every apex.

    `values` (T, R, 2) on the bank's grid, `apexes` (K,) indices with a whole window inside. Returns the
    coefficients (K, J, R, 2) on unit vectors and the energy (K, R) of each window without level and slope.
    """
    windows = values[apexes[:, None] + np.arange(-shapes.before, shapes.after + 1)]  # (K, W, R, 2)
    k, w, r, _ = windows.shape
    flat = windows.transpose(1, 0, 2, 3).reshape(w, -1)
    flat = flat - shapes.drift.T @ (shapes.drift @ flat)
    coefficients = (shapes.units @ flat).reshape(-1, k, r, 2).transpose(1, 0, 2, 3)
    energy = np.einsum("wn,wn->n", flat, flat).reshape(k, r, 2).sum(axis=2)
    return coefficients, energy


def plateau(times_s: np.ndarray, onset_s: float, apex_s: float, release_s: float, offset_s: float) -> np.ndarray:
    """A raised cosine up, 1 from apex to release, a raised cosine down."""
    rise = (times_s - onset_s) / max(apex_s - onset_s, 1e-6)
    fall = (offset_s - times_s) / max(offset_s - release_s, 1e-6)
    part = np.minimum(rise, fall)
    np.maximum(part, 0.0, out=part)
    np.minimum(part, 1.0, out=part)
    return 0.5 - 0.5 * np.cos(np.pi * part)


def refine(
    times_s: np.ndarray, values: np.ndarray, knots_s: tuple[float, float, float, float], step_s: float, slope: bool = True
) -> tuple[tuple[float, float, float, float], float]:
    """Move onset, apex, release and offset in ever smaller steps to where the shape explains most of `values` (T, C).

    Apex and release that start together stay together. Returns the four times and the share of energy explained
    (0-1), level and (unless switched off) slope being free. `times_s` need not be uniform.
    """
    drift = np.linalg.qr(np.vander(times_s - times_s.mean(), 2 if slope else 1))[0]
    free = values - drift @ (drift.T @ values)
    energy = float((free * free).sum()) + 1e-12
    first_s, last_s = float(times_s[0]), float(times_s[-1])
    moves = ((0, 1, 0, 0), (0, 0, 1, 0)) if knots_s[2] > knots_s[1] else ((0, 1, 1, 0),)
    directions = np.array([*moves, (1, 0, 0, 0), (0, 0, 0, 1)], float)

    def explained(at: np.ndarray) -> float:
        if not (first_s <= at[0] and at[0] + 0.03 <= at[1] <= at[2] <= at[3] - 0.03 and at[3] <= last_s):
            return -1.0
        curve = plateau(times_s, *at)
        curve = curve - drift @ (drift.T @ curve)
        norm = float(curve @ curve)
        return float(((curve @ free) ** 2).sum()) / norm / energy if norm > 1e-9 else -1.0

    best = np.array(knots_s)
    share = explained(best)
    step = step_s
    for _ in range(60):
        if step < 0.003:
            break
        moved = False
        for direction in directions:
            for sign in (-step, step):
                value = explained(best + sign * direction)
                if value > share:
                    best, share, moved = best + sign * direction, value, True
        if not moved:
            step /= 2
    return (float(best[0]), float(best[1]), float(best[2]), float(best[3])), share
