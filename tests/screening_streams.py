"""Streams of readings with exactly known movement, for the screening tests. No picture, no model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from streamfer import config
from streamfer.records import AUReading, Event, MotionReading, Reading
from streamfer.screening import peaks
from streamfer.screening.flow import GEOMETRY, REGIONS
from streamfer.screening.screener import Screener

UP, DOWN = (0.0, -1.0), (0.0, 1.0)


@dataclass
class Stream:
    """A calm face; add movements, then take `readings`. Lengths in IED, times in seconds."""

    duration_s: float = 6.0
    fps: float = 30.0
    noise: float = 0.001
    seed: int = 0
    track: int = 1
    person: str = "P1"
    times_s: np.ndarray | None = None
    unusable: tuple[tuple[float, float], ...] = ()
    missing: tuple[tuple[float, float], ...] = ()
    segment_from: tuple[float, ...] = ()
    moves: list[tuple[tuple[str, ...], tuple[float, float], float, tuple[float, float, float, float]]] = field(
        default_factory=list
    )
    blinks: list[tuple[float, float, float]] = field(default_factory=list)
    heads: list[tuple[float, tuple[float, float, float]]] = field(default_factory=list)
    speech: tuple[float, float, float] | None = None  # start, end, size
    aus: dict[str, tuple[float, tuple[float, float, float]]] = field(default_factory=dict)

    def move(
        self, regions: tuple[str, ...], direction: tuple[float, float], size: float, onset: float, apex: float,
        offset: float, release: float | None = None,
    ) -> Stream:  # fmt: skip
        self.moves.append((regions, direction, size, (onset, apex, release or apex, offset)))
        return self

    def readings(self) -> list[Reading]:
        times = self.times_s if self.times_s is not None else np.arange(round(self.duration_s * self.fps)) / self.fps
        rng = np.random.default_rng(self.seed)
        position = np.zeros((len(times), len(REGIONS), 2))
        for regions, direction, size, knots in self.moves:
            shape = peaks.plateau(times, *knots)
            for region in regions:
                position[:, REGIONS.index(region)] += size * shape[:, None] * np.array(direction)
        geometry = np.tile(np.array([0.3, 0.3, 0.01, 1.2]), (len(times), 1))
        for start, deepest, end in self.blinks:
            shape = peaks.bump(times, start, deepest, end)
            geometry[:, :2] *= 1 - 0.95 * shape[:, None]
            position[:, [REGIONS.index(f"lid_upper_{s}") for s in "LR"], 1] += 0.2 * shape[:, None]
            position[:, [i for i, name in enumerate(REGIONS) if "brow" in name], 1] += 0.03 * shape[:, None]
        if self.speech is not None:
            start, end, size = self.speech
            inside = np.clip(np.minimum(times - start, end - times) / 0.2, 0, 1)
            opening = size * (1 + np.sin(2 * np.pi * 4.3 * times + np.sin(3 * times))) * inside
            geometry[:, GEOMETRY.index("mouth_open")] += opening
            for region, share in (("lip_lower", 0.8), ("chin", 0.7), ("lip_upper", -0.2)):
                position[:, REGIONS.index(region), 1] += share * opening
        rigid = np.zeros((len(times), 6))
        for size, knots in self.heads:
            rigid[:, 0] += size * peaks.bump(times, *knots)
        measured = position + rng.normal(0, self.noise, position.shape).cumsum(axis=0) * 0.3
        landmarks = position + rng.normal(0, 0.004, position.shape)
        out = []
        last = None
        for i, time_s in enumerate(times):
            if any(a <= time_s < b for a, b in self.missing):
                last = None
                continue
            usable = not any(a <= time_s < b for a, b in self.unusable)
            first = last is None
            motion = MotionReading(
                REGIONS,
                np.zeros((len(REGIONS), 2), np.float32) if first else (measured[i] - measured[last]).astype(np.float32),
                (0.0,) * 6 if first else tuple(float(v) for v in rigid[i] - rigid[last]),
                valid=not first, step_s=0.0 if first else float(times[i] - times[last]), misfit=0.001,
                geometry=geometry[i].astype(np.float32), position=landmarks[i].astype(np.float32),
            )  # fmt: skip
            names = tuple(self.aus)
            raw = np.array([size * peaks.bump(np.array([time_s]), *knots)[0] for size, knots in self.aus.values()])
            segment = sum(time_s >= start for start in self.segment_from)
            out.append(Reading(
                i, float(time_s), segment, self.track, self.person, usable,
                AUReading(names, raw, raw) if names else None, motion,
            ))  # fmt: skip
            last = i if usable else None
        return out


def screen(readings: list[Reading], **options: object) -> list[Event]:
    """All events of a stream."""
    screener = make(**options)
    events = [event for reading in readings for event in screener.push(reading)]
    return events + screener.flush()


def make(fps: float = 30.0, record: object = None, **options: object) -> Screener:
    return Screener(config.Screening(**options), "clip", "d" * 16, "c" * 16, fps, record=record)  # type: ignore[arg-type]
