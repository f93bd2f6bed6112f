"""What else went on around an action: blinks, head motion, speech, noise. The numbers that a score is made of.

Each number is dimensionless or in IED and IED/s, and is computed from a bounded time around the action, so that a
live run, a file and a resumed run give the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamfer.screening import peaks
from streamfer.screening.flow import GEOMETRY, REGIONS
from streamfer.screening.series import Series

AROUND_S = 1.5  # how far the surroundings reach to either side
BLINK_DROP = 0.35  # the eyes count as closing when their opening falls by this share
TALK_LOW_HZ, TALK_HIGH_HZ = 2.0, 8.0  # syllables
TALK_OPENING_IED = 0.03  # root mean square of the mouth opening in that band
YAW_RATE_DEG_S = 30.0
HEAD_SPEED_IED = 0.6  # IED per second: faster heads leave errors behind

N_FLOW = 2 * len(REGIONS)  # first columns of a row of moves: cumulative x, y of every region
N_RIGID = 6  # then the cumulative head motion
POSITION = N_FLOW + N_RIGID  # then the positions of the regions by their landmarks, x, y
FUSED = POSITION + N_FLOW  # then flow with its drift taken off by the landmarks
MISFIT = FUSED + N_FLOW
MOVE_WIDTH = MISFIT + 1

STATE_WIDTH = len(GEOMETRY) + 2  # geometry, yaw, pitch; AU columns follow
YAW, PITCH = len(GEOMETRY), len(GEOMETRY) + 1
_MOUTH_OPEN = GEOMETRY.index("mouth_open")
_GRID_HZ = 30.0
_UPPER = tuple(i for i, name in enumerate(REGIONS) if name.startswith("brow"))
_LOWER = tuple(i for i, name in enumerate(REGIONS) if name.startswith(("mouth", "lip", "chin")))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """See the field comments; `features` in score.py makes a score of them."""

    blink: float  # share by which the eyes closed during the action, 0-1
    blink_lag: float  # s between the apex and the moment of most closed eyes
    head_speed: float  # IED/s, mean over the action
    head_bump: float  # IED, how far the head went out and back during the action
    misfit: float  # IED, mean misfit of the rigid motion during the action
    talking: float  # IED, root mean square mouth opening in the syllable band, outside the action
    agree: float  # movement of the landmarks along that of the flow, as a share of it: about 1 when both saw the same
    opening: float  # IED, how far the lips parted (or closed) with the action
    noise: float  # IED, robust size of brief movement of the same regions outside the action
    busy: float  # IED, the same for the whole half of the face
    yaw_rate: float  # degrees/s


def look_around(
    moves: Series, states: Series, regions: tuple[int, ...], onset_s: float, apex_s: float, offset_s: float
) -> Surroundings:
    """Measure around one action. Both series must hold the action and may hold up to AROUND_S on either side."""
    during = moves.between(onset_s, offset_s)
    times, rows = moves.times[during], moves.rows[during]
    rigid = rows[:, N_FLOW : N_FLOW + N_RIGID]
    span_s = max(offset_s - onset_s, 1e-3)
    head_speed = head_bump = misfit = 0.0
    if len(times) > 2:
        head_speed = float(np.linalg.norm(np.diff(rigid, axis=0), axis=1).sum()) / span_s
        head_bump = float(np.linalg.norm(_out_and_back(times, rigid, onset_s, apex_s, offset_s)[:4]))
        misfit = float(rows[:, MISFIT].mean())
    blink, blink_lag = _blink(states, onset_s, apex_s, offset_s)
    near = states.between(onset_s - 0.1, offset_s + 0.1)
    opening = 0.0
    if near.stop - near.start > 2:
        mouth = states.rows[near, _MOUTH_OPEN : _MOUTH_OPEN + 1]
        opening = float(_out_and_back(states.times[near], mouth, onset_s, apex_s, offset_s)[0])
    half = _UPPER if any(region in _UPPER for region in regions) else _LOWER
    return Surroundings(
        blink, blink_lag, head_speed, head_bump, misfit, _talking(states, onset_s, offset_s),
        _agree(moves, regions, onset_s, apex_s, offset_s), abs(opening),
        _noise(moves, regions, onset_s, offset_s), _noise(moves, half, onset_s, offset_s),
        _yaw_rate(states, onset_s, offset_s),
    )  # fmt: skip


def _out_and_back(times: np.ndarray, values: np.ndarray, onset_s: float, apex_s: float, offset_s: float) -> np.ndarray:
    """Displacement at the apex from the straight line between onset and offset."""
    at = peaks.resample(times, values, np.array([onset_s, apex_s, offset_s]))
    part = (apex_s - onset_s) / max(offset_s - onset_s, 1e-6)
    return at[1] - (at[0] * (1 - part) + at[2] * part)


def _agree(moves: Series, regions: tuple[int, ...], onset_s: float, apex_s: float, offset_s: float) -> float:
    """Fit of the action's shape to landmarks and to flow, over all frames of it: single landmarks are too noisy."""
    part = moves.between(onset_s - 0.1, offset_s + 0.1)
    times = moves.times[part]
    if len(times) < 5:
        return 0.0
    drift = np.linalg.qr(np.column_stack([np.ones(len(times)), times - times[0]]))[0]
    shape = peaks.bump(times, onset_s, apex_s, offset_s)
    shape = shape - drift @ (drift.T @ shape)
    columns = np.array([2 * region + axis for region in regions for axis in (0, 1)])
    by_flow = shape @ moves.rows[part][:, columns]
    by_landmarks = shape @ moves.rows[part][:, POSITION + columns]
    return float(by_flow @ by_landmarks) / (float(by_flow @ by_flow) + 1e-12)


