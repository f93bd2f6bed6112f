"""events.TextGrid for Praat, written by pympi-ling: intervals tile the whole time, apexes are points."""

from __future__ import annotations

from pathlib import Path

from streamfer.reporting.folder import Analysis
from streamfer.reporting.tiers import apexes, end_s, tiers


def write(analysis: Analysis, path: Path) -> None:
    from pympi.Praat import TextGrid

    grid = TextGrid(xmin=0, xmax=max(end_s(analysis), 0.001))
    for tier in tiers(analysis):
        intervals = grid.add_tier(_one_line(tier.name).replace('"', "'"))
        for begin_s, stop_s, text in tier.spans:
            intervals.add_interval(round(begin_s, 6), round(min(stop_s, grid.xmax), 6), _one_line(text))
    for person, points in apexes(analysis).items():
        tier = grid.add_tier(f"{person} apex", tier_type="TextTier")
        for time_s, text in points:
            tier.add_point(round(time_s, 6), _one_line(text))
    if not grid.tiers:
        grid.add_tier("no events")
    grid.to_file(str(path))


def _one_line(text: str) -> str:
    return " ".join(text.split())
