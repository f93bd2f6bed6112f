"""How fast folders of frames are read, by format, and whether memory depends on how many pictures there are.

    python -m benchmarks.frame_folders [--base VIDEO] [--runs 5] [--counts 1000 10000]

Pictures are 640x480, from a video (default: samples/portrait.mp4, which has the noise of a camera); PNG is coded as OpenCV
does by default, JPEG at quality 95. Many names are links to the same 50 files, so the disk is not what is measured (they
are in the page cache, as they would be on a second pass). Each run is a process of its own that opens the folder as
`streamfer analyze --fps 200` would, takes every frame and does nothing with it; its peak memory is that of the whole
process with its imports. Rates are for reading alone, without opening the folder, which is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

FPS = 200.0
FORMATS = {"png": [], "jpg": [95], "bmp": []}
DISTINCT = 50

READ = """
import json, resource, sys, time
from streamfer.config import Video
from streamfer.video import open_video
started = time.perf_counter()
with open_video(sys.argv[1], Video(fps=200.0)) as source:
    opened = time.perf_counter()
    last, in_order = -1, True
    for frame in source:
        in_order &= frame.index == last + 1
        last = frame.index
    ended = time.perf_counter()
print(json.dumps({"frames": source.counts.decoded, "in_order": in_order, "open_s": opened - started,
                  "read_s": ended - opened, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def make_folders(base: Path, root: Path, counts: list[int]) -> dict[tuple[str, int], Path]:
    import cv2

    from streamfer.video import open_video

    with open_video(base) as source:
        images = [cv2.resize(frame.image, (640, 480))[..., ::-1] for frame, _ in zip(source, range(DISTINCT), strict=False)]
    folders = {}
    for ending, quality in FORMATS.items():
        files = []
        for i, image in enumerate(images):
            files.append(root / f"{ending}{i}.{ending}")
            cv2.imwrite(str(files[-1]), image, [cv2.IMWRITE_JPEG_QUALITY, *quality] if quality else [])
        for count in counts:
            folder = folders[ending, count] = root / f"{ending}_{count}"
            folder.mkdir()
            for i in range(count):
                os.link(files[i % len(files)], folder / f"img{i + 1}.{ending}")
    return folders


def read(folder: Path) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", READ, str(folder)], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["in_order"], folder
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=Path(__file__).parents[1] / "samples/portrait.mp4")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000])
    args = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f} before; 640x480, {DISTINCT} different pictures")
    print("format  frames   kB each   open s   frames/s, median (min-max)   peak MB")
    with tempfile.TemporaryDirectory() as name:
        for (ending, count), folder in make_folders(args.base, Path(name), args.counts).items():
            rows = [read(folder) for _ in range(args.runs)]
            assert all(row["frames"] == count for row in rows)
            rates = [row["frames"] / row["read_s"] for row in rows]
            size = statistics.mean(f.stat().st_size for f in list(folder.iterdir())[:DISTINCT]) / 1024
            print(f"{ending:6}  {count:6d}  {size:8.0f}   {statistics.median(row['open_s'] for row in rows):6.2f}   "
                  f"{statistics.median(rates):6.0f} ({min(rates):.0f}-{max(rates):.0f})             "
                  f"{max(row['peak_mb'] for row in rows):8.0f}", flush=True)


if __name__ == "__main__":
    main()
