"""Readings in, events out: the screener that a file, a live source and a test all drive the same way.

    screener = Screener(config.screening, source="clip", source_digest="...", config_digest="...", fps_hint=30.0)
    for reading in readings:                 # in order of time; tracks may be mixed
        for event in screener.push(reading):
            ...
    events = screener.flush()

Promises: an event comes out at most `lookback_s` after its apex, a micro-expression at most a second after its offset, a
slight macro-expression 1.2 s; no event spans a gap, a cut, a new segment or a time when the face could not be measured; memory per
track is bounded; the same readings give the same events. Ids depend on source, person, apex, kind and configuration only.

Micro-expressions come from optical flow (brief.py), macro-expressions from AU curves when they are strong (sustained.py)
and from landmarks when they are slight (lasting.py). naming.py says which AUs moved. What happens around an event
(context.py) becomes flags and, with the fit, a score (score.py).
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from streamfer import config as configuration
from streamfer.records import Event, Kind, Moment, Reading
from streamfer.screening import context, naming, score
from streamfer.screening.brief import AFTER_DECISION_S, HALF_OF_REGION, LOWER, UPPER, BriefScan, Bump
from streamfer.screening.context import N_FLOW, STATE_WIDTH, Surroundings
from streamfer.screening.flow import GEOMETRY, REGIONS
from streamfer.screening.lasting import DECISION_S, DRIFT_S, LastingScan
from streamfer.screening.peaks import resample
from streamfer.screening.series import Series
from streamfer.screening.sustained import Run, SustainedScan

MAX_GAP_S = 0.25  # a longer pause between two readings of a track ends the stretch
EDGE_S = 0.1  # an event that begins or ends so near to the edge of a stretch is flagged
NEAR_S = 0.15  # apexes of flow and of AU curves of one movement are no further apart
SMEAR_S = 0.1  # AU curves are so much wider than the movement: what the skin shows is read ten times a second
LENGTH_TOLERANCE = 1.1  # measured lengths are a few per cent off
MIN_STRETCH_S = 0.4  # shorter presence is not screened
FPS_TOLERANCE = 0.95  # 24.98 fps is 25 fps
Record = Callable[[dict[str, object]], None]


@dataclass(slots=True)
class _Stretch:
    """Continuous, usable presence of one face."""

    segment: int
    start_s: float
    first: bool  # of its track
    moves: Series
    states: Series
    columns: tuple[str, ...]
    brief: BriefScan
    lasting: LastingScan
    sustained: SustainedScan
    told: deque[tuple[float, float, Kind]] = field(default_factory=lambda: deque(maxlen=16))  # onset, offset of events
    held: list[Run] = field(default_factory=list)  # so brief that they may yet be told as micro-expressions
    sum_flow: np.ndarray = field(default_factory=lambda: np.zeros(context.MOVE_WIDTH))
    correction: np.ndarray = field(default_factory=lambda: np.zeros(N_FLOW))
    end_s: float | None = None

    def hold_in_place(self, landmarks: np.ndarray, step_s: float) -> None:
        """Complementary filter: what differs slowly between landmarks (2 R,) and summed-up flow is the flow's drift."""
        flow = self.sum_flow[:N_FLOW]
        first = not self.correction.any()
        share = 1.0 if first else 1.0 - math.exp(-step_s / DRIFT_S)
        self.correction += share * (landmarks - flow - self.correction)
        self.sum_flow[context.POSITION : context.FUSED] = landmarks
        self.sum_flow[context.FUSED : context.MISFIT] = flow + self.correction


@dataclass(slots=True)
class _Track:
    person: str = ""
    stretch: _Stretch | None = None
    any_stretch: bool = False


