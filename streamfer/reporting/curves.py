"""The curves of a report, gathered from faces.csv in one pass whose memory does not grow with the video.

Two sorts:

* **lanes**, one for each person: the lowest and highest value of each AU in each of `BINS` stretches of the whole time, so
  that no peak is lost however long the video is. A clip with fewer frames than stretches keeps every value.
* **close-ups**, one for each event: its own AUs (the side that moved) frame by frame, `AROUND_S` on either side.

A lane is broken where its person was not seen or could not be measured, and wherever the track changes: two faces that are
both unknown are never joined into one line. Values are kept as one byte in steps of 0.02 (`NONE` = a break), base64 in the page.
"""

from __future__ import annotations

import base64
import itertools
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from streamfer.records import Event
from streamfer.reporting.events_csv import code
from streamfer.reporting.faces_csv import header
from streamfer.reporting.rows import Block, blocks

BINS = 3000
AROUND_S = 1.0
CLOSE_UP_POINTS = 240
CLOSE_UP_AUS = 5
GAP_S = 0.5  # a lane is broken where a person was not seen for longer
STEP = 0.02
NONE = 255


@dataclass(slots=True)
class Lane:
    """One person: `times_s` (n,), `aus` {"AU12": (n,) uint8}, n <= 2 * BINS + breaks."""

    person: str
    times_s: np.ndarray
    aus: dict[str, np.ndarray]
    seen_s: float  # time with a face
    usable: float  # share of the rows whose face could be measured


@dataclass(slots=True)
class CloseUp:
    """Around one event: `times_s` (n,), `aus` {"L12": (n,) uint8} as coders write them, n <= CLOSE_UP_POINTS + 1."""

    times_s: np.ndarray
    aus: dict[str, np.ndarray]


@dataclass(slots=True)
class Curves:
    end_s: float = 0.0  # time of the last row
    width_s: float = 0.0  # of a stretch
    lanes: list[Lane] = field(default_factory=list)  # people in order, the unknown last
    close_ups: dict[str, CloseUp] = field(default_factory=dict)  # by event id


def gather(path: Path, events: Sequence[Event], bins: int = BINS) -> Curves:
    """Read faces.csv once. Empty when there is no such file or no row in it."""
    end_s = _last_time_s(path) if path.exists() else None
    if end_s is None:
        return Curves()
    units = [name for name in header(path) if name.startswith("AU") and name.endswith("_r")]
    whole = [name for name in units if name.count("_") == 1]
    width_s = max(end_s, 1e-3) * (1 + 1e-9) / bins  # the last row belongs to the last stretch
    tracks: dict[tuple[str, int], list[_Stretches]] = {}
    pieces: dict[str, list[_Piece]] = {}
    for block in blocks(path, units):
        _divide(block, [units.index(name) for name in whole], width_s, tracks)
        _collect(block, units, events, pieces)
    return Curves(end_s, width_s, _lanes(tracks, whole, width_s), _close_ups(events, pieces))


def pack(values: np.ndarray) -> str:
    """A little-endian array as base64, for the page's script."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def quantised(values: np.ndarray) -> np.ndarray:
    """Intensities 0-5 as bytes in steps of 0.02; what is no number becomes a break."""
    known = np.isfinite(values)
    return np.where(known, np.round(np.clip(np.where(known, values, 0.0), 0, 5) / STEP), NONE).astype(np.uint8)


# ---------------------------------------------------------------------------------------------- lanes


@dataclass(slots=True)
class _Stretches:
    """Successive stretches of one track: (n,) each, `low` and `high` (n, K) float32, NaN where nothing was measured."""

    bins: np.ndarray
    first_s: np.ndarray
    last_s: np.ndarray
    rows: np.ndarray
    usable: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def joined(self) -> _Stretches:
        """Neighbours of the same bin made one."""
        starts = np.flatnonzero(np.diff(self.bins, prepend=-1))
        return _Stretches(
            self.bins[starts],
            np.minimum.reduceat(self.first_s, starts),
            np.maximum.reduceat(self.last_s, starts),
            np.add.reduceat(self.rows, starts),
            np.add.reduceat(self.usable, starts),
            np.fmin.reduceat(self.low, starts, axis=0),  # a number before NaN
            np.fmax.reduceat(self.high, starts, axis=0),
        )

    @staticmethod
    def chained(parts: Sequence[_Stretches]) -> _Stretches:
        return _Stretches(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(_Stretches)))


def _divide(block: Block, whole: list[int], width_s: float, tracks: dict[tuple[str, int], list[_Stretches]]) -> None:
    """Add the stretches of a block to those of its people's tracks. A stretch may lie in two blocks."""
    for person, track in dict.fromkeys(zip(block.people.tolist(), block.tracks.tolist(), strict=True)):
        own = np.flatnonzero((block.people == person) & (block.tracks == track))
        times_s, values = block.times_s[own], block.values[own][:, whole]
        bins, usable = (times_s / width_s).astype(np.int64), block.usable[own].astype(np.int64)
        rows = _Stretches(bins, times_s, times_s, np.ones_like(bins), usable, values, values)
        tracks.setdefault((person, track), []).append(rows.joined())


