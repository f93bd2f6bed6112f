"""Brief actions: the bank of bump shapes run over all regions of one stretch of a track, as time goes on.

A stretch is continuous, usable presence of one face. `BriefScan.push` is told how far the record reaches and returns
the bumps that have become certain: the strongest in its neighbourhood, seen to the end of its window. The upper face
and the lower face compete separately, because speech fills the lower face; bumps of both at the same time are returned
together.

Regions act alone or in the groups in which muscles move them (both inner brows, both mouth corners, lips ...). The
measure of a bump is the energy it explains over the energy it leaves, with a floor for measuring noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamfer.screening import peaks
from streamfer.screening.flow import REGIONS
from streamfer.screening.series import Series

GRID_HZ = 60.0
HOP_S = 0.1  # how often the scan runs
APART_S = 0.25  # of two bumps nearer than this in one half of the face, the stronger stands
AFTER_DECISION_S = peaks.AFTER_S + 0.6  # from an apex to its event: window, neighbourhood, other half, hop
TOGETHER_S = 0.10  # apexes of both halves nearer than this are one action
NOISE_IED = 0.004  # measuring noise of a region, benchmarks/LOG.md
MIN_HEIGHT_IED = 0.012  # a bump lower than this is never looked at
MIN_FIT = 0.5
SLACK_S = 0.05  # refining may make a bump shorter by this much
MARGIN_S = 0.2  # seen around a bump when it is refined
EDGE_S = 0.1  # no apex so near to the end of a stretch

UPPER, LOWER = 0, 1
HALF_OF_REGION = tuple(UPPER if name.startswith(("brow", "lid")) else LOWER for name in REGIONS)
_GROUPS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (UPPER, ("brow_inner_L",)), (UPPER, ("brow_inner_R",)), (UPPER, ("brow_outer_L",)), (UPPER, ("brow_outer_R",)),
    (UPPER, ("brow_inner_L", "brow_inner_R")), (UPPER, ("brow_outer_L", "brow_outer_R")),
    (UPPER, ("brow_inner_L", "brow_outer_L")), (UPPER, ("brow_inner_R", "brow_outer_R")),
    (UPPER, ("brow_inner_L", "brow_inner_R", "brow_outer_L", "brow_outer_R")),
    (LOWER, ("nose_wing_L",)), (LOWER, ("nose_wing_R",)), (LOWER, ("nose_wing_L", "nose_wing_R")),
    (LOWER, ("cheek_L",)), (LOWER, ("cheek_R",)), (LOWER, ("cheek_L", "cheek_R")),
    (LOWER, ("mouth_corner_L",)), (LOWER, ("mouth_corner_R",)), (LOWER, ("mouth_corner_L", "mouth_corner_R")),
    (LOWER, ("lip_upper",)), (LOWER, ("lip_lower",)), (LOWER, ("chin",)), (LOWER, ("lip_upper", "lip_lower")),
    (LOWER, ("lip_lower", "chin")), (LOWER, ("nose_wing_L", "nose_wing_R", "lip_upper")),
    (LOWER, ("mouth_corner_L", "cheek_L")), (LOWER, ("mouth_corner_R", "cheek_R")),
    (LOWER, ("mouth_corner_L", "mouth_corner_R", "lip_upper", "lip_lower")),
)  # fmt: skip
MEMBERS = np.array([[float(name in names) for name in REGIONS] for _, names in _GROUPS])  # (G, R)
SIZES = MEMBERS.sum(axis=1)
HALF_OF_GROUP = np.array([half for half, _ in _GROUPS])


@dataclass(frozen=True, slots=True)
class Bump:
    """A brief action in one half of the face."""

    onset_s: float
    apex_s: float
    offset_s: float
    half: int  # UPPER or LOWER
    regions: tuple[int, ...]  # indices into REGIONS
    fit: float  # energy explained / energy left, in the whole window
    step_fit: float | None  # the same for the best plain step; None when steps were not tried
    share: float  # part of the energy near the action that the refined shape explains
    height: float  # IED, root mean square over the regions

    @property
    def total_s(self) -> float:
        return self.offset_s - self.onset_s


@dataclass(slots=True)
class _Point:
    """The best shape at one instant in one half of the face."""

    apex_s: float
    fit: float
    step_fit: float
    height: float
    shape: int
    group: int


class BriefScan:
    """`moves` holds cumulative displacement (2 R columns first: x, y of each region) and is read, never changed.

    Bumps that are longer than `longest_s` at first sight win against their neighbours and are not returned.
    """

    def __init__(self, moves: Series, start_s: float, longest_s: float) -> None:
        self._longest_s = longest_s + SLACK_S
        self._moves = moves
        self._bank = peaks.bank(GRID_HZ)
        self._next = int(np.ceil((start_s + EDGE_S) * GRID_HZ))  # grid index of the next apex to look at
        self._points: tuple[list[_Point], list[_Point]] = ([], [])
        self._settled = -np.inf  # local maxima up to here have been decided
        self._held: list[Bump] = []

    def push(self, now_s: float, end: bool = False) -> list[tuple[Bump, ...]]:
        """Look at every instant that the record reaching `now_s` covers; at the `end` the last value is held."""
        reach = now_s - EDGE_S if end else now_s - self._bank.after / GRID_HZ
        hop = round(HOP_S * GRID_HZ)
        last = int(np.floor(reach * GRID_HZ))
        if not end:
            last = last // hop * hop - 1
        while self._next <= last:
            count = min(last - self._next + 1, 4 * hop)
            self._look(np.arange(self._next, self._next + count))
            self._next += count
        return self._settle(np.inf if end else self._next / GRID_HZ)

    def _look(self, indices: np.ndarray) -> None:
        shapes = self._bank
        grid_s = np.arange(indices[0] - shapes.before, indices[-1] + shapes.after + 1) / GRID_HZ
        part = self._moves.between(grid_s[0] - 0.2, grid_s[-1] + 0.2)
        times, rows = self._moves.times[part], self._moves.rows[part, : 2 * len(REGIONS)]
        if len(times) < 4:
            return
        values = peaks.resample(times, rows.reshape(len(times), -1, 2), grid_s)
        coefficients, energy = peaks.fit_bank(shapes, values, indices - indices[0] + shapes.before)
        explained = (coefficients**2).sum(axis=3) @ MEMBERS.T  # (K, J, G)
        total = energy @ MEMBERS.T  # (K, G)
        window = shapes.before + shapes.after + 1
        fit = explained / (total[:, None] - explained + window * NOISE_IED**2 * SIZES)
        height = np.sqrt(explained / SIZES) * shapes.heights[:, None]
        fit_bump = np.where(height > MIN_HEIGHT_IED, fit, 0.0)[:, shapes.bumps]
        fit_step = fit[:, ~shapes.bumps].max(axis=1)  # (K, G)
        for half in (UPPER, LOWER):
            groups = np.flatnonzero(half == HALF_OF_GROUP)
            here = fit_bump[:, :, groups].reshape(len(indices), -1)
            best = here.argmax(axis=1)
            for k, flat in enumerate(best):
                shape, group = divmod(int(flat), len(groups))
                group = int(groups[group])
                self._points[half].append(_Point(
                    indices[k] / GRID_HZ, float(here[k, flat]), float(fit_step[k, group]),
                    float(height[k, shape, group]), shape, group,
                ))  # fmt: skip

    def _settle(self, seen_s: float) -> list[tuple[Bump, ...]]:
        """Decide the local maxima that can no longer be topped; return the complete ones, both halves together."""
        limit = seen_s - APART_S
        if limit <= self._settled:
            return []  # nothing was looked at since
        for half, points in enumerate(self._points):
            apexes = np.array([point.apex_s for point in points])
            fits = np.array([point.fit for point in points])
            for i, point in enumerate(points):
                if not self._settled < point.apex_s <= limit or point.fit < MIN_FIT:
                    continue
                near = np.abs(apexes - point.apex_s) <= APART_S
                too_long = self._bank.shapes[point.shape].total_s > self._longest_s
                if not too_long and i == np.flatnonzero(near)[fits[near].argmax()]:
                    self._held.append(self._refined(point, half))
            self._points[half][:] = [point for point in points if point.apex_s > limit - APART_S]
        self._settled = limit
        self._held.sort(key=lambda bump: bump.apex_s)
        out: list[tuple[Bump, ...]] = []
        while self._held and self._held[0].apex_s <= limit - 1.5 * TOGETHER_S:  # refining moves apexes a little
            first = self._held.pop(0)
            partner = next((b for b in self._held if b.half != first.half and _same_time(b, first)), None)
            if partner is not None:
                self._held.remove(partner)
            out.append((first,) if partner is None else (first, partner))
        return out

    def _refined(self, point: _Point, half: int) -> Bump:
        shape = self._bank.shapes[point.shape]
        assert shape.fall_s is not None
        onset_s, offset_s = point.apex_s - shape.rise_s, point.apex_s + shape.fall_s
        regions = tuple(int(i) for i in np.flatnonzero(MEMBERS[point.group]))
        part = self._moves.between(onset_s - MARGIN_S, offset_s + MARGIN_S)
        times, rows = self._moves.times[part], self._moves.rows[part]
        columns = [2 * i + axis for i in regions for axis in (0, 1)]
        onset_s, offset_s = max(onset_s, float(times[0])), min(offset_s, float(times[-1]))
        apex_s, share = point.apex_s, 0.0
        if len(times) >= 6:
            knots_s = (onset_s, apex_s, apex_s, offset_s)
            (onset_s, apex_s, _, offset_s), share = peaks.refine(times, rows[:, columns], knots_s, 0.02)
        return Bump(
            onset_s, apex_s, offset_s, half, regions, point.fit, point.step_fit, max(share, 0.0), point.height
        )


def _same_time(one: Bump, other: Bump) -> bool:
    return abs(one.apex_s - other.apex_s) <= TOGETHER_S