class Screener:
    """See the module. `record` gets one dict per reading and per decision, for output.signals."""

    def __init__(
        self,
        config: configuration.Screening,
        source: str,
        source_digest: str,
        config_digest: str,
        fps_hint: float,
        record: Record | None = None,
    ) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()  # what was found and why some of it was not reported
        self._source = source
        self._digests = (source_digest, config_digest)
        self._fps_hint = fps_hint
        self._record = record
        self._tracks: dict[int, _Track] = {}
        self._recent: deque[tuple[float, float, bool]] = deque()  # apex, score, reported: for the limit per minute

    @property
    def lookback_s(self) -> float:
        """An event comes out at most so long after its apex."""
        if not self.config.macro:
            return AFTER_DECISION_S
        return max(AFTER_DECISION_S, self.config.macro_max_s * LENGTH_TOLERANCE + DECISION_S)

    @property
    def micro_enabled(self) -> bool:
        """Whether micro-expressions can be reported at the frame rate that the source claims."""
        return self.micro_reason == ""

    @property
    def micro_reason(self) -> str:
        """Why no micro-expressions are reported, in words; empty when they are."""
        if not self.config.micro:
            return "switched off (screening.micro)"
        if 0 < self._fps_hint < self.config.min_fps * FPS_TOLERANCE:
            return (
                f"{self._fps_hint:.1f} frames per second are too few: a micro-expression needs at least "
                f"{self.config.min_fps:g} (screening.min_fps)"
            )
        return ""

    def push(self, reading: Reading) -> list[Event]:
        """Take one face of one frame; returns the events that have become certain."""
        track = self._tracks.setdefault(reading.track, _Track())
        events: list[Event] = []
        if reading.person:
            track.person = reading.person
        if track.stretch is not None and self._breaks(track.stretch, reading):
            events += self._end_stretch(reading.track, track)
        if not reading.usable:
            return events
        if track.stretch is None:
            track.stretch = self._begin(reading, first=not track.any_stretch)
            track.any_stretch = True
        self._append(track.stretch, reading)
        return events + self._scan(reading.track, track, reading.time_s)

    def end_track(self, track: int) -> list[Event]:
        """The track has ended: everything that can still be said about it."""
        state = self._tracks.pop(track, None)
        return self._end_stretch(track, state) if state is not None else []

    def flush(self) -> list[Event]:
        """The source has ended."""
        events = [event for track in sorted(self._tracks) for event in self.end_track(track)]
        return sorted(events, key=lambda event: (event.apex.time_s, event.track))

    # ------------------------------------------------------------------------------------- record

    def _breaks(self, stretch: _Stretch, reading: Reading) -> bool:
        gap = reading.time_s - float(stretch.states.times[-1]) if len(stretch.states) else 0.0
        lost = reading.motion is not None and not reading.motion.valid
        columns = reading.aus.names if reading.aus is not None else ()
        return (
            not reading.usable or reading.segment != stretch.segment or gap > MAX_GAP_S or lost
            or columns != stretch.columns
        )  # fmt: skip

    def _begin(self, reading: Reading, first: bool) -> _Stretch:
        columns = reading.aus.names if reading.aus is not None else ()
        moves, states = Series(context.MOVE_WIDTH), Series(STATE_WIDTH + len(columns))
        return _Stretch(
            reading.segment, reading.time_s, first, moves, states, columns,
            BriefScan(moves, reading.time_s, self.config.micro_max_s * LENGTH_TOLERANCE), LastingScan(moves, reading.time_s),
            SustainedScan(states, columns, self.config.macro_max_s),
        )  # fmt: skip

    def _append(self, stretch: _Stretch, reading: Reading) -> None:
        motion, aus = reading.motion, reading.aus
        state = np.zeros(STATE_WIDTH + len(stretch.columns))
        if motion is not None and motion.geometry is not None:
            state[: len(GEOMETRY)] = motion.geometry
        state[context.YAW], state[context.PITCH] = reading.yaw_deg, reading.pitch_deg
        if aus is not None:
            state[STATE_WIDTH:] = aus.corrected
        stretch.states.append(reading.time_s, reading.frame, state)
        first = len(stretch.moves) == 0
        if first or (motion is not None and motion.step_s > 0):
            if motion is not None and not first:
                stretch.sum_flow[:N_FLOW] += motion.flow.reshape(-1)
                stretch.sum_flow[N_FLOW : context.POSITION] += motion.rigid
                stretch.sum_flow[context.MISFIT] = motion.misfit
                if motion.position is not None:
                    stretch.hold_in_place(motion.position.reshape(-1), motion.step_s)
            stretch.moves.append(reading.time_s, reading.frame, stretch.sum_flow)
        keep_s = reading.time_s - self._memory_s
        stretch.moves.trim(keep_s)
        stretch.states.trim(keep_s)
        if self._record is not None:
            self._record(_signals(reading, stretch))

    @property
    def _memory_s(self) -> float:
        return self.lookback_s + self.config.macro_max_s + 2 * context.AROUND_S

    # ------------------------------------------------------------------------------------- decide

    def _scan(self, number: int, track: _Track, now_s: float) -> list[Event]:
        stretch = track.stretch
        assert stretch is not None
        return self._events(number, track, stretch, now_s, end=False)

    def _end_stretch(self, number: int, track: _Track) -> list[Event]:
        stretch, track.stretch = track.stretch, None
        if stretch is None or not len(stretch.states):
            return []
        stretch.end_s = float(stretch.states.times[-1])
        if stretch.end_s - stretch.start_s < MIN_STRETCH_S:
            self.counts["stretch_too_short"] += 1
            return []
        return self._events(number, track, stretch, stretch.end_s, end=True)

    def _events(self, number: int, track: _Track, stretch: _Stretch, now_s: float, end: bool) -> list[Event]:
        events = []
        if self.config.micro:
            for together in stretch.brief.push(now_s, end):
                events += self._decide(number, track, stretch, "micro", together)
        if self.config.macro:
            runs = stretch.held + stretch.sustained.push(now_s, end)
            until_s = now_s - AFTER_DECISION_S - NEAR_S
            stretch.held = [] if end else [run for run in runs if self._brief(run) and run.apex_s > until_s]
            for run in runs:
                if run not in stretch.held:
                    events += self._strong(number, track, stretch, run)
            for together in stretch.lasting.push(now_s, end):
                events += self._decide(number, track, stretch, "macro", together)
        return self._report(events)

    def _decide(
        self, number: int, track: _Track, stretch: _Stretch, kind: Kind, together: tuple[Bump, ...]
    ) -> list[Event]:
        """The event that the bumps of one moment (one in each half of the face at most) make, if any."""
        judged = [(bump, *found) for bump in together if (found := self._judge(number, stretch, kind, bump)) is not None]
        if not judged:
            return []
        bump, value, flags = max(judged, key=lambda item: item[1])
        times_s = (bump.onset_s, bump.apex_s, bump.offset_s)
        halves = {item[0].half for item in judged}
        return self._event(number, track, stretch, kind, times_s, value, flags, halves)

    def _brief(self, run: Run) -> bool:
        """Whether a run, however slowly it fades in and out, stands no longer above half of its peak than a micro-expression."""
        return self.config.micro and run.top_s <= self.config.micro_max_s / 2 + SMEAR_S

    def _strong(self, number: int, track: _Track, stretch: _Stretch, run: Run) -> list[Event]:
        """The macro-expression that a run of the AU curves makes, unless it is too short, speech, or a micro-expression."""
        self.counts["macro_runs"] += 1
        # no tolerance here: a strong expression that is neither micro nor macro would be lost
        if run.offset_s - run.onset_s <= self.config.micro_max_s:
            self.counts["macro_other_length"] += 1
            return []
        micro = [told for told in stretch.told if told[2] == "micro"]
        if self._brief(run) and any(onset - NEAR_S <= run.apex_s <= offset + NEAR_S for onset, offset, _ in micro):
            self.counts["macro_told_as_micro"] += 1
            return []
        half = UPPER if run.upper else LOWER
        regions = tuple(i for i, other in enumerate(HALF_OF_REGION) if other == half)
        around = context.look_around(stretch.moves, stretch.states, regions, run.onset_s, run.apex_s, run.offset_s)
        value = score.strong(run.peak, half, run.offset_s - run.onset_s, around)
        if value < self.config.min_score:
            self.counts["macro_below_min_score"] += 1
            return []
        flags = _flags(stretch, run.onset_s, run.offset_s, around) + (["cut_short"] if run.cut else [])
        times_s = (run.onset_s, run.apex_s, run.offset_s)
        return self._event(number, track, stretch, "macro", times_s, value, flags, {UPPER, LOWER})

    def _judge(self, number: int, stretch: _Stretch, kind: Kind, bump: Bump) -> tuple[float, list[str]] | None:
        """Score and flags of a bump, or None when it is no event of that kind; the reason is counted."""
        self.counts[f"{kind}_candidates"] += 1
        flags = []
        open_since_s = stretch.sustained.open_since_s
        if kind == "macro" and open_since_s is not None and bump.offset_s > open_since_s:
            self.counts["macro_in_run"] += 1  # the strong expression that is going on will tell it
            return None
        limit_s = self.config.micro_max_s * LENGTH_TOLERANCE
        if (bump.total_s > limit_s) != (kind == "macro") or bump.total_s > self.config.macro_max_s * LENGTH_TOLERANCE:
            self.counts[f"{kind}_other_length"] += 1
            return None
        fps = _fps(stretch.states, bump.onset_s, bump.offset_s)
        if kind == "micro":
            if fps < self.config.min_fps * FPS_TOLERANCE:
                self.counts["micro_disabled"] += 1
                return None
            if fps < self.config.full_fps * FPS_TOLERANCE:
                flags.append("low_fps")
                if bump.total_s * fps < 3.0:
                    self.counts["micro_too_few_frames"] += 1
                    return None
        around = context.look_around(
            stretch.moves, stretch.states, bump.regions, bump.onset_s, bump.apex_s, bump.offset_s
        )
        numbers = score.features(bump, around)
        value = score.score(numbers, kind)
        if self._record is not None:
            self._record({
                "time_s": bump.apex_s, "track": number, "stage": kind, "onset_s": bump.onset_s,
                "offset_s": bump.offset_s, "score": value, "regions": " ".join(REGIONS[i] for i in bump.regions),
                **numbers,
            })  # fmt: skip
        if value < self.config.min_score:
            self.counts[f"{kind}_below_min_score"] += 1
            return None
        return value, flags + _flags(stretch, bump.onset_s, bump.offset_s, around)

    def _event(
        self, number: int, track: _Track, stretch: _Stretch, kind: Kind,
        times_s: tuple[float, float, float], value: float, flags: list[str], halves: set[int],
    ) -> list[Event]:  # fmt: skip
        """One event, or none when one at that time has been told, or a macro-expression moves no action unit."""
        if any(_overlap(times_s, kind, told) > 0.5 for told in stretch.told):
            self.counts["told_already"] += 1
            return []
        states = stretch.states
        onset, apex, offset = (states.nearest(time_s) for time_s in times_s)
        apex = min(max(apex, onset), offset)
        moments = [Moment(int(states.frames[i]), float(states.times[i])) for i in (onset, apex, offset)]
        displacement = _displacement(stretch.moves, times_s, 0 if kind == "micro" else context.FUSED)
        # speech below a raised brow is no part of the event
        displacement[[half not in halves for half in HALF_OF_REGION]] = 0.0
        curves = {
            column: (float(states.rows[apex, STATE_WIDTH + k]),
                     float(states.rows[apex, STATE_WIDTH + k] - states.rows[onset, STATE_WIDTH + k]))
            for k, column in enumerate(stretch.columns)
        }  # fmt: skip
        aus = naming.name_aus(displacement, curves, flow_first=kind == "micro")
        if kind == "macro" and not aus:  # nose and cheeks that sink: the rest between two expressions
            self.counts["macro_without_action"] += 1
            return []
        stretch.told.append((times_s[0], times_s[2], kind))
        person = track.person or f"track{number}"
        key = "|".join([self._digests[0], person, str(round(moments[1].time_s * 1000)), kind, self._digests[1]])
        return [Event(
            id=hashlib.sha1(key.encode()).hexdigest()[:20], source=self._source, person=track.person, track=number,
            kind=kind, onset=moments[0], apex=moments[1], offset=moments[2],
            rise_s=moments[1].time_s - moments[0].time_s, duration_s=moments[2].time_s - moments[0].time_s,
            aus=aus, motion=naming.motion_table(displacement),
            score=value, flags=tuple(sorted(flags)),
        )]  # fmt: skip

    def _report(self, events: list[Event]) -> list[Event]:
        """Apply the limit per minute: an event must be among the best of the minute before it."""
        limit = self.config.max_events_per_minute
        out = []
        for event in sorted(events, key=lambda event: event.apex.time_s):
            if limit is not None:
                while self._recent and self._recent[0][0] <= event.apex.time_s - 60.0:
                    self._recent.popleft()
                better = sum(value >= event.score for _, value, _ in self._recent)
                full = sum(reported for _, _, reported in self._recent) + 1 > limit
                allowed = better + 1 <= limit and not full
                self._recent.append((event.apex.time_s, event.score, allowed))
                if not allowed:
                    self.counts["over_the_limit"] += 1
                    continue
            self.counts[event.kind] += 1
            out.append(event)
        return out


