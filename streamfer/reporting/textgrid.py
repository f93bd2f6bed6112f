"""events.TextGrid for Praat, written by pympi-ling: intervals tile the whole time, apexes are points."""

from __future__ import annotations

from pathlib import Path

from streamfer.reporting.folder import Analysis
from streamfer.reporting.tiers import apexes, end_ms, tiers


def write(analysis: Analysis, path: Path) -> None:
    from pympi.Praat import TextGrid

    grid = TextGrid(xmin=0, xmax=end_ms(analysis) / 1000)
    for tier in tiers(analysis):
        intervals = grid.add_tier(tier.name)
        for begin, end, text in tier.spans:
            intervals.add_interval(begin / 1000, end / 1000, _one_line(text))
    for tier in apexes(analysis):
        points = grid.add_tier(tier.name, tier_type="TextTier")
        for begin, _, text in tier.spans:
            points.add_point(begin / 1000, _one_line(text))
    if not grid.tiers:
        grid.add_tier("no events")
    grid.to_file(str(path))


def _one_line(text: str) -> str:
    return " ".join(text.split())
