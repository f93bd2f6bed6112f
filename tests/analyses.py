"""Output folders made by hand, with two people, four events and hostile texts, for everything that reads them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from streamfer.records import (
    AUChange,
    AUReading,
    Box,
    ChainOfThought,
    Event,
    Face,
    HeadPose,
    Moment,
    Quality,
    Recognised,
    RegionMotion,
    Result,
    to_dict,
)
from streamfer.reporting.faces_csv import FacesCsv

AUS = ("AU01_L", "AU01_R", "AU04_L", "AU04_R", "AU12_L", "AU12_R", "AU17")
HOSTILE = '</script><script>document.title="hacked"</script><img src=x onerror=\'document.title="hacked"\'>&"<b>'
FPS = 30.0


def event(person: str, kind: str, onset_s: float, apex_s: float, offset_s: float, au: str, side: str = "both") -> Event:
    at = lambda s: Moment(round(s * FPS), s)  # noqa: E731
    return Event(
        id=f"{person or 'x'}-{kind}-{round(apex_s * 1000)}",
        source="two people",
        person=person,
        track=1 if person == "P1" else 2,
        kind=kind,  # type: ignore[arg-type]
        onset=at(onset_s),
        apex=at(apex_s),
        offset=at(offset_s),
        rise_s=apex_s - onset_s,
        duration_s=offset_s - onset_s,
        aus=(AUChange(au, side, 2.5, 2.0),),  # type: ignore[arg-type]
        motion=(RegionMotion("mouth_corner_L", 0.06, 45.0, "up-right"),),
        score={"micro": 0.7, "macro": 0.9}[kind],
        flags=("talking", "low_fps"),
    )


def result(of: Event, text: str, label: str = "happiness", verified: bool = True) -> Result:
    return Result(
        id=of.id,
        cot=ChainOfThought(f"Observed: {text}", f"Meaning: {text}", f"So: {text}", label),  # type: ignore[arg-type]
        verified=verified,
        reasons=() if verified else (f"claims AU99 {text}",),
        backend="composer",
        model="rules",
        revision="1",
        order="cot_first",
        attempts=1,
        tokens=10,
        latency_s=0.01,
        worker="w",
    )


EVENTS = [
    replace(event("P1", "micro", 1.0, 1.2, 1.4, "AU12", "left"), recognised=Recognised("positive", 0.71, f"net 1 {HOSTILE}")),
    event("P1", "macro", 1.3, 2.0, 3.0, "AU04"),
    event("P2", "macro", 4.0, 4.6, 5.5, "AU12"),
    event("", "micro", 6.0, 6.1, 6.3, "AU01", "right"),
]


def write_folder(root: Path, seconds: float = 8.0, text: str = HOSTILE, media_offset_s: float = 0.0) -> Path:
    """OUT/two people/ with faces.csv, events.jsonl, keyframes/ and run.json; returns it."""
    folder = root / "two people"
    (folder / "keyframes").mkdir(parents=True)
    _write_faces(folder, seconds)
    explained = {EVENTS[0].id: result(EVENTS[0], text), EVENTS[1].id: result(EVENTS[1], "plain", "anger", verified=False),
                 EVENTS[2].id: result(EVENTS[2], "plain")}  # fmt: skip
    with (folder / "events.jsonl").open("w") as file:
        for one in EVENTS:
            line = to_dict(one)
            if one.id in explained:
                line["explanation"] = to_dict(explained[one.id])
            file.write(json.dumps(line) + "\n")
    for one in EVENTS[:3]:
        for number, role in enumerate(("onset", "apex", "offset")):
            picture = np.full((96, 96, 3), 60 + 60 * number, np.uint8)
            cv2.imwrite(str(folder / "keyframes" / f"{one.id}_{role}.jpg"), picture)
    run = {
        "schema": 1, "streamfer": "0", "status": "done", "exit_code": 0, "started": "2026-01-01T00:00:00Z",
        "config_digest": "0" * 16, "config": {"output": {"formats": ["csv"]}}, "people": ["P1", "P2"],
        "source": {"name": "two people", "path": f"/videos/{text}.mp4", "kind": "file", "width_px": 640, "height_px": 360, "fps": FPS,
                   "duration_s": seconds, "frames_claimed": 240, "codec": "h264", "digest": "d", "media_offset_s": media_offset_s},
        "counts": {"decoded": round(seconds * FPS), "damaged": 2}, "events": {"micro": 2, "macro": 2},
        "au_model": {"name": "m", "version": "1", "provider": "CPUExecutionProvider", "provider_reason": "auto"},
        "warnings": [f"a warning {text}"],
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def _write_faces(folder: Path, seconds: float) -> None:
    faces = FacesCsv(folder / "faces.csv", AUS, threshold=1.0)
    for i in range(round(seconds * FPS)):
        rows = []
        for track, person in ((1, "P1"), (2, "P2")):
            if person == "P2" and i < 60 or i >= 200:  # noqa: RUF021 - P2 comes at 2 s, both go before the end
                continue
            curve = np.array([1, 1, 0.5, 0.5, 2, 3, 1], np.float32) * (0.6 + 0.4 * np.sin(i / 9 + track))
            rows.append((face(track, person), AUReading(AUS, curve + 0.3, curve), i / FPS))
        faces.write(i, i / FPS, rows)
    faces.close()


def face(track: int, person: str) -> Face:
    quality = Quality(150.0, 80.0, 5.0, 0.0, True)
    return Face(track, person, Box(100, 80, 150, 190), np.zeros((478, 3), np.float32), HeadPose(0.1, 0.0, 0.0), quality)
