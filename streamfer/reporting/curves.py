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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamfer.records import Event
from streamfer.reporting.events_csv import code
from streamfer.reporting.faces_csv import header, read_chunks

if TYPE_CHECKING:
    import pandas as pd

BINS = 3000
AROUND_S = 1.0
CLOSE_UP_POINTS = 240
_PART_ROWS = 4000  # read at once: about 4 MB
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
    names = header(path)
    units = [name for name in names if name.startswith("AU") and name.endswith("_r")]
    whole = [name for name in units if name.count("_") == 1]
    width_s = max(end_s, 1e-3) * (1 + 1e-9) / bins  # the last row belongs to the last stretch
    parts: list[pd.DataFrame] = []
    pieces: dict[str, list[_Piece]] = {}
    for chunk in read_chunks(path, _PART_ROWS, ["timestamp", "success", "face_id", "person", "usable", *units]):
        seen = chunk[chunk["success"] == 1]
        if len(seen):
            seen = seen.astype(dict.fromkeys(units, "float32"))  # all of a part may be empty
            seen.loc[seen["usable"] != 1, units] = np.nan
            parts.append(_binned(seen, whole, width_s))
            _collect(seen, events, pieces)
    return Curves(end_s, width_s, _lanes(parts, whole, width_s), _close_ups(events, pieces))


def pack(values: np.ndarray) -> str:
    """A little-endian array as base64, for the page's script."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def quantised(values: np.ndarray) -> np.ndarray:
    """Intensities 0-5 as bytes in steps of 0.02; what is no number becomes a break."""
    known = np.isfinite(values)
    return np.where(known, np.round(np.clip(np.where(known, values, 0.0), 0, 5) / STEP), NONE).astype(np.uint8)


# ---------------------------------------------------------------------------------------------- lanes


def _binned(rows: pd.DataFrame, units: list[str], width_s: float) -> pd.DataFrame:
    """One row for each person, track and stretch: lowest and highest values, first and last time, rows, usable rows."""
    import pandas as pd

    keys = rows[["person", "face_id"]].assign(bin=(rows["timestamp"] / width_s).astype("int32"))
    groups = rows.groupby([keys["person"], keys["face_id"], keys["bin"]], sort=False)
    values, times = groups[units], groups["timestamp"]
    return pd.concat(
        [
            values.min().astype("float32").add_suffix(" low"),
            values.max().astype("float32").add_suffix(" high"),
            times.min().rename("first"),
            times.max().rename("last"),
            times.size().rename("rows"),
            groups["usable"].sum().rename("usable"),
        ],
        axis=1,
    ).reset_index()


def _lanes(parts: list[pd.DataFrame], units: list[str], width_s: float) -> list[Lane]:
    import pandas as pd

    if not parts:
        return []
    table = pd.concat(parts, ignore_index=True)
    # a stretch that lies in two chunks has two rows
    how = {name: "min" if name.endswith(" low") else "max" for name in table.columns if name.startswith("AU")}
    how |= {"first": "min", "last": "max", "rows": "sum", "usable": "sum"}
    table = table.groupby(["person", "face_id", "bin"], sort=False).agg(how).reset_index()
    return [
        _lane(str(person), table[table["person"] == person].sort_values(["face_id", "bin"]), units, width_s)
        for person in sorted(table["person"].unique(), key=lambda p: (p == "", len(p), p))
    ]


def _lane(person: str, rows: pd.DataFrame, units: list[str], width_s: float) -> Lane:
    first, last, track = (rows[name].to_numpy() for name in ("first", "last", "face_id"))
    low = rows[[f"{unit} low" for unit in units]].to_numpy()
    high = rows[[f"{unit} high" for unit in units]].to_numpy()
    gap = (track[1:] != track[:-1]) | (first[1:] - last[:-1] > max(GAP_S, 2 * width_s))
    # each stretch gives the points (first, low) and (last, high), one where they are the same, and a break after it
    keep = np.stack((np.ones(len(rows), bool), rows["rows"].to_numpy() > 1, np.append(gap, False)), axis=1).ravel()
    times_s = np.stack((first, last, last), axis=1).ravel()[keep]
    values = np.stack((quantised(low), quantised(high), np.full(low.shape, NONE, np.uint8)), axis=1)
    values = values.reshape(-1, len(units))[keep]
    # time from the first to the last row of each unbroken stretch
    edges = np.flatnonzero(np.concatenate(([True], gap, [True])))
    seen_s = float(sum(last[b - 1] - first[a] for a, b in itertools.pairwise(edges)))
    return Lane(
        person,
        times_s,
        {unit.removesuffix("_r"): values[:, i] for i, unit in enumerate(units)},
        seen_s,
        float(rows["usable"].sum() / rows["rows"].sum()),
    )


# ------------------------------------------------------------------------------------------- close-ups


_Piece = tuple[np.ndarray, dict[str, np.ndarray]]  # times, quantised intensities: a close-up may lie in two parts


def _collect(rows: pd.DataFrame, events: Sequence[Event], pieces: dict[str, list[_Piece]]) -> None:
    start, stop = rows["timestamp"].iloc[0], rows["timestamp"].iloc[-1]
    near = [e for e in events if e.onset.time_s - AROUND_S <= stop and e.offset.time_s + AROUND_S >= start]
    tracks = {track: rows[rows["face_id"] == track] for track in {event.track for event in near}}
    for event in near:
        own, shown = tracks[event.track], _shown(event, list(rows.columns))
        a, b = np.searchsorted(own["timestamp"], (event.onset.time_s - AROUND_S, event.offset.time_s + AROUND_S))
        if b > a and shown:
            part = own.iloc[a:b]
            aus = {code: quantised(part[column].to_numpy(np.float64)) for code, column in shown.items()}
            pieces.setdefault(event.id, []).append((part["timestamp"].to_numpy(copy=True), aus))


def _close_ups(events: Sequence[Event], pieces: dict[str, list[_Piece]]) -> dict[str, CloseUp]:
    found = {}
    for event in events:
        parts = pieces.get(event.id)
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
