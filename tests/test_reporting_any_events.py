"""Whatever events there are (overlapping, without length, at the same moment, with any text), the files load elsewhere."""

from __future__ import annotations

import itertools
import json
import tempfile
import warnings
from pathlib import Path

import pandas as pd
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st
from pympi.Elan import Eaf
from pympi.Praat import TextGrid

from streamfer.records import AUChange, ChainOfThought, Event, Moment, Result
from streamfer.reporting import eaf, events_csv, html, textgrid, vtt
from streamfer.reporting.folder import Analysis, Explained

TEXT = st.text(max_size=40) | st.sampled_from(
    ['"', "-->", "1\n00:00", "<v P1>", "]]>", "</script>", "=1+1", "\u2028", "\x00\x0b"]
)


@st.composite
def explained(draw: st.DrawFn) -> Explained:
    onset_s = draw(st.floats(0, 20_000).map(lambda s: round(s, 6)))
    rise_s, fall_s = (draw(st.sampled_from([0.0, 0.0004, 0.033367, 0.5, 8.0])) for _ in range(2))
    kind = draw(st.sampled_from(["micro", "macro"]))
    event = Event(
        id=draw(st.text("0123456789abcdef", min_size=20, max_size=20)),
        source="s",
        person=draw(st.sampled_from(["", "P1", "P2"])),
        track=draw(st.integers(0, 3)),
        kind=kind,  # type: ignore[arg-type]
        onset=Moment(0, onset_s),
        apex=Moment(1, onset_s + rise_s),
        offset=Moment(2, onset_s + rise_s + fall_s),
        rise_s=rise_s,
        duration_s=rise_s + fall_s,
        aus=(AUChange("AU12", "left", 2.0, 1.0),) * draw(st.integers(0, 1)),
        motion=(),
        score=0.5,
        flags=(draw(TEXT),),
    )
    if draw(st.booleans()):
        return Explained(event, None)
    cot = ChainOfThought(draw(TEXT), draw(TEXT), draw(TEXT), "fear") if draw(st.booleans()) else None
    return Explained(event, Result(event.id, cot, False, (draw(TEXT),), "b", "m", "r", "none", 1, 1, 0.1, "w"))


@settings(max_examples=40, deadline=None)
@given(st.lists(explained(), max_size=6, unique_by=lambda e: e.event.id), st.sampled_from([0.0, 0.85]))
def test_every_file_loads_elsewhere_with_all_events(found: list[Explained], offset_s: float) -> None:
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # pympi leaves its files open
        folder = Path(name)
        source = {"kind": "file", "path": "/v/a b&<ü>.mp4", "media_offset_s": offset_s, "duration_s": 60.0}
        analysis = Analysis(folder, found, {"source": source})
        check_elan(analysis, folder / "events.eaf")
        check_praat(analysis, folder / "events.TextGrid")
        check_captions(analysis, folder)
        check_table(analysis, folder / "events.csv")
        data = json.loads("".join(html.data_pieces(analysis)))
        assert [event["id"] for event in data["events"]] == [one.event.id for one in found]


def check_elan(analysis: Analysis, path: Path) -> None:
    eaf.write(analysis, path)
    document = Eaf(str(path))
    marked = 0
    for tier in document.get_tier_names():
        spans = sorted(document.get_annotation_data_for_tier(tier))
        assert all(begin < end for begin, end, *_ in spans), "ELAN shows no annotation without length"
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans)), f"overlap in tier {tier}"
        marked += len(spans) if " AUs" in tier else 0
    assert marked == len(analysis.events)


def check_praat(analysis: Analysis, path: Path) -> None:
    textgrid.write(analysis, path)
    grid = TextGrid(str(path))
    marked = points = 0
    for tier in grid.get_tiers():
        if tier.tier_type == "TextTier":
            points += len(list(tier.get_intervals()))
            continue
        intervals = tier.get_all_intervals()
        assert all(a[1] == b[0] for a, b in itertools.pairwise(intervals)), "intervals tile the time"
        assert all(begin < end for begin, end, _ in intervals)
        assert (intervals[0][0], intervals[-1][1]) == (grid.xmin, grid.xmax)
        marked += sum(bool(text) for *_, text in intervals) if " AUs" in tier.name else 0
    assert (marked, points) == (len(analysis.events),) * 2


def check_captions(analysis: Analysis, folder: Path) -> None:
    vtt.write(analysis, folder / "events.vtt")
    vtt.write(analysis, folder / "events.srt")
    assert len(webvtt.read(str(folder / "events.vtt")).captions) == len(analysis.events)
    if analysis.events:
        assert len(webvtt.from_srt(str(folder / "events.srt")).captions) == len(analysis.events)


def check_table(analysis: Analysis, path: Path) -> None:
    events_csv.write(analysis, path)
    table = pd.read_csv(path, keep_default_na=False, dtype=str)
    assert list(table["id"]) == [event.id for event in analysis.events]
    assert not [text for text in table["observations"] if text.startswith(("=", "+", "-", "@"))]
