"""Each person's neutral level of every AU, learned online, and taken off.

    baseline = Baseline(config.action_units, model.names)
    corrected, neutral_s = baseline.push("P1", time_s, raw, usable=True)

Faces differ at rest: thin lips, low brows. What counts as neutral is a low quantile of the person's usable frames,
kept in a histogram per AU whose past fades with `baseline_window_s`; memory does not grow with time. An expression
that is held must not become the neutral level, so the level may fall at once but rise only by `RISE_PER_WINDOW` in
`baseline_window_s`; the first `baseline_min_s` of usable frames are free of that. `neutral_s` says how much usable
time the level rests on: below `baseline_min_s` it is a first guess, the best there is.

A stated neutral segment (`neutral: {P1: "0:10-0:20"}`) overrides: from its first usable frame on, the level is the
median of the segment. A frame is corrected when it is pushed; frames before the segment keep what was known then.

The answers depend on nothing but the calls, in their order: replaying the rows of faces.csv restores the state.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from streamfer.errors import UsageError

if TYPE_CHECKING:
    from streamfer.config import ActionUnits

RISE_PER_WINDOW = 1.0
"""FACS steps by which a level may rise within `baseline_window_s`: slow enough for any expression, fast enough for
a person who leans back."""

_BIN = 0.05  # FACS steps; a tenth of what a micro-expression moves
_BINS = 100  # 0-5
_MAX_STEP_S = 0.5  # a frame stands for the time since the last one, but not for a gap
_FIRST_STEP_S = 0.04
_MAX_PEOPLE = 256  # the one unseen for longest is forgotten: undecided tracks would otherwise pile up

Span = tuple[float, float]


class Baseline:
    """Neutral levels of all people of one source. Not shared between threads."""

    def __init__(self, options: ActionUnits, names: Sequence[str]) -> None:
        """Raises UsageError when `options.neutral` cannot be read."""
        self.names = tuple(names)
        self._options = options
        self._stated = {person: parse_spans(text, person) for person, text in options.neutral.items()}
        self._people: OrderedDict[str, _Person] = OrderedDict()

    def push(self, person: str, time_s: float, raw: np.ndarray, usable: bool) -> tuple[np.ndarray, float]:
        """One frame of one person, in order of time: (corrected (K,) float32 0-5, usable seconds behind the level).

        `raw` is (K,) 0-5. Frames that are not usable, or hold NaN, are corrected but teach nothing.
        """
        raw = np.asarray(raw, np.float32)
        if self._options.baseline == "off":
            return raw, 0.0
        state = self._people.get(person)
        if state is None:
            state = self._people[person] = _Person(len(self.names), self._options, self._stated.get(person, ()))
            if len(self._people) > _MAX_PEOPLE:
                self._people.popitem(last=False)
        self._people.move_to_end(person)
        if usable and np.isfinite(raw).all():
            state.learn(time_s, raw)
        return np.clip(raw - state.level, 0.0, 5.0), state.seconds

    def level(self, person: str) -> np.ndarray | None:
        """The neutral level (K,) of a person now, None when nothing is known of them."""
        state = self._people.get(person)
        return None if state is None or state.seconds == 0 else state.level.copy()

    @property
    def unmet(self) -> tuple[str, ...]:
        """People with a stated neutral segment of which no usable frame was seen (yet)."""
        return tuple(p for p in self._stated if p not in self._people or not self._people[p].is_stated)


class _Person:
    """Histograms of one person's AUs and the level read from them."""

    def __init__(self, count: int, options: ActionUnits, stated: Sequence[Span]) -> None:
        self.level = np.zeros(count, np.float32)
        self.seconds = 0.0
        self.is_stated = False
        self._options = options
        self._stated = stated
        self._usable_s = 0.0
        self._last_s: float | None = None
        self._weights = np.zeros((count, _BINS))
        self._gain = 1.0  # newer frames weigh more, which is the same as the old ones fading
        self._stated_weights: np.ndarray | None = None

    def learn(self, time_s: float, raw: np.ndarray) -> None:
        step_s = _FIRST_STEP_S if self._last_s is None else min(max(time_s - self._last_s, 0.0), _MAX_STEP_S)
        self._last_s = time_s
        if any(start <= time_s <= end for start, end in self._stated):
            self._learn_stated(raw, step_s)
        if self.is_stated:
            return
        window_s = self._options.baseline_window_s
        self._gain *= math.exp(step_s / window_s)
        if self._gain > 1e6:
            self._weights /= self._gain
            self._gain = 1.0
        _add(self._weights, raw, step_s * self._gain)
        self._usable_s += step_s
        target = _quantile(self._weights, self._options.baseline_quantile)
        if self._usable_s > self._options.baseline_min_s:
            target = np.minimum(target, self.level + RISE_PER_WINDOW * step_s / window_s)
        self.level = target.astype(np.float32)
        self.seconds = self._usable_s

    def _learn_stated(self, raw: np.ndarray, step_s: float) -> None:
        if self._stated_weights is None:
            self._stated_weights = np.zeros_like(self._weights)
            self.is_stated, self.seconds = True, 0.0
        _add(self._stated_weights, raw, max(step_s, 1e-3))
        self.seconds += step_s
        self.level = _quantile(self._stated_weights, 0.5).astype(np.float32)


def _add(weights: np.ndarray, raw: np.ndarray, weight: float) -> None:
    bins = np.clip((raw / _BIN).astype(np.intp), 0, _BINS - 1)
    weights[np.arange(len(raw)), bins] += weight


def _quantile(weights: np.ndarray, q: float) -> np.ndarray:
    """The quantile of each row's histogram, linear within a bin."""
    total = weights.cumsum(axis=1)
    wanted = q * total[:, -1]
    bins = (total < wanted[:, None]).sum(axis=1)
    rows = np.arange(len(weights))
    inside = weights[rows, bins]
    share = np.where(inside > 0, (wanted - total[rows, bins] + inside) / np.where(inside > 0, inside, 1), 0.0)
    return (bins + share) * _BIN


_TIME = r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)"
_SPAN = re.compile(rf"\s*{_TIME}\s*-\s*{_TIME}\s*")


def parse_spans(text: str, person: str = "") -> tuple[Span, ...]:
    """'0:10-0:20' -> ((10.0, 20.0),). Seconds, m:ss or h:mm:ss; several with commas. Raises UsageError."""
    spans = []
    for part in text.split(","):
        match = _SPAN.fullmatch(part)
        start_s, end_s = (_seconds(match, 1), _seconds(match, 4)) if match else (0.0, 0.0)
        if match is None or not start_s < end_s:
            raise UsageError(
                f"action_units.neutral{f' of {person}' if person else ''}: '{part.strip()}' is no time span; "
                "write START-END in seconds, m:ss or h:mm:ss, such as 0:10-0:20"
            )
        spans.append((start_s, end_s))
    return tuple(spans)


def _seconds(match: re.Match[str], group: int) -> float:
    hours, minutes, seconds = (float(match[group + i] or 0) for i in range(3))
    return hours * 3600 + minutes * 60 + seconds
