"""report.html: what a psychologist opens. One lane per person, events to click, the evidence and the words beside it.

The page is one file with its data in it, the pictures in keyframes/ and Plotly's script once for all reports, in assets/
beside the output folders; it works offline. Nothing in it is trusted: all data are JSON in a script element (with < > &
escaped), the page's script only ever sets text, and a content policy forbids every request but for pictures.

Curves are the lowest and highest value of each of at most `BINS` stretches of time, so that the report of two hours
stays a few megabytes and no peak is lost.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streamfer.action_units import facs
from streamfer.expllm.text import facs_letter
from streamfer.reporting.folder import FACES, Analysis, Explained

if TYPE_CHECKING:
    import pandas as pd

BINS = 1200
GAP_S = 0.5  # a curve is broken where a person was not seen for longer

FLAGS = {
    "low_fps": "the frame rate is low for such a short event",
    "head_motion": "the head was moving",
    "talking": "the person was talking",
    "blink": "a blink at the same time",
    "edge_of_gap": "beside a time in which the face could not be measured",
    "edge_of_track": "beside the moment at which the face came or went",
    "cut_short": "longer than is followed: its end was cut",
}

_ASSETS = Path(__file__).parent / "assets"


def write(analysis: Analysis, path: Path) -> None:
    import jinja2

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_ASSETS), autoescape=True)
    template = environment.get_template("report.html.j2")
    page = template.render(
        title=analysis.name,
        nonce=secrets.token_urlsafe(16),
        plotly=_plotly_beside(path),
        css=(_ASSETS / "report.css").read_text(encoding="utf-8"),
        script=(_ASSETS / "report.js").read_text(encoding="utf-8"),
        data=script_json(report_data(analysis)),
        facts=facts(analysis),
        warnings=analysis.run.get("warnings", []),
    )
    path.write_text(page, encoding="utf-8")


def report_data(analysis: Analysis) -> dict[str, Any]:
    """All that the page's script shows."""
    curves = _curves(analysis)
    people = sorted(curves.keys() | {event.person for event in analysis.events}, key=lambda p: (p == "", len(p), p))
    return {
        "duration_s": analysis.run.get("source", {}).get("duration_s"),
        "people": [{"person": person, "curves": curves.get(person, {"t": [], "aus": {}})} for person in people],
        "names": {f"AU{unit.number:02d}": unit.name for unit in facs.UNITS.values()},
        "events": [_event(analysis, explained) for explained in analysis.explained],
    }


def facts(analysis: Analysis) -> list[tuple[str, str]]:
    """The run in words, for the foot of the page."""
    run = analysis.run
    source, counts, model = run.get("source", {}), run.get("counts", {}), run.get("au_model", {})
    lost = {name: value for name, value in counts.items() if value and name in _DROPPED}
    kinds = Counter(event.kind for event in analysis.events)
    return [
        ("Source", f"{source.get('path', '?')}"),
        ("Picture", f"{source.get('width_px')} x {source.get('height_px')}, {source.get('codec')}, "
                    f"{source.get('fps') or 0:.3g} frames per second"),
        ("Frames", f"{counts.get('decoded', 0)} analysed" + (f", {source['frames_claimed']} claimed by the file"
                   if source.get("frames_claimed") not in (None, counts.get("decoded")) else "")),
        ("Left out", ", ".join(f"{value} {_DROPPED[name]}" for name, value in lost.items()) or "nothing"),
        ("Events", f"{kinds['micro']} micro, {kinds['macro']} macro"),
        ("Status", f"{run.get('status')}, exit code {run.get('exit_code')}"),
        ("AU model", f"{model.get('name')} {model.get('version')} on {model.get('provider')} ({model.get('provider_reason')})"),
        ("streamfer", f"{run.get('streamfer')}, configuration {run.get('config_digest')}, {run.get('started')}"),
    ]  # fmt: skip


_DROPPED = {
    "damaged": "damaged",
    "time_not_advancing": "whose time did not advance",
    "without_time": "without a time",
    "missing": "missing numbers",
    "dropped_live": "dropped live",
    "duplicated": "repeated (analysed, but the camera gave the same picture twice)",
}


def script_json(data: Any) -> str:
    """JSON that can stand inside a script element: no character ends the element or opens a comment."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _event(analysis: Analysis, explained: Explained) -> dict[str, Any]:
    event, result = explained.event, explained.result
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
             "letter": facs_letter(c.intensity)}
            for c in event.aus
        ],
        "motion": [
            {"region": m.region, "distance": round(m.distance, 4), "direction": m.direction} for m in event.motion
        ],
        "pictures": pictures,
        "result": None if result is None else {
            "cot": None if result.cot is None else {
                "observations": result.cot.observations,
                "interpretation": result.cot.interpretation,
                "conclusion": result.cot.conclusion,
                "label": result.cot.label,
            },
            "verified": result.verified,
            "reasons": list(result.reasons),
            "by": f"{result.backend} ({result.model}, {result.revision})",
        },
    }  # fmt: skip


def _curves(analysis: Analysis) -> dict[str, dict[str, Any]]:
    """For each person the times and, for each AU, the values of its curve; None where the person was not seen."""
    import pandas as pd

    path = analysis.folder / FACES
    if not path.exists():
        return {}
    header = pd.read_csv(path, nrows=0).columns
    units = [name for name in header if name.startswith("AU") and name.endswith("_r") and name.count("_") == 1]
    kinds = {**dict.fromkeys(units, "float32"), "person": str, "timestamp": "float64", "success": "int8"}
    table = pd.read_csv(path, usecols=["timestamp", "success", "person", *units], dtype=kinds)
    table = table[table["success"] == 1].fillna({"person": ""})
    return {str(person): _thinned(rows, units) for person, rows in table.groupby("person", sort=True)}


def _thinned(rows: pd.DataFrame, units: list[str]) -> dict[str, Any]:
    times = rows["timestamp"].to_numpy()
    values = rows[units].to_numpy()
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    if len(times) > 2 * BINS:
        edges = np.linspace(times[0], times[-1], BINS + 1)
        starts = np.unique(np.searchsorted(times, edges[:-1]))
        low = np.minimum.reduceat(values, starts)
        high = np.maximum.reduceat(values, starts)
        times = np.repeat(times[starts], 2)
        values = np.stack((low, high), axis=1).reshape(-1, len(units))
    gaps = np.flatnonzero(np.diff(times) > max(GAP_S, 4 * (times[-1] - times[0]) / max(len(times), 1))) + 1
    t = np.insert(times, gaps, times[gaps - 1] + 1e-3) if len(gaps) else times
    curves: dict[str, list[float | None]] = {}
    for column, unit in enumerate(units):
        line: list[float | None] = [round(float(v), 2) for v in values[:, column]]
        for gap in reversed(gaps.tolist()):
            line.insert(gap, None)
        curves[unit.removesuffix("_r")] = line
    return {"t": [round(float(v), 3) for v in t], "aus": curves}


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
