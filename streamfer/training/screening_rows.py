"""The rows that `fit_screening` fits the screener's score to, from clips with known truth.

    python -m samples.make_clip tune/a.mp4 --seed 3 ...          # or any clips with a .json of that form beside them
    python -m streamfer.training.screening_rows tune/*.mp4 --kind micro -o rows.csv
    python -m streamfer.training.fit_screening rows.csv

Each clip is analysed as a user would, with `screening.min_score` 0 and `output.signals`, so that every bump that the
screener weighs is written down with its numbers. A bump is a hit (1) when it overlaps a true expression of its kind with an
intersection over union of at least 0.5 in time, else 0. Clips without a truth file count as holding no expression: use
that for footage in which nothing was planted and nobody moves a face, and with `--clip-weight` below 1 if you are not sure.

Keep tuning and reporting clips apart: other seeds, other people. The shipped weights were fitted to such rows of clips of
seeds 0-9 and of the calm footage face_s18, and to rows of readings with movements added to them, which this script
does not make (benchmarks/LOG.md): fitting again gives near weights, not the same.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

MIN_IOU = 0.5


def rows_of(clip: Path, kind: str, weight: float = 1.0) -> pd.DataFrame:
    """One line per bump of this kind: the numbers of `score.features`, `hit`, `importance`, `clip`."""
    import pandas as pd

    from streamfer import analyze
    from streamfer.reporting.signals import SignalsFile
    from streamfer.screening.score import MICRO_WEIGHTS

    truth = clip.with_suffix(".json")
    events = json.loads(truth.read_text(encoding="utf-8"))["events"] if truth.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        signals = Path(folder) / "signals.parquet"
        analyze(
            clip, Path(folder) / "out", options={
                "screening.min_score": 0.0, "output.signals": str(signals), "explain.backend": "none", "output.formats": [],
            },
        )  # fmt: skip
        written = SignalsFile(signals).path_of(kind)
        columns = [*MICRO_WEIGHTS, "time_s", "onset_s", "offset_s", "score"]
        bumps = pd.read_parquet(written) if written.exists() else pd.DataFrame(columns=columns)
    rows = bumps[columns].copy()
    rows["hit"] = [int(any(_is_hit(bump, event, kind) for event in events)) for bump in bumps.to_dict("records")]
    rows["importance"] = weight
    rows["clip"] = clip.stem
    return rows


def _is_hit(bump: Mapping[Any, Any], event: dict[str, Any], kind: str) -> bool:
    if event["kind"] != kind:
        return False
    first, last = event["onset"]["time_s"], event["offset"]["time_s"]
    shared = min(bump["offset_s"], last) - max(bump["onset_s"], first)
    return shared > 0 and shared / (max(bump["offset_s"], last) - min(bump["onset_s"], first)) >= MIN_IOU


@click.command(help=__doc__)
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--kind", type=click.Choice(["micro", "macro"]), default="micro", show_default=True)
@click.option("--clip-weight", default=1.0, show_default=True, help="importance of these clips' rows")
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path))
def main(clips: tuple[Path, ...], kind: str, clip_weight: float, out: Path) -> None:
    import pandas as pd

    parts = []
    for clip in clips:
        parts.append(rows_of(clip, kind, clip_weight))
        click.echo(f"{clip.stem}: {len(parts[-1])} bumps, {int(parts[-1]['hit'].sum())} hits", err=True)
    rows = pd.concat(parts, ignore_index=True)
    rows.to_csv(out, index=False)
    click.echo(f"{len(rows)} rows, {int(rows['hit'].sum())} hits in {out}")


if __name__ == "__main__":
    main()
