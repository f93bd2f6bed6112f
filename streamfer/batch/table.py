"""The two tables of a data set: dataset.csv, one row per clip, and events.csv, one row per event of all clips.

Both are written from the clips' own folders, in the data set's order, so they are the same whoever did the work; only
`seconds` is a matter of the run. A clip that was not reached (interrupted) has an empty `exit`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamfer.batch.clip import ClipEnd, ClipJob, clip_folder, read_run
from streamfer.config import Config
from streamfer.reporting import events_csv
from streamfer.reporting.folder import load, replace_text

DATASET, EVENTS = "dataset.csv", "events.csv"
DATASET_COLUMNS = ["subject", "clip", "frames", "micro", "macro", "exit", "error", "seconds"]
EVENT_COLUMNS = ["subject", "clip", *events_csv.COLUMNS]


def write_tables(jobs: Sequence[ClipJob], ends: Mapping[str, ClipEnd], config: Config) -> tuple[Path, Path]:
    """Write both into `config.output.folder`; `ends` is by clip name. Each appears whole or not at all."""
    root = Path(config.output.folder)
    root.mkdir(parents=True, exist_ok=True)
    rows = [_row(job, ends.get(job.name), read_run(clip_folder(job, config))) for job in jobs]
    replace_text(root / DATASET, _csv(DATASET_COLUMNS, rows))
    replace_text(root / EVENTS, _csv(EVENT_COLUMNS, (row for job in jobs for row in _events(job, config))))
    return root / DATASET, root / EVENTS


def _row(job: ClipJob, end: ClipEnd | None, run: Mapping[str, Any] | None) -> dict[str, Any]:
    run = run or {}
    events = run.get("events", {})
    return {
        "subject": job.subject,
        "clip": job.name,
        "frames": run.get("counts", {}).get("decoded", 0),
        "micro": events.get("micro", 0),
        "macro": events.get("macro", 0),
        "exit": end.exit_code if end else "",
        "error": " ".join(end.message.split()) if end else "not reached",
        "seconds": round(end.seconds, 2) if end else "",
    }


def _events(job: ClipJob, config: Config) -> Iterator[dict[str, Any]]:
    folder = clip_folder(job, config)
    if read_run(folder) is None:
        return
    for row in events_csv.rows(load(folder)):
        yield {"subject": job.subject, "clip": job.name, **row}


def _csv(columns: Sequence[str], rows: Any) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
