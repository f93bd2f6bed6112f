"""events.csv: one row per event, for spreadsheets and statistics; ELAN imports it by tier, begin and end."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from streamfer.records import LABELS, AUChange, Event
from streamfer.reporting.folder import Analysis, Explained


def write(analysis: Analysis, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows(analysis))


def rows(analysis: Analysis) -> Iterator[dict[str, object]]:
    """The cells of each event, by column."""
    return (_row(explained) for explained in analysis.explained)


COLUMNS = [
    "tier", "begin_s", "end_s", "annotation",
    "id", "person", "track", "kind", "onset_frame", "apex_frame", "offset_frame", "onset_s", "apex_s", "offset_s",
    "rise_s", "duration_s", "score", "aus", "strongest_au", "strongest_delta", "flags",
    "label", "verified", "observations", "interpretation", "conclusion", "recognised", "recognised_by",
    "whole_face", "whole_face_probability", "whole_face_onset", "whole_face_by",
]  # fmt: skip


def _row(explained: Explained) -> dict[str, object]:
    event, result = explained.event, explained.result
    cot = result.cot if result else None
    seen = event.expressed
    strongest = max(event.aus, key=lambda change: change.delta, default=None)
    return {
        "tier": f"{event.person or 'unknown'} {event.kind}",
        "begin_s": round(event.onset.time_s, 6),
        "end_s": round(event.offset.time_s, 6),
        "annotation": annotation(event),
        "id": event.id,
        "person": event.person,
        "track": event.track,
        "kind": event.kind,
        "onset_frame": event.onset.frame,
        "apex_frame": event.apex.frame,
        "offset_frame": event.offset.frame,
        "onset_s": round(event.onset.time_s, 6),
        "apex_s": round(event.apex.time_s, 6),
        "offset_s": round(event.offset.time_s, 6),
        "rise_s": round(event.rise_s, 6),
        "duration_s": round(event.duration_s, 6),
        "score": round(event.score, 4),
        "aus": annotation(event),
        "strongest_au": strongest.au if strongest else "",
        "strongest_delta": round(strongest.delta, 3) if strongest else "",
        "flags": _cell(" ".join(event.flags)),
        "label": cot.label if cot else "",
        "verified": result.verified if result else "",
        "observations": _cell(cot.observations) if cot else "",
        "interpretation": _cell(cot.interpretation) if cot else "",
        "conclusion": _cell(cot.conclusion) if cot else "",
        "recognised": _cell(event.recognised.label) if event.recognised else "",
        "recognised_by": _cell(event.recognised.source) if event.recognised else "",
        "whole_face": seen.best[0] if seen else "",
        "whole_face_probability": round(seen.best[1], 4) if seen else "",
        "whole_face_onset": max(zip(seen.onset, LABELS, strict=True))[1] if seen else "",
        "whole_face_by": _cell(seen.source) if seen else "",
    }


def _cell(text: str) -> str:
    """One line that a spreadsheet takes as text: a model may write what it would run as a formula."""
    text = " ".join(text.split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def annotation(event: Event) -> str:
    """The AUs as coders write them: L12+R14+4 (the person's own left and right)."""
    return "+".join(code(change) for change in event.aus) or "no AU"


def code(change: AUChange) -> str:
    return {"left": "L", "right": "R", "both": ""}[change.side] + str(int(change.au.removeprefix("AU")))