def _overlap(times_s: tuple[float, float, float], kind: Kind, told: tuple[float, float, Kind]) -> float:
    """Intersection over union; of two macro-expressions, over the shorter."""
    shared = min(times_s[2], told[1]) - max(times_s[0], told[0])
    if kind == told[2] == "macro":
        return shared / min(times_s[2] - times_s[0], told[1] - told[0])
    return shared / (max(times_s[2], told[1]) - min(times_s[0], told[0]))


def _displacement(moves: Series, times_s: tuple[float, float, float], column: int) -> np.ndarray:
    """(R, 2) from rest to apex; rest is the line from onset to offset, so that drift is no movement."""
    if len(moves) < 2:
        return np.zeros((len(REGIONS), 2))
    onset_s, apex_s, offset_s = times_s
    at = resample(moves.times, moves.rows[:, column : column + N_FLOW], np.array(times_s))
    part = (apex_s - onset_s) / max(offset_s - onset_s, 1e-6)
    return (at[1] - at[0] * (1 - part) - at[2] * part).reshape(-1, 2)


def _fps(states: Series, onset_s: float, offset_s: float) -> float:
    near = states.between(onset_s - 0.5, offset_s + 0.5)
    steps = np.diff(states.times[near])
    return 1.0 / float(np.median(steps)) if len(steps) else 0.0


