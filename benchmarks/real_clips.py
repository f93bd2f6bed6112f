"""Holds faces.csv against a plain decoding loop on every video of a folder, and prints who was seen when.

    python benchmarks/real_clips.py FOLDER

For each clip: are there rows for exactly the frames that PyAV delivers, at their PTS; what was dropped; from when to
when each person and each unknown face was seen; events. Exit code 1 when a clip's rows do not agree.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
import pandas as pd


def decoded_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(container.streams.video[0])]
    return [time - times[0] for time in times]


def main() -> int:
    clips = sorted(p for p in Path(sys.argv[1]).iterdir() if p.suffix in (".mp4", ".mov", ".mkv", ".avi", ".webm"))
    wrong = 0
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "streamfer", "analyze", *map(str, clips), "-o", out, "--to", "csv", "--quiet"]
        code = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
        print(f"streamfer analyze: exit code {code}\n")
        print("| clip | frames decoded | frames in faces.csv | largest time difference | without a face | "
              "people: seen from-to (s) | micro, macro |")
        print("|---|---|---|---|---|---|---|")
        for clip in clips:
            folder = Path(out) / clip.stem
            table = pd.read_csv(folder / "faces.csv", dtype={"person": str}).fillna({"person": ""})
            run = json.loads((folder / "run.json").read_text())
            times, rows = decoded_times(clip), table.drop_duplicates("frame")
            agree = len(times) == len(rows)
            difference = float(np.abs(rows["timestamp"].to_numpy() - times).max()) if agree else float("nan")
            wrong += not agree or difference > 1e-5
            seen = table[table["success"] == 1]
            spans = ", ".join(
                f"{person or '?'} {spell['timestamp'].iloc[0]:.2f}-{spell['timestamp'].iloc[-1]:.2f}"
                for person, one in seen.groupby("person") for _, spell in one.groupby("face_id")
            )  # fmt: skip
            events = run["events"]
            print(f"| {clip.name} | {len(times)} | {len(rows)} | {difference:.6f} s | {len(rows) - seen['frame'].nunique()} | "
                  f"{spans or '-'} | {events['micro']}, {events['macro']} |")
    return int(wrong > 0 or code != 0)


if __name__ == "__main__":
    raise SystemExit(main())
