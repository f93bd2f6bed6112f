"""Lasting actions: shapes that rise, may be held, and fall within half a second to eight seconds.

The same idea as brief.py on a slower grid and on another signal: summed-up flow, which is fine but drifts when the head
turns, held in place over DRIFT_S by the landmarks, which are coarse and do not drift. Shapes are arranged by the end
of the action, so that an event can be reported soon after its offset: at every step all shapes that end there are
fitted, each to its own time and MARGIN_S on either side, with the level free. Of overlapping candidates the best
stands when nothing better has come for SETTLE_S.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np

from streamfer.screening import peaks
from streamfer.screening.brief import HALF_OF_GROUP, LOWER, MEMBERS, SIZES, UPPER, Bump
from streamfer.screening.context import FUSED, MISFIT
from streamfer.screening.series import Series

GRID_HZ = 15.0
HOP_S = 0.2
DRIFT_S = 2.0  # time constant with which landmarks correct the flow
FINE = 2  # frames are interpolated so many times finer and averaged: a frame here or there must not matter
RISES_S = (0.25, 0.45, 0.75, 1.1)
HOLDS_S = (0.0, 0.4, 1.0, 2.0, 3.5, 5.0)
FALLS_S = (0.25, 0.5, 0.9, 1.5)
SHORTEST_S, LONGEST_S = 0.6, 8.0
MARGIN_S = 0.35
SETTLE_S = 0.4
SETTLING_S = 0.3  # the first landmarks of a track have not settled on the face yet
NOISE_IED = 0.005
MIN_HEIGHT_IED = 0.015
MIN_FIT = 1.2
OVERLAP = 0.4  # two candidates are the same action when they share so much of the shorter one
DECISION_S = MARGIN_S + SETTLE_S + HOP_S  # from an offset to its event
_MEMBERS_XY = np.repeat(MEMBERS.T, 2, axis=0)  # (2R, G) of the x and y of every region


@dataclass(frozen=True, slots=True)
class _Bank:
    """J shapes in one window of W samples that ends MARGIN_S after every offset."""

    width: int
    knots_s: np.ndarray  # (J, 4) onset, apex, release, offset against the end of the window
    units: np.ndarray  # (J, W)
    heights: np.ndarray  # (J,)
    level: np.ndarray  # (J, W) unit vectors; level only: with a slope free, half of a long rise would pass for a bump
    inside: np.ndarray  # (J, W) 0/1
    floor: np.ndarray  # (J, G) energy of the noise


@lru_cache(maxsize=1)
def _bank() -> _Bank:
    width = round((LONGEST_S + 2 * MARGIN_S) * GRID_HZ) + 1
    at = (np.arange(width) - width + 1) / GRID_HZ
    knots = []
    for rise, hold, fall in product(RISES_S, HOLDS_S, FALLS_S):
        if SHORTEST_S <= rise + hold + fall <= LONGEST_S and 0.2 <= rise / fall <= 4:
            knots.append((-MARGIN_S - fall - hold - rise, -MARGIN_S - fall - hold, -MARGIN_S - fall, -MARGIN_S))
    units, heights, levels, inside = [], [], [], []
    for shape in knots:
        within = (at >= shape[0] - MARGIN_S - 1e-9).astype(float)
        level = within / np.linalg.norm(within)
        curve = peaks.plateau(at, *shape)
        curve = curve - level * (level @ curve)
        norm = float(np.linalg.norm(curve))
        units.append(curve / norm)
        heights.append(1 / norm)
        levels.append(level)
        inside.append(within)
    floor = np.sum(inside, axis=1)[:, None] * NOISE_IED**2 * SIZES
    return _Bank(
        width, np.array(knots), np.array(units), np.array(heights), np.array(levels), np.array(inside), floor
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    knots_s: tuple[float, float, float, float]
    group: int
    fit: float
    height: float


class LastingScan:
    """As BriefScan: `push` returns bumps, those of both halves of the face at the same time together."""

    def __init__(self, moves: Series, start_s: float) -> None:
        self._moves = moves
        self._start_s = start_s
        self._next = int(np.ceil((start_s + SHORTEST_S + MARGIN_S) * GRID_HZ))
        self._settled_s = -np.inf
        self._pending: tuple[list[_Candidate], list[_Candidate]] = ([], [])
        self._told: tuple[list[_Candidate], list[_Candidate]] = ([], [])

    def push(self, now_s: float, end: bool = False) -> list[tuple[Bump, ...]]:
        """Fit what has ended by `now_s`; at the `end` the last value is held."""
        hop = round(HOP_S * GRID_HZ)
        last = int(np.floor((now_s + MARGIN_S if end else now_s) * GRID_HZ))
        last = last if end else last // hop * hop - 1
        while self._next <= last:
            count = min(last - self._next + 1, 4 * hop)
            self._look(np.arange(self._next, self._next + count), now_s)
            self._next += count
        return self._settle(np.inf if end else self._next / GRID_HZ)

    def _look(self, indices: np.ndarray, now_s: float) -> None:
        bank = _bank()
        first = indices[0] - bank.width + 1
        fine_s = (np.arange(first * FINE, (indices[-1] + 1) * FINE) - (FINE - 1) / 2) / (GRID_HZ * FINE)
        part = self._moves.between(fine_s[0] - 0.3, fine_s[-1] + 0.3)
        times, rows = self._moves.times[part], self._moves.rows[part, FUSED:MISFIT]
        if len(times) < 8:
            return
        values = peaks.resample(times, rows, fine_s).reshape(-1, FINE, rows.shape[1]).mean(axis=1)
        for index in indices:
            offset = index - indices[0]
            window = values[offset : offset + bank.width]
            window = window - window.mean(axis=0)
            energy = bank.inside @ window**2 - (bank.level @ window) ** 2  # (J, 2R)
            by_region = (bank.units @ window) ** 2 @ _MEMBERS_XY  # (J, G)
            total = energy @ _MEMBERS_XY
            fit = by_region / (np.maximum(total - by_region, 0.0) + bank.floor)
            height = np.sqrt(by_region / SIZES) * bank.heights[:, None]
            end_s = index / GRID_HZ
            begins = end_s + bank.knots_s[:, 0] >= self._start_s + SETTLING_S
            fit = np.where((height >= MIN_HEIGHT_IED) & begins[:, None], fit, 0.0)
            if end_s - MARGIN_S > now_s:
                continue
            for half in (UPPER, LOWER):
                groups = np.flatnonzero(half == HALF_OF_GROUP)
                shape, group = divmod(int(fit[:, groups].argmax()), len(groups))
                best = float(fit[shape, groups[group]])
                if best >= MIN_FIT:
                    k = end_s + bank.knots_s[shape]
                    self._offer(half, _Candidate(
                        (float(k[0]), float(k[1]), float(k[2]), float(k[3])), int(groups[group]), best,
                        float(height[shape, groups[group]]),
                    ))  # fmt: skip

    def _offer(self, half: int, new: _Candidate) -> None:
        if any(_same(new, old) for old in self._told[half]):
            return
        rivals = [old for old in self._pending[half] if _same(new, old)]
        if all(new.fit > old.fit for old in rivals):
            self._pending[half][:] = [old for old in self._pending[half] if old not in rivals] + [new]

    def _settle(self, seen_s: float) -> list[tuple[Bump, ...]]:
        """Candidates that can no longer be topped, each with its partner in the other half of the face."""
        out: list[tuple[Bump, ...]] = []
        if seen_s <= self._settled_s:
            return out  # nothing was looked at since
        self._settled_s = seen_s
        for half in (UPPER, LOWER):
            for ripe in [c for c in self._pending[half] if c.knots_s[3] + MARGIN_S + SETTLE_S <= seen_s]:
                if ripe not in self._pending[half]:
                    continue  # it went out as a partner
                partner = next((c for c in self._pending[1 - half] if _same_time(c, ripe)), None)
                self._tell(half, ripe)
                together = [self._refined(ripe, half)]
                if partner is not None:
                    self._tell(1 - half, partner)
                    together.append(self._refined(partner, 1 - half))
                out.append(tuple(together))
            self._told[half][:] = [c for c in self._told[half] if c.knots_s[3] > seen_s - 2 * LONGEST_S]
        return sorted(out, key=lambda bumps: bumps[0].apex_s)

    def _tell(self, half: int, candidate: _Candidate) -> None:
        self._pending[half].remove(candidate)
        self._told[half].append(candidate)

    def _refined(self, candidate: _Candidate, half: int) -> Bump:
        regions = tuple(int(i) for i in np.flatnonzero(MEMBERS[candidate.group]))
        knots_s = candidate.knots_s
        part = self._moves.between(knots_s[0] - MARGIN_S, knots_s[3] + MARGIN_S)
        times, rows = self._moves.times[part], self._moves.rows[part]
        bump = Bump(
            knots_s[0], knots_s[1], knots_s[3], half, regions, candidate.fit, None, 0.0, candidate.height
        )
        if len(times) < 8:
            return bump
        knots_s = (max(knots_s[0], float(times[0])), knots_s[1], knots_s[2], min(knots_s[3], float(times[-1])))
        if times[0] < self._start_s + SETTLING_S:
            kept = times >= self._start_s + SETTLING_S / 2
            times, rows = times[kept], rows[kept]
        columns = [FUSED + 2 * i + axis for i in regions for axis in (0, 1)]
        knots_s, share = peaks.refine(times, rows[:, columns], knots_s, 0.08, slope=False)
        return replace(bump, onset_s=knots_s[0], apex_s=knots_s[1], offset_s=knots_s[3], share=max(share, 0.0))


def _same(one: _Candidate, other: _Candidate) -> bool:
    shared = min(one.knots_s[3], other.knots_s[3]) - max(one.knots_s[0], other.knots_s[0])
    shorter = min(one.knots_s[3] - one.knots_s[0], other.knots_s[3] - other.knots_s[0])
    return shared > OVERLAP * shorter


def _same_time(one: _Candidate, other: _Candidate) -> bool:
    shared = min(one.knots_s[3], other.knots_s[3]) - max(one.knots_s[0], other.knots_s[0])
    return shared >= 0.5 * (max(one.knots_s[3], other.knots_s[3]) - min(one.knots_s[0], other.knots_s[0]))
