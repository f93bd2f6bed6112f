"""Events as annotation tiers, shared by ELAN and Praat: per person micro, macro, AUs, label, explanation and apex.

Annotation programs allow no overlap within a tier and nothing without length, so an event that overlaps the one before it
goes to a second tier "(2)", and a mark lasts a millisecond at least. Times are whole milliseconds on the media's own
clock: a file whose first frame comes late is shifted by that offset, so that marks sit on the picture in a player.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from streamfer.reporting.events_csv import annotation
from streamfer.reporting.folder import Analysis


@dataclass(slots=True)
class Tier:
    """Spans (begin_ms, end_ms, text) that do not overlap, in order of time."""

    name: str
    person: str
    spans: list[tuple[int, int, str]] = field(default_factory=list)


def media_offset_s(run: dict[str, Any]) -> float:
    return float(run.get("source", {}).get("media_offset_s") or 0.0)


def end_ms(analysis: Analysis) -> int:
    """The end of the media: at least the end of the last mark."""
    claimed_s = float(analysis.run.get("source", {}).get("duration_s") or 0.0)
    last_ms = max((end for tier in tiers(analysis) for _, end, _ in tier.spans), default=1)
    return max(round((media_offset_s(analysis.run) + claimed_s) * 1000), last_ms)


def tiers(analysis: Analysis) -> list[Tier]:
    layers = _Layers()
    for explained, person, at in _in_order(analysis):
        event, cot = explained.event, explained.result.cot if explained.result else None
        begin, end = at(event.onset.time_s), max(at(event.offset.time_s), at(event.onset.time_s) + 1)
        layers.put(person, event.kind, begin, end, f"{event.kind} {event.score:.2f}")
        layers.put(person, "AUs", begin, end, annotation(event))
        if cot:
            layers.put(person, "label", begin, end, cot.label)
            layers.put(person, "explanation", begin, end, f"{cot.observations} {cot.interpretation} {cot.conclusion}")
    return layers.all()


def apexes(analysis: Analysis) -> list[Tier]:
    """Points of apex, each as a span of one millisecond."""
    layers = _Layers()
    for explained, person, at in _in_order(analysis, "apex"):
        apex = at(explained.event.apex.time_s)
        layers.put(person, "apex", apex, apex + 1, annotation(explained.event))
    return layers.all()


class _Layers:
    """Tiers by name; each mark goes to the first layer that is free at its time. Marks come in order of time."""

    def __init__(self) -> None:
        self._found: dict[str, list[Tier]] = {}

    def put(self, person: str, what: str, begin: int, end: int, text: str) -> None:
        name = f"{person} {what}"
        layers = self._found.setdefault(name, [])
        for layer in layers:
            if layer.spans[-1][1] <= begin:
                layer.spans.append((begin, end, text))
                return
        layers.append(Tier(f"{name} ({len(layers) + 1})" if layers else name, person, [(begin, end, text)]))

    def all(self) -> list[Tier]:
        return [layer for _, layers in sorted(self._found.items()) for layer in layers]


def _in_order(analysis: Analysis, moment: str = "onset") -> list[tuple[Any, str, Any]]:
    shift_s = media_offset_s(analysis.run)

    def milliseconds(time_s: float) -> int:
        return round((time_s + shift_s) * 1000)

    found = sorted(analysis.explained, key=lambda e: getattr(e.event, moment).time_s)
    return [(explained, explained.event.person or "unknown", milliseconds) for explained in found]
