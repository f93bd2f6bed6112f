"""How much faster a data set is analysed by several processes than by one, and that the files are the same.

    python -m benchmarks.batch [--clips 12] [--frames 200] [--processes 2] [--runs 3] [--ray]

Clips are folders of 640x480 JPEGs at 200 frames/s from samples/portrait.mp4 (each begins elsewhere in it; a second of
such a folder is 1/6 second of the video, so there is little to find in them, as in most of a data set). Measured is the
whole run, from starting the processes to the tables; --backend none, CSV only. Three ways, in turn:

    one process, one core      pinned: what a core does on its own
    one process                its stages run in threads, so it uses some of the other cores already
    N processes                what `streamfer analyze --dataset` does

The first ratio printed is how well processes scale (N / one on one core), the second what a user gains over
`--processes 1`. Both need a machine that does nothing else: with two busy cores neither says anything, and only the CPU
time a frame, which should be about the same in all ways, is worth reading.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RUN_FACTS = ("command", "started", "ended", "timings_s", "peak_memory_mb")

RUN = """
import json, os, resource, sys, time
from pathlib import Path
root, out, engine, processes, cores = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]
if cores != "all": os.sched_setaffinity(0, {int(cores)})
from streamfer.batch import run_dataset
from streamfer.config import load
from streamfer.datasets.records import Clip, Dataset
clips = tuple(Clip("bench", "s", p.name, p, 200.0) for p in sorted(root.iterdir()))
config, _ = load(None, {"explain.backend": "none", "output.formats": ["csv"], "output.folder": out})
started = time.perf_counter()
ends = run_dataset(Dataset("bench", root, clips), config, engine=engine, processes=processes, address="local")
seconds, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "codes": [end.exit_code for end in ends]}))
"""


def make_clips(root: Path, clips: int, frames: int) -> None:
    import cv2

    from streamfer.video import open_video

    with open_video(Path(__file__).parents[1] / "samples/portrait.mp4") as source:
        coded = [
            cv2.imencode(".jpg", cv2.resize(frame.image, (640, 480))[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
            for frame in source
        ]
    for clip in range(clips):
        folder = root / f"clip{clip:03d}"
        folder.mkdir(parents=True)
        first = clip * len(coded) // clips
        for i in range(frames):
            (folder / f"img{i + 1}.jpg").write_bytes(coded[(first + i) % len(coded)])


def run(root: Path, out: Path, engine: str, processes: int, cores: str = "all") -> tuple[float, float]:
    """Seconds on the clock, and of CPU in the processes that analysed (Ray's are not its children: 0)."""
    done = subprocess.run([sys.executable, "-c", RUN, str(root), str(out), engine, str(processes), cores],
                          capture_output=True, text=True)  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    result = json.loads(done.stdout.splitlines()[-1])
    assert not any(result["codes"]), result
    return result["seconds"], result["cpu"]


def digest(out: Path) -> str:
    """Over every file, without what run.json and dataset.csv say about the run itself."""
    whole = hashlib.sha256()
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        content = path.read_bytes()
        if path.name == "run.json":
            facts = {key: value for key, value in json.loads(content).items() if key not in RUN_FACTS}
            facts["config"]["output"].pop("folder")
            content = json.dumps(facts, sort_keys=True).encode()
        elif path.name == "dataset.csv":
            content = b"\n".join(line.rpartition(b",")[0] for line in content.splitlines())
        whole.update(str(path.relative_to(out)).encode() + content)
    return whole.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--ray", action="store_true", help="a local Ray too")
    args = parser.parse_args()
    first = str(min(os.sched_getaffinity(0)))
    ways = {
        "one process, one core": ("processes", 1, first),
        "one process": ("processes", 1, "all"),
        f"{args.processes} processes": ("processes", args.processes, "all"),
    }
    if args.ray:
        ways["Ray, its start included"] = ("ray", args.processes, "all")
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    cpu: dict[str, list[float]] = {way: [] for way in ways}
    digests = set()
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f} before; {args.clips} clips of {args.frames} frames")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_clips(root / "clips", args.clips, args.frames)
        for turn in range(args.runs):
            for number, (way, how) in enumerate(ways.items()):
                out = root / f"out{turn}_{number}"
                for taken, values in zip(run(root / "clips", out, *how), (seconds[way], cpu[way]), strict=True):
                    values.append(taken)
                digests.add(digest(out))
                print(f"  {way}: {seconds[way][-1]:.1f} s", flush=True)
    if len(digests) > 1:
        raise SystemExit(f"the files differ: {len(digests)} different results")
    median = {way: statistics.median(taken) for way, taken in seconds.items()}
    frames = args.clips * args.frames
    for way, taken in median.items():
        used = f"{1000 * statistics.median(cpu[way]) / frames:5.1f} ms of CPU a frame" if any(cpu[way]) else ""
        print(f"{way:24} {taken:6.1f} s  {frames / taken:5.0f} frames/s  {used}")
    many = median[f"{args.processes} processes"]
    print(f"{args.processes} processes: {median['one process, one core'] / many:.2f} x one process on one core, "
          f"{median['one process'] / many:.2f} x one process with all cores; all files the same in {args.runs * len(ways)} runs")


if __name__ == "__main__":
    main()
