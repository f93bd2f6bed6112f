"""report.html: what a psychologist opens. One lane per person, events to click, the evidence and the words beside it.

The page is one file with its data in it, the pictures in keyframes/ and Plotly's script once for all reports, in assets/
beside the output folders; it works offline. Nothing in it is trusted: all data are JSON in a script element (with < > &
escaped), the page's scripts only ever set text, and a content policy forbids every request but for pictures.
curves.py keeps the report of hours small; facts.py puts the run into words.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from streamfer.action_units import facs
from streamfer.expllm.evidence import read_out
from streamfer.expllm.text import facs_letter
from streamfer.expression import facemaps
from streamfer.records import Event
from streamfer.reporting import curves
from streamfer.reporting.facts import facts, remarks
from streamfer.reporting.folder import FACES, KEYFRAMES, Analysis, Explained

FLAGS = {
    "low_fps": "The frame rate is low for such a short event.",
    "head_motion": "The head was moving: part of the change may come from that.",
    "talking": "The person was talking: actions of the mouth may belong to speech.",
    "blink": "There was a blink at the same time.",
    "edge_of_gap": "It lies beside a time in which the face could not be measured.",
    "edge_of_track": "It lies beside the moment at which the face came or went.",
    "cut_short": "It was still going when it was cut: its true end was not seen.",
}
"""The screener's flags in words; another one is shown as it is."""

_ASSETS = Path(__file__).parent / "assets"
_SCRIPTS = ("base.js", "lanes.js", "maps.js", "detail.js", "page.js")
_SIBLINGS = (
    "events.csv", "events.eaf", "events.vtt", "events.srt", "events.TextGrid", "events.jsonl", "faces.csv",
    "faces.parquet", "overlay.mp4", "run.json",
)  # fmt: skip


def write(analysis: Analysis, path: Path) -> None:
    """The page goes to the file piece by piece: of the data only the curves and one event are in memory at a time."""
    import jinja2

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_ASSETS), autoescape=True)
    template = environment.get_template("report.html.j2")
    page = template.stream(
        title=analysis.name,
        nonce=secrets.token_urlsafe(16),
        plotly=_plotly_beside(path),
        css=(_ASSETS / "report.css").read_text(encoding="utf-8"),
        script="\n".join((_ASSETS / name).read_text(encoding="utf-8") for name in _SCRIPTS),
        data=data_pieces(analysis),
        facts=facts(analysis),
        remarks=remarks(analysis),
        files=[name for name in _SIBLINGS if (analysis.folder / name).exists()],
    )
    page.dump(str(path), encoding="utf-8")


def data_pieces(analysis: Analysis) -> Iterator[str]:
    """All that the page's script shows: the text of one JSON object, in pieces."""
    found = curves.gather(analysis.folder / FACES, analysis.events)
    lanes = {lane.person: lane for lane in found.lanes}
    people = sorted(lanes.keys() | {event.person for event in analysis.events}, key=lambda p: (p == "", len(p), p))
    source = analysis.run.get("source", {})
    last_event_s = max((event.offset.time_s for event in analysis.events), default=0.0)
    head = {
        "end_s": round(max(found.end_s, last_event_s) or source.get("duration_s") or 1.0, 3),
        "bin_s": round(found.width_s, 4),
        "names": {f"AU{unit.number:02d}": unit.name for unit in facs.UNITS.values()},
    }
    yield script_json(head)[:-1]
    yield ',"people":'
    yield from _list(_person(person, lanes.get(person)) for person in people)
    yield ',"events":'
    yield from _list(_event(analysis, one, found.close_ups.get(one.event.id)) for one in analysis.explained)
    yield "}"


def _list(items: Iterable[Any]) -> Iterator[str]:
    """A JSON array, one item at a time."""
    opening = "["
    for item in items:
        yield opening + script_json(item)
        opening = ","
    yield "]" if opening == "," else "[]"


