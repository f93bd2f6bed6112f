"""Events as annotation tiers, shared by ELAN and Praat: per person micro, macro, AUs, label and explanation.

Annotation programs allow no overlap within a tier, so an event that overlaps the one before it goes to a second tier
"(2)". Times are on the media's own clock: a file whose first frame comes late is shifted by that offset, so that marks sit
on the picture in a player.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from streamfer.reporting.events_csv import annotation
from streamfer.reporting.folder import Analysis


@dataclass(slots=True)
class Tier:
    """Spans (begin_s, end_s, text) that do not overlap, in order of time."""

    name: str
    person: str
    spans: list[tuple[float, float, str]] = field(default_factory=list)


def media_offset_s(run: dict[str, Any]) -> float:
    return float(run.get("source", {}).get("media_offset_s") or 0.0)


def end_s(analysis: Analysis) -> float:
    """The end of the media: at least the last event."""
    source = analysis.run.get("source", {})
    last = max((event.offset.time_s for event in analysis.events), default=0.0)
    return media_offset_s(analysis.run) + max(float(source.get("duration_s") or 0.0), last)


def tiers(analysis: Analysis) -> list[Tier]:
    shift = media_offset_s(analysis.run)
    found: dict[str, list[Tier]] = {}

    def put(person: str, what: str, begin: float, end: float, text: str) -> None:
        name = f"{person} {what}"
        layers = found.setdefault(name, [Tier(name, person)])
        for layer in layers:
            if not layer.spans or layer.spans[-1][1] <= begin:
                layer.spans.append((begin, end, text))
                return
        layers.append(Tier(f"{name} ({len(layers) + 1})", person, [(begin, end, text)]))

    for explained in sorted(analysis.explained, key=lambda e: e.event.onset.time_s):
        event, cot = explained.event, explained.result.cot if explained.result else None
        person = event.person or "unknown"
        begin, end = event.onset.time_s + shift, event.offset.time_s + shift
        put(person, event.kind, begin, end, f"{event.kind} {event.score:.2f}")
        put(person, "AUs", begin, end, annotation(event))
        if cot:
            put(person, "label", begin, end, cot.label)
            put(person, "explanation", begin, end, f"{cot.observations} {cot.interpretation} {cot.conclusion}")
    return [layer for _, layers in sorted(found.items()) for layer in layers]


def apexes(analysis: Analysis) -> dict[str, list[tuple[float, str]]]:
    """Points of apex by person."""
    shift = media_offset_s(analysis.run)
    points: dict[str, list[tuple[float, str]]] = {}
    for event in sorted(analysis.events, key=lambda event: event.apex.time_s):
        points.setdefault(event.person or "unknown", []).append((event.apex.time_s + shift, annotation(event)))
    return dict(sorted(points.items()))
