"""An output folder: writing its events as they come, and reading all of it back.

events.jsonl        one Event per line, appended when it is found; at the end each line gets its "explanation"
explanations.jsonl  one Result per line while explanations arrive; merged into events.jsonl at the end
run.json            what was done with what, see streamfer/output.py
faces.csv           see faces_csv.py

Everything is whole lines, so a folder can be read while it grows and after a kill.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamfer.errors import PayloadInvalid, SourceMissing, UsageError
from streamfer.records import Event, Result, from_dict, to_dict, to_json

if TYPE_CHECKING:
    import pandas as pd

EVENTS, EXPLANATIONS, RUN, FACES, KEYFRAMES = (
    "events.jsonl", "explanations.jsonl", "run.json", "faces.csv", "keyframes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Explained:
    """An event with its explanation, or None where there is none (yet)."""

    event: Event
    result: Result | None


@dataclass(frozen=True)
class Analysis:
    """What an output folder holds. `run` is run.json; `faces` is read when it is first asked for."""

    folder: Path
    explained: list[Explained]
    run: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.run.get("source", {}).get("name") or self.folder.name)

    @property
    def events(self) -> list[Event]:
        return [explained.event for explained in self.explained]

    @cached_property
    def faces(self) -> pd.DataFrame:
        """One row per face and frame; the columns are those of faces.csv."""
        from streamfer.reporting.faces_csv import read

        return read(self.folder / FACES)

    def keyframe(self, event: Event, role: str) -> Path | None:
        """The picture of an event's onset, apex or offset, if it was kept."""
        path = self.folder / KEYFRAMES / f"{event.id}_{role}.jpg"
        return path if path.exists() else None

    def unexplained(self) -> list[Event]:
        return [explained.event for explained in self.explained if explained.result is None or not explained.result.cot]


def load(folder: str | Path) -> Analysis:
    """Read a folder, also one whose run is still going or was killed. Raises SourceMissing when it is none."""
    folder = Path(folder)
    if not (folder / RUN).exists():
        raise SourceMissing(f"{folder}: no run.json in it, so it is not an output folder; give OUT/<source name>")
    run = json.loads((folder / RUN).read_text(encoding="utf-8"))
    results = {result.id: result for result in _read(folder / EXPLANATIONS, Result)}
    explained = []
    for line in _lines(folder / EVENTS):
        own = line.pop("explanation", None)
        event = from_dict(Event, line)
        result = results.get(event.id) or (from_dict(Result, own) if own else None)
        explained.append(Explained(event, result))
    explained.sort(key=lambda e: (e.event.onset.time_s, e.event.id))
    return Analysis(folder, explained, run)


def append(path: Path, record: Event | Result) -> None:
    """One whole line, in one write; a torn line that a killed run left before it goes."""
    if path.exists():
        _drop_torn_line(path)
    data = memoryview((to_json(record) + "\n").encode())
    with path.open("ab", buffering=0) as file:
        while data:
            data = data[file.write(data) :]


def repair(folder: Path) -> None:
    """What a killed run left: torn last lines of the JSON lines files and files that were being replaced."""
    for name in (EVENTS, EXPLANATIONS):
        if (folder / name).exists():
            _drop_torn_line(folder / name)
    for pattern in (f".{EVENTS}.*", f".{RUN}.*", ".part-*"):
        for left in folder.glob(pattern):
            left.unlink()


def _drop_torn_line(path: Path) -> None:
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def merge(folder: Path) -> None:
    """Give each line of events.jsonl its explanation, sorted by onset, in one step; safe to repeat after a crash."""
    replace_text(folder / EVENTS, (_whole_line(explained) for explained in load(folder).explained))
    (folder / EXPLANATIONS).unlink(missing_ok=True)


def _whole_line(explained: Explained) -> str:
    line = to_dict(explained.event)
    if explained.result is not None:
        line["explanation"] = to_dict(explained.result)
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"


def replace_text(path: Path, pieces: Iterable[str]) -> None:
    """Write a file so that a reader, and a crash, see the old or the new one, never a part. A text is a piece of its own."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines([pieces] if isinstance(pieces, str) else pieces)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def find_folders(path: str | Path) -> list[Path]:
    """The folder itself, or the output folders in it. Raises UsageError when there are none."""
    path = Path(path)
    if (path / RUN).exists():
        return [path]
    found = sorted(run.parent for run in path.glob(f"*/{RUN}"))
    if not found:
        raise UsageError(f"{path}: not an output folder and none in it; give what `streamfer analyze -o` was given")
    return found


def _read(path: Path, record: type[Result]) -> Iterator[Result]:
    for line in _lines(path):
        yield from_dict(record, line)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Whole lines; a torn last one of a run that is still writing is left out."""
    from pydantic_core import from_json

    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield from_json(line, cache_strings="all")  # names of regions and AUs come again and again
            except ValueError as error:
                raise PayloadInvalid(f"{path}, line {number}: not JSON ({error}); was it edited?") from None