def script_json(data: Any) -> str:
    """JSON that can stand inside a script element: no character ends the element or opens a comment."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _person(person: str, lane: curves.Lane | None) -> dict[str, Any]:
    if lane is None:
        return {"person": person, "t": [], "aus": {}, "seen_s": 0, "usable": 0}
    return {
        "person": person,
        "t": [round(float(t), 3) for t in lane.times_s],
        "aus": {au: curves.pack(values) for au, values in lane.aus.items()},
        "seen_s": round(lane.seen_s, 2),
        "usable": round(lane.usable, 3),
    }


def _event(analysis: Analysis, explained: Explained, close_up: curves.CloseUp | None) -> dict[str, Any]:
    event = explained.event
    pictures = {}
    for role in ("onset", "apex", "offset"):
        picture = analysis.keyframe(event, role)
        if picture is not None:
            pictures[role] = picture.relative_to(analysis.folder).as_posix()
    return {
        "id": event.id,
        "person": event.person,
        "kind": event.kind,
        "onset_s": round(event.onset.time_s, 4),
        "apex_s": round(event.apex.time_s, 4),
        "offset_s": round(event.offset.time_s, 4),
        "frames": [event.onset.frame, event.apex.frame, event.offset.frame],
        "rise_s": round(event.rise_s, 3),
        "duration_s": round(event.duration_s, 3),
        "score": round(event.score, 3),
        "flags": [FLAGS.get(flag, flag) for flag in event.flags],
        "aus": [
            {"au": c.au, "side": c.side, "intensity": round(c.intensity, 2), "delta": round(c.delta, 2),
             "letter": facs_letter(c.intensity), "source": c.source}
            for c in event.aus
        ],
        "recognised": None if event.recognised is None else
        [event.recognised.label, round(event.recognised.probability, 3), event.recognised.source],
        "whole_face": None if event.expressed is None else
        [read_out(event.expressed.onset), read_out(event.expressed.apex), event.expressed.source],
        "motion": [[m.region, round(m.distance * 100, 1), m.direction] for m in event.motion],
        "pictures": pictures,
        "maps": _maps(analysis, event) if "apex" in pictures else None,
        "close_up": None if close_up is None else _close_up(close_up),
        "result": _result(explained),
    }  # fmt: skip


def _maps(analysis: Analysis, event: Event) -> dict[str, Any] | None:
    """What lies over the apex picture, and its words; None unless the AU model gave a spatial map."""
    words = facemaps.read_words(analysis.folder / KEYFRAMES, event)
    if words is None:
        return None
    return {
        "cam": f"{KEYFRAMES}/{facemaps.CAM_FILE.format(event.id)}",
        "cues": f"{KEYFRAMES}/{facemaps.CUES_FILE.format(event.id)}" if words.aus else None,
        "expression": words.expression,
        "probability": round(words.probability, 3),
        "strongest": list(words.strongest),
        "elsewhere": round(words.elsewhere, 3),
        "aus": list(words.aus),
        "agreement": None if words.agreement is None else round(words.agreement, 3),
    }


def _close_up(close_up: curves.CloseUp) -> dict[str, Any]:
    start_s = float(close_up.times_s[0])
    return {
        "start_s": round(start_s, 3),
        "ms": curves.pack(np.round((close_up.times_s - start_s) * 1000).astype("<u2")),  # at most 65 s
        "aus": {code: curves.pack(values) for code, values in close_up.aus.items()},
    }


def _result(explained: Explained) -> dict[str, Any] | None:
    result = explained.result
    if result is None:
        return None
    cot = result.cot
    return {
        "cot": None if cot is None else {
            "observations": cot.observations,
            "interpretation": cot.interpretation,
            "conclusion": cot.conclusion,
            "label": cot.label,
        },
        "verified": result.verified,
        "reasons": list(result.reasons),
        "by": f"{result.backend} ({result.model}, {result.revision})",
        "chances": {k: round(v, 3) for k, v in (result.label_probabilities or {}).items() if v >= 0.05},
    }  # fmt: skip


def _plotly_beside(path: Path) -> str:
    """Put Plotly's script into assets/ beside the output folders, once; returns its address from the report."""
    import plotly

    source = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    assets = path.resolve().parent.parent / "assets"
    target = assets / f"plotly-{plotly.__version__}.min.js"
    if not target.exists() or target.stat().st_size != source.stat().st_size:
        assets.mkdir(exist_ok=True)
        part = target.with_suffix(".part")
        shutil.copyfile(source, part)
        part.replace(target)
    return f"../assets/{target.name}"