def _blink(states: Series, onset_s: float, apex_s: float, offset_s: float) -> tuple[float, float]:
    near = states.between(apex_s - AROUND_S, apex_s + AROUND_S)
    during = states.between(onset_s - 0.07, offset_s + 0.07)
    if during.stop - during.start < 2:
        return 0.0, 1.0
    opening = states.rows[:, :2].mean(axis=1)
    usual = float(np.quantile(opening[near], 0.7))
    lowest = int(opening[during].argmin())
    drop = 1.0 - float(opening[during][lowest]) / max(usual, 1e-3)
    return float(np.clip(drop, 0.0, 1.0)), abs(float(states.times[during][lowest]) - apex_s)


def _talking(states: Series, onset_s: float, offset_s: float) -> float:
    near = states.between(onset_s - AROUND_S, offset_s + AROUND_S)
    times = states.times[near]
    if len(times) < 12 or times[-1] - times[0] < 0.6:
        return 0.0
    grid_s = np.arange(times[0], times[-1], 1 / _GRID_HZ)
    opening = peaks.resample(times, states.rows[near, _MOUTH_OPEN], grid_s)
    band = peaks.low_pass(opening, _GRID_HZ, TALK_HIGH_HZ) - peaks.low_pass(opening, _GRID_HZ, TALK_LOW_HZ)
    outside = (grid_s < onset_s - 0.1) | (grid_s > offset_s + 0.1)
    return float(np.sqrt(np.mean(band[outside] ** 2))) if outside.sum() > 5 else 0.0


def _noise(moves: Series, regions: tuple[int, ...], onset_s: float, offset_s: float) -> float:
    near = moves.between(onset_s - AROUND_S, offset_s + AROUND_S)
    times = moves.times[near]
    if len(times) < 12 or times[-1] - times[0] < 0.6:
        return 0.0
    columns = [2 * region + axis for region in regions for axis in (0, 1)]
    grid_s = np.arange(times[0], times[-1], 1 / _GRID_HZ)
    values = peaks.resample(times, moves.rows[near][:, columns], grid_s)
    brief = peaks.low_pass(values, _GRID_HZ, 6.0) - peaks.low_pass(values, _GRID_HZ, 1.2)
    outside = (grid_s < onset_s - 0.15) | (grid_s > offset_s + 0.15)
    if outside.sum() < 6:
        return 0.0
    size = np.sqrt((brief[outside] ** 2).sum(axis=1) / len(regions))
    return 1.4826 * float(np.median(size))


def _yaw_rate(states: Series, onset_s: float, offset_s: float) -> float:
    at = peaks.resample(states.times, states.rows[:, YAW : PITCH + 1], np.array([onset_s, offset_s]))
    return float(np.hypot(*(at[1] - at[0]))) / max(offset_s - onset_s, 1e-3)
