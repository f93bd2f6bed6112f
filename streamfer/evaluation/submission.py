"""The files that the spotting challenges exchange.

Submission (MEGC 2022 and later), one interval a row, frame numbers as in the data set (a video's frames count from 1),
`type` me or mae:

    vid,pred_onset,pred_offset,type

Log (MEGC 2019), one line for each true positive, false positive and false negative, `-` where there is nothing:

    006_1  121 160 118 158 TP

Both are in the order of the videos, then of time, so that the same results give the same bytes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from streamfer.errors import SourceMissing, UsageError
from streamfer.evaluation.spotting import Spot, Spotting
from streamfer.records import Kind, Moment

HEADER = ("vid", "pred_onset", "pred_offset", "type")
_TYPES: dict[str, Kind] = {"me": "micro", "mae": "macro"}
_NAMES = {kind: name for name, kind in _TYPES.items()}


def write_csv(path: Path, predictions: Iterable[Spot]) -> int:
    """Write a submission; returns the number of intervals."""
    rows = [(p.video, p.onset.frame, p.offset.frame, _NAMES[p.kind]) for p in predictions]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(sorted(rows))
    return len(rows)


def read_csv(path: Path) -> list[Spot]:
    """The intervals of a submission. Times are 0 and scores 1: it has neither. Raises UsageError naming the line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except OSError as error:
        raise SourceMissing(f"{path}: cannot be read ({error.strerror})") from None
    if not rows or tuple(cell.strip().casefold() for cell in rows[0]) != HEADER:
        raise UsageError(
            f"{path}: the first line must be {','.join(HEADER)}, it is {','.join(rows[0] if rows else [])}"
        )
    return [_spot(path, number, row) for number, row in enumerate(rows[1:], 2) if any(cell.strip() for cell in row)]


def _spot(path: Path, number: int, row: list[str]) -> Spot:
    try:
        video, onset, offset, kind = (cell.strip() for cell in row)
        return Spot(video, _TYPES[kind.casefold()], Moment(int(onset), 0.0), Moment(int(offset), 0.0))
    except (ValueError, KeyError):
        raise UsageError(
            f"{path}, line {number}: '{','.join(row)}' is not a video, two whole frame numbers in order and me or mae"
        ) from None


def log_lines(result: Spotting) -> list[str]:
    """The MEGC 2019 log of an evaluation."""
    rows = [
        *((p.truth.video, p.truth, p.prediction, "TP") for p in result.pairs),
        *((p.video, None, p, "FP") for p in result.false_alarms),
        *((t.video, t, None, "FN") for t in result.missed),
    ]
    rows.sort(key=lambda row: (row[0], (row[1] or row[2]).onset.frame, (row[1] or row[2]).offset.frame, row[3]))  # type: ignore[union-attr]
    return [f"{video}  {_ends(truth)} {_ends(found)} {what}" for video, truth, found, what in rows]


def _ends(spot: Spot | None) -> str:
    return f"{spot.onset.frame} {spot.offset.frame}" if spot else "- -"
