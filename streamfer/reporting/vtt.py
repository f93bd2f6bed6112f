"""events.vtt and events.srt: captions for any player, one cue per event."""

from __future__ import annotations

import html
from pathlib import Path

from streamfer.reporting.events_csv import annotation
from streamfer.reporting.folder import Analysis, Explained
from streamfer.reporting.tiers import media_offset_s


def write(analysis: Analysis, path: Path) -> None:
    """The ending of the path chooses the format."""
    from webvtt import Caption, WebVTT

    is_srt = path.suffix == ".srt"
    shift = media_offset_s(analysis.run)
    captions = WebVTT()
    for explained in sorted(analysis.explained, key=lambda e: e.event.onset.time_s):
        event = explained.event
        text = _text(explained)
        captions.captions.append(
            Caption(
                _timestamp(event.onset.time_s + shift),
                _timestamp(max(event.offset.time_s, event.onset.time_s + 0.001) + shift),
                text if is_srt else html.escape(text, quote=False),
                identifier=event.id,
            )
        )
    with path.open("w", encoding="utf-8") as file:
        captions.write(file, format="srt" if is_srt else "vtt")


def _text(explained: Explained) -> str:
    event, cot = explained.event, explained.result.cot if explained.result else None
    head = f"{event.person or 'unknown'}: {event.kind} {annotation(event)} ({event.score:.2f})"
    return f"{head}, {cot.label}" if cot else head


def _timestamp(time_s: float) -> str:
    milliseconds = round(time_s * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"
