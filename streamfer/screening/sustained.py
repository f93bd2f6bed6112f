"""Strong expressions in the AU curves: from the first action unit that becomes clearly visible until all have gone.

A run begins when the corrected intensity of any expressive AU reaches ENTER (between A and B on the FACS scale), and
ends when every AU that took part has fallen below LEAVE of its own peak for QUIET_S. Onset and offset are then moved outwards
to where the strongest AU has a tenth of its peak left. What rises before or after that within the run is an expression of its own:
a raised brow may end in a smile without a moment of rest. Runs do not depend on flow, so they survive head motion, and may
last: after `longest_s` a run is cut and the rest of it is silent.

Opening lips (AU25, AU26, AU27), pressing and puckering them (AU18, AU23, AU24) are what speech is made of and do not begin a
run; eyelids blink and open with the gaze (AU05, AU07, AU43, AU45).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamfer.screening.context import STATE_WIDTH
from streamfer.screening.series import Series

ENTER = 1.2
LEAVE = 0.35
LEAVE_AT_LEAST = 0.4
QUIET_S = 0.2
NEW_RISE = 0.6  # how far another top must stand above the valley beside what was told: half of ENTER
OUTWARD = 0.1  # share of the peak at which an expression begins and ends
OUTWARD_S = 0.6  # how far onset and offset may move outwards
DECISION_S = QUIET_S + 0.4
NOT_EXPRESSIVE = {"AU05", "AU07", "AU18", "AU23", "AU24", "AU25", "AU26", "AU27", "AU28", "AU43", "AU45"}
UPPER_AUS = {"AU01", "AU02", "AU04"}


@dataclass(frozen=True, slots=True)
class Run:
    """One expression. `peak` is the intensity of its strongest AU, `top_s` how long that stands above half of it, `upper` whether
    it is one of the brows."""

    onset_s: float
    apex_s: float
    offset_s: float
    peak: float
    top_s: float
    upper: bool
    cut: bool


class SustainedScan:
    """`states` holds the AU columns named `columns` behind STATE_WIDTH others and is read, never changed."""

    def __init__(self, states: Series, columns: tuple[str, ...], longest_s: float) -> None:
        self._states = states
        names = [column.partition("_")[0] for column in columns]
        self._columns = [k for k, name in enumerate(names) if name not in NOT_EXPRESSIVE]
        self._upper = {k for k, name in enumerate(names) if name in UPPER_AUS}
        self._longest_s = longest_s
        self._begin_s: float | None = None
        self._quiet_s: float | None = None  # since when all AUs have been below their leaving level
        self._silent = False  # a run that was cut goes on
        self._peaks = np.zeros(len(self._columns))

    @property
    def open_since_s(self) -> float | None:
        """When the run that is going on began; None when there is none."""
        return self._begin_s

    def push(self, now_s: float, end: bool = False) -> list[Run]:
        """Take the last row of the states; returns the expressions of the run that it ends, in order."""
        if not self._columns or not len(self._states):
            return []
        values = self._states.rows[-1, STATE_WIDTH:][self._columns]
        if self._begin_s is None:
            if not end and float(values.max()) >= ENTER:
                self._begin_s, self._quiet_s = now_s, None
                self._peaks = values.copy()
            return []
        self._peaks = np.maximum(self._peaks, values)
        took_part = self._peaks >= ENTER
        quiet = bool((values < np.maximum(LEAVE * self._peaks, LEAVE_AT_LEAST))[took_part].all())
        self._quiet_s = (self._quiet_s if self._quiet_s is not None else now_s) if quiet else None
        over = self._quiet_s is not None and now_s - self._quiet_s >= QUIET_S
        too_long = now_s - self._begin_s >= self._longest_s - 2 * OUTWARD_S
        if not (over or too_long or end):
            return []
        runs = [] if self._silent else self._runs(self._begin_s, self._quiet_s or now_s, cut=too_long and not over)
        self._silent = too_long and not over and not end
        if self._silent:
            self._begin_s = now_s  # stays open, unreported, until it is over
        else:
            self._begin_s = None
        return runs

    def _runs(self, begin_s: float, end_s: float, cut: bool) -> list[Run]:
        near = self._states.between(begin_s - OUTWARD_S, end_s + OUTWARD_S)
        times = self._states.times[near]
        curves = self._states.rows[near, STATE_WIDTH:][:, self._columns]
        inside = (times >= begin_s) & (times <= end_s)
        told = np.zeros(len(times), bool)
        runs = []
        while (found := _highest(curves, inside, told)) is not None:
            onset, top, offset, column = found
            told[onset : offset + 1] = True
            before, after = _nearest(curves[:, column] <= curves[top, column] / 2, top)
            first = onset if before is None else max(onset, before + 1)
            last = offset if after is None else min(offset, after - 1)
            runs.append(Run(
                float(times[onset]), float(times[top]), float(times[offset]), float(curves[top, column]),
                float(times[last] - times[first]), self._columns[column] in self._upper, cut and bool(times[offset] >= end_s),
            ))  # fmt: skip
        return sorted(runs, key=lambda run: run.onset_s)


def _highest(curves: np.ndarray, inside: np.ndarray, told: np.ndarray) -> tuple[int, int, int, int] | None:
    """Onset, apex, offset and column of the highest top in `curves` (T, K) that is not `told` (T,) yet.

    Beside what was told it must be a top of its own: NEW_RISE above the valley on that side, where it then begins or ends.
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([True], told, [True])).astype(int)))
    best, found = ENTER, None
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        for column in range(curves.shape[1]):
            curve = curves[first:end, column]
            top = int(np.where(inside[first:end], curve, 0.0).argmax())
            if curve[top] < best:
                continue
            low = curve <= max(OUTWARD * curve[top], 0.1)
            before, after = _nearest(low, top)
            onset = before if before is not None else int(curve[: top + 1].argmin()) if first else 0
            last = top + int(curve[top:].argmin()) if end < len(told) else len(curve) - 1
            offset = after if after is not None else last
            flank = (first > 0 and curve[top] - curve[onset] < NEW_RISE) or (
                end < len(told) and curve[top] - curve[offset] < NEW_RISE
            )
            if not flank:
                best, found = float(curve[top]), (int(first) + onset, int(first) + top, int(first) + offset, column)
    return found


def _nearest(low: np.ndarray, top: int) -> tuple[int | None, int | None]:
    """The sample before `top` and the one from it on that are `low` (T,) bool, if any."""
    before, after = np.flatnonzero(low[:top]), np.flatnonzero(low[top:])
    return (int(before[-1]) if len(before) else None), (top + int(after[0]) if len(after) else None)