def _lanes(tracks: dict[tuple[str, int], list[_Stretches]], units: list[str], width_s: float) -> list[Lane]:
    people: dict[str, list[tuple[int, _Stretches]]] = {}
    for (person, track), parts in sorted(tracks.items(), key=lambda item: item[0]):
        people.setdefault(person, []).append((track, _Stretches.chained(parts).joined()))
    return [_lane(name, people[name], units, width_s) for name in sorted(people, key=lambda p: (p == "", len(p), p))]


def _lane(person: str, tracks: list[tuple[int, _Stretches]], units: list[str], width_s: float) -> Lane:
    track = np.concatenate([np.full(len(own.bins), number) for number, own in tracks])
    all_ = _Stretches.chained([own for _, own in tracks])
    first, last = all_.first_s, all_.last_s
    gap = (track[1:] != track[:-1]) | (first[1:] - last[:-1] > max(GAP_S, 2 * width_s))
    # each stretch gives the points (first, low) and (last, high), one where they are the same, and a break after it
    keep = np.stack((np.ones(len(first), bool), all_.rows > 1, np.append(gap, False)), axis=1).ravel()
    times_s = np.stack((first, last, last), axis=1).ravel()[keep]
    breaks = np.full(all_.low.shape, NONE, np.uint8)
    values = np.stack((quantised(all_.low), quantised(all_.high), breaks), axis=1).reshape(-1, len(units))[keep]
    # time from the first to the last row of each unbroken stretch
    edges = np.flatnonzero(np.concatenate(([True], gap, [True])))
    seen_s = float(sum(last[b - 1] - first[a] for a, b in itertools.pairwise(edges)))
    return Lane(
        person,
        times_s,
        {unit.removesuffix("_r"): values[:, i] for i, unit in enumerate(units)},
        seen_s,
        float(all_.usable.sum() / all_.rows.sum()),
    )


# ------------------------------------------------------------------------------------------- close-ups


_Piece = tuple[np.ndarray, dict[str, np.ndarray]]  # times, quantised intensities: a close-up may lie in two parts


def _collect(block: Block, units: list[str], events: Sequence[Event], pieces: dict[str, list[_Piece]]) -> None:
    start, stop = block.times_s[0], block.times_s[-1]
    near = [e for e in events if e.onset.time_s - AROUND_S <= stop and e.offset.time_s + AROUND_S >= start]
    tracks = {track: np.flatnonzero(block.tracks == track) for track in {event.track for event in near}}
    for event in near:
        own, shown = tracks[event.track], _shown(event, units)
        window = (event.onset.time_s - AROUND_S, event.offset.time_s + AROUND_S)
        a, b = np.searchsorted(block.times_s[own], window)
        if b > a and shown:
            part = own[a:b]
            curves = block.values[part].astype(np.float64)
            aus = {au: quantised(curves[:, units.index(column)]) for au, column in shown.items()}
            pieces.setdefault(event.id, []).append((block.times_s[part], aus))


def _close_ups(events: Sequence[Event], pieces: dict[str, list[_Piece]]) -> dict[str, CloseUp]:
    found = {}
    for event in events:
        parts = pieces.pop(event.id, None)
        if not parts:
            continue
        times_s = np.concatenate([times for times, _ in parts])
        some = np.linspace(0, len(times_s) - 1, min(len(times_s), CLOSE_UP_POINTS)).round().astype(int)
        some = np.union1d(some, np.abs(times_s - event.apex.time_s).argmin())  # the apex is never thinned out
        aus = {code: np.concatenate([values[code] for _, values in parts])[some] for code in parts[0][1]}
        found[event.id] = CloseUp(times_s[some], aus)
    return found


def _shown(event: Event, columns: Collection[str]) -> dict[str, str]:
    """The AUs of an event as coders write them, strongest change first, and the column of the side that moved."""
    found: dict[str, str] = {}
    for change in sorted(event.aus, key=lambda change: -abs(change.delta)):
        sided = f"{change.au}_{'L' if change.side == 'left' else 'R'}_r"
        column = sided if change.side != "both" and sided in columns else f"{change.au}_r"
        if column in columns and column not in found.values():
            found[code(change)] = column
    return dict(list(found.items())[:CLOSE_UP_AUS])


def _last_time_s(path: Path) -> float | None:
    """The timestamp of the last whole row; None when there is none."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 2**16))
        lines = file.read().split(b"\n")[:-1]  # what follows the last line end is torn or empty
    for line in reversed(lines):
        cells = line.split(b",", 3)
        if len(cells) == 4 and cells[0].isdigit():
            return float(cells[2])
    return None
