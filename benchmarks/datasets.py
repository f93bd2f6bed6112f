"""Spotting on imitation data sets at 25 to 200 fps, with the commands that a user runs on the real one.

    python -m benchmarks.datasets OUT [--fps 25 --fps 200] [--subjects 3] [--amplitude 0.06] [--engine processes]

For each frame rate: `streamfer dataset demo casme_sq` (long videos, micro and macro), `streamfer analyze --dataset`,
`streamfer evaluate spotting` and `apex` as they are, nothing chosen on these clips. Seeds from 500 on are used for nothing
else. One portrait, two sizes and its mirror image: this shows that frame rates are treated alike, and says little about
real data.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

NAME = "casme_sq"
SEED = 500


def streamfer(*words: str) -> str:
    """What the command prints. Raises SystemExit with its last words when it fails."""
    done = subprocess.run([sys.executable, "-m", "streamfer", *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"streamfer {' '.join(words)} ended with {done.returncode}: {done.stderr[-800:]}")
    return done.stdout


def score(data: Path, out: Path, fps: float, subjects: int, amplitude: float) -> dict[str, dict[str, Any]]:
    from streamfer.datasets.demo import make

    if data.exists():
        shutil.rmtree(data)
    make(NAME, data, fps=fps, subjects=subjects, seed=SEED, quirks=False, amplitude=amplitude)
    streamfer("analyze", "--dataset", NAME, str(data), "-o", str(out), "--backend", "none", "--overwrite", "--quiet")
    rows: dict[str, dict[str, Any]] = {}
    for what in ("spotting", "apex"):
        told = json.loads(streamfer("evaluate", what, str(out), "--dataset", NAME, str(data), "--json"))
        for row in told["scores"]:
            rows[f"{row['group']} {row['measure']}"] = row
    return rows


@click.command(help=__doc__)
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--fps", "rates", type=float, multiple=True, default=(25, 30, 60, 100, 200))
@click.option("--subjects", default=3)
@click.option("--amplitude", default=0.06, help="Displacement of the skin, in inner-eye distances.")
def main(out: Path, rates: tuple[float, ...], subjects: int, amplitude: float) -> None:
    print(f"imitations of {NAME}, {subjects} subjects, planted at {amplitude:g} IED, seeds {SEED}+; 95 % intervals over subjects\n")
    print("| fps | micro F1 | of | macro F1 | of | overall F1 | micro apex error, ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for fps in rates:
        rows = score(out / f"data_{fps:g}", out / f"out_{fps:g}", fps, subjects, amplitude)
        cells = [f"{fps:g}"]
        for kind in ("micro", "macro"):
            row = rows[f"{kind} f1"]
            cells += [f"{row['value']:.2f} ({row['low']:.2f}-{row['high']:.2f})", row["of"]]
        apex = rows.get("micro mae_ms")
        shown = "-" if apex is None or apex["value"] is None else f"{apex['value']:.0f}"
        print("| " + " | ".join([*cells, f"{rows['overall f1']['value']:.2f}", shown]) + " |", flush=True)


if __name__ == "__main__":
    main()
