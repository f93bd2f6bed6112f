"""A made-up data set and the output folders of its analysis, for the tests of `streamfer evaluate`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from streamfer.datasets.records import Annotation, Clip, Dataset
from streamfer.records import AUChange, ChainOfThought, Event, Moment, Result
from streamfer.reporting.folder import EVENTS, append, merge

FPS = 30.0


def note(
    onset: int | None, offset: int | None, kind: str = "micro", apex: int | None = None, emotion: str = "disgust", **more
) -> Annotation:
    """Frames from 0 within the clip."""
    return Annotation("", "", kind, onset, apex, offset, emotion, **more)  # type: ignore[arg-type]


def clip(name: str, *notes: Annotation, subject: str = "", first: int | None = 1, path: Path = Path("nowhere")) -> Clip:
    subject = subject or name.split("_")[0]
    return Clip(
        "own", subject, name, path, FPS, tuple(replace(n, subject=subject, clip=name) for n in notes), first
    )


def dataset(*clips: Clip, name: str = "own") -> Dataset:
    return Dataset(name, Path("own"), tuple(replace(c, dataset=name) for c in clips))


def event(onset: int, offset: int, kind: str = "micro", *, score: float = 0.8, apex: int | None = None, aus: str = "",
          id: str = "", person: str = "P1") -> Event:  # fmt: skip
    """`aus`: "12:1.5 4:0.7", AU and intensity."""
    middle = (onset + offset) // 2 if apex is None else apex
    changes = [AUChange(f"AU{int(au):02d}", "both", float(v), float(v)) for au, v in (w.split(":") for w in aus.split())]
    at = [Moment(frame, frame / FPS) for frame in (onset, middle, offset)]
    return Event(
        id or f"{kind}{onset}-{offset}-{score}", "clip", person, 1, kind, *at, 0.1, (offset - onset) / FPS,  # type: ignore[arg-type]
        tuple(changes), (), score,
    )  # fmt: skip


def write(out: Path, name: str, *events: Event, label: str | None = None, status: str = "done", missing: int = 0) -> Path:
    """An output folder as `streamfer analyze` leaves it, each event with the same label."""
    folder = out / name
    folder.mkdir(parents=True)
    run = {"status": status, "source": {"name": name}, "counts": {"missing": missing}}
    (folder / "run.json").write_text(json.dumps(run))
    for found in events:
        append(folder / EVENTS, found)
        if label:
            cot = ChainOfThought("The brow is lowered.", "Negative.", "So.", label)  # type: ignore[arg-type]
            told = Result(found.id, cot, True, (), "composer", "rules", "1", "cot_first", 1, 0, 0.0, "w")
            append(folder / "explanations.jsonl", told)
    if events and label:
        merge(folder)
    return folder