def _flags(stretch: _Stretch, onset_s: float, offset_s: float, around: Surroundings) -> list[str]:
    flags = []
    if around.blink > context.BLINK_DROP:
        flags.append("blink")
    if around.head_speed > context.HEAD_SPEED_IED or around.yaw_rate > context.YAW_RATE_DEG_S:
        flags.append("head_motion")
    if around.talking > context.TALK_OPENING_IED:
        flags.append("talking")
    if onset_s - stretch.start_s < EDGE_S:
        flags.append("edge_of_track" if stretch.first else "edge_of_gap")
    if stretch.end_s is not None and stretch.end_s - offset_s < EDGE_S:
        flags.append("edge_of_track")
    return flags


def _signals(reading: Reading, stretch: _Stretch) -> dict[str, object]:
    row: dict[str, object] = {
        "frame": reading.frame, "time_s": reading.time_s, "track": reading.track, "stage": "signal",
        "head": reading.motion.head if reading.motion else 0.0,
        "misfit": reading.motion.misfit if reading.motion else 0.0,
    }  # fmt: skip
    for i, region in enumerate(REGIONS):
        row[f"{region}_x"], row[f"{region}_y"] = stretch.sum_flow[2 * i], stretch.sum_flow[2 * i + 1]
    if reading.motion is not None and reading.motion.geometry is not None:
        row.update(zip(GEOMETRY, (float(v) for v in reading.motion.geometry), strict=True))
    return row


