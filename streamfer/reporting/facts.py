"""run.json in words, for people: what was read, what was left out, who is who, with which versions, and what to mind."""

from __future__ import annotations

from collections import Counter
from typing import Any

from streamfer.reporting.folder import Analysis

_DROPPED = {
    "damaged": "damaged",
    "time_not_advancing": "whose time did not advance",
    "without_time": "without a time",
    "missing": "missing numbers",
    "dropped_live": "dropped because the analysis was too slow",
    "duplicated": "repeated (analysed, but the camera gave the same picture twice)",
}
_UNFINISHED = {
    "running": "This report was written while the run was still going, or the run was killed: it may lack events.",
    "interrupted": "The run was interrupted: everything after that moment is missing. `--resume` goes on from there.",
    "damaged": "The video is damaged part-way: everything after the damage is missing.",
    "failed": "The run failed: everything after that moment is missing.",
}


def facts(analysis: Analysis) -> list[tuple[str, str]]:
    """(name, value) pairs for the foot of the page; what is not known is left out."""
    run = analysis.run
    source, counts, model = run.get("source", {}), run.get("counts", {}), run.get("au_model", {})
    timings, packages = run.get("timings_s", {}), run.get("packages", {})
    kinds = Counter(event.kind for event in analysis.events)
    pairs = [
        ("Source", str(source.get("path", "?"))),
        ("Picture", _picture(source)),
        ("Frames", _frames(source, counts)),
        ("Left out", ", ".join(f"{counts[k]} {text}" for k, text in _DROPPED.items() if counts.get(k)) or "nothing"),
        ("Reconnects", str(counts["reconnects"]) if counts.get("reconnects") else ""),
        ("People", ", ".join(run.get("people", [])) or "none named"),
        ("Events", f"{kinds['micro']} micro, {kinds['macro']} macro"),
        ("Candidates", ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in run.get("screening", {}).items())),
        ("Explanations", ", ".join(f"{value} {name}" for name, value in run.get("explanations", {}).items())),
        ("AU model", _model(model)),
        ("Status", f"{run.get('status', '?')}, exit code {run.get('exit_code')}"),
        ("Times", ", ".join(f"{name.replace('_', ' ')} {seconds:.1f} s" for name, seconds in timings.items())),
        ("Memory", f"{run['peak_memory_mb']} MB at most" if run.get("peak_memory_mb") else ""),
        ("Started", f"{run.get('started') or '?'}, ended {run.get('ended') or 'not yet'}"),
        ("streamfer", f"{run.get('streamfer')}, configuration {run.get('config_digest')}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in packages.items())),
    ]  # fmt: skip
    return [(name, value) for name, value in pairs if value]


def remarks(analysis: Analysis) -> list[str]:
    """Sentences for the head of the page: an unfinished run, two names that are one person, the run's warnings."""
    run = analysis.run
    unfinished = _UNFINISHED.get(str(run.get("status")))
    merges = [
        f"{merge.get('person')} and {merge.get('into')} look like one person; this was found later, so both names stand "
        f"in the results. {merge.get('into')} is the older name."
        for merge in run.get("merges", [])
    ]
    return [*([unfinished] if unfinished else []), *merges, *map(str, run.get("warnings", []))]


def _picture(source: dict[str, Any]) -> str:
    size = f"{source.get('width_px')} x {source.get('height_px')}"
    rate = f"{source['fps']:.4g} frames per second" if source.get("fps") else "frame rate unknown"
    turned = f", turned by {source['rotation_deg']} degrees" if source.get("rotation_deg") else ""
    return f"{size}{turned}, {source.get('codec') or 'codec unknown'}, {rate}"


def _frames(source: dict[str, Any], counts: dict[str, Any]) -> str:
    analysed, claimed = counts.get("decoded", 0), source.get("frames_claimed")
    steps = ""
    if counts.get("max_step_s"):
        steps = (
            f"; from one to the next {counts.get('min_step_s', 0) * 1000:.0f} to {counts['max_step_s'] * 1000:.0f} ms"
        )
    return (
        f"{analysed} analysed" + (f", {claimed} claimed by the file" if claimed not in (None, analysed) else "") + steps
    )


def _model(model: dict[str, Any]) -> str:
    if not model:
        return ""
    text = f"{model.get('name')} {model.get('version')} on {model.get('provider')} ({model.get('provider_reason')})"
    return text + (f", sha256 {str(model['sha256'])[:12]}" if model.get("sha256") else "")
