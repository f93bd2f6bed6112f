"""Speed and memory of the whole program against MediaPipe's own FaceLandmarker on the same frames, in turn.

    python benchmarks/speed.py --clip CLIP --task face_landmarker.task [--seconds 60] [--runs 5]

The rival is the bare loop: decode to RGB, FaceLandmarker.detect_for_video with blendshapes; its imports and its
model loading are not counted. Ours is the whole process from start to finished files (`streamfer analyze
--backend none`): Python's start, imports (compiled before, as in any installed program), decoding, faces, people, AUs,
screening, all files but the report's explanations. Both run alone, A B A B, on the same file. `--hours 2` measures memory
on a long file instead, against one of 2 minutes, with all that is written at the end; `--fps 10` makes that three times as
short for a clip of 30 fps.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from _clips import ping_pong, repeat
from _processes import with_bytecode

BARE_LOOP = """
import json, sys, time, av, mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision
options = vision.FaceLandmarkerOptions(base_options=BaseOptions(model_asset_path=sys.argv[2]),
    running_mode=vision.RunningMode.VIDEO, output_face_blendshapes=True, num_faces=1)
with vision.FaceLandmarker.create_from_options(options) as landmarker, av.open(sys.argv[1]) as container:
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    frames = faces = 0
    started = time.perf_counter()
    for frame in container.decode(stream):
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=frame.to_ndarray(format="rgb24"))
        faces += bool(landmarker.detect_for_video(image, round(frame.time * 1000)).face_landmarks)
        frames += 1
    print(json.dumps({"frames": frames, "faces": faces, "seconds": time.perf_counter() - started}))
"""


def bare_loop(clip: Path, task: Path) -> dict[str, float]:
    command = [sys.executable, "-c", BARE_LOOP, str(clip), str(task)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=with_bytecode(clip.parent / "pyc"))
    return json.loads(done.stdout.splitlines()[-1])


def whole_program(clip: Path, folder: Path, extra: list[str]) -> dict[str, float]:
    """Wall seconds and peak memory of one process running `streamfer analyze`."""
    command = [
        *(sys.executable, "-m", "streamfer", "analyze", str(clip), "-o", str(folder)),
        *("--backend", "none", "--overwrite", "--quiet"),
        *extra,
    ]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=with_bytecode(clip.parent / "pyc")
    )
    assert process.stderr is not None
    errors = process.stderr.read().decode()
    code = process.wait()
    seconds = time.perf_counter() - started
    if code:
        raise SystemExit(f"streamfer failed: {errors}")
    run = json.loads((folder / clip.stem / "run.json").read_text())
    return {
        "seconds": seconds,
        "frames": run["counts"]["decoded"],
        "peak_mb": run["peak_memory_mb"],
        "events": sum(run["events"].values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, required=True, help="a short clip with one face")
    parser.add_argument("--task", type=Path, help="face_landmarker.task")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--hours", type=float, help="memory on a file of so many hours against one of 2 minutes")
    parser.add_argument("--fps", type=float, help="with --hours: leave frames of the clip out down to this rate")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE")
    args = parser.parse_args()
    extra = [part for text in args.sets for part in ("--set", text)]
    machine = platform.processor() or platform.machine()
    print(f"machine: {machine}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.hours:
            minute = folder / "minute.mp4"
            ping_pong(args.clip, minute, 60.0, 640, 360, args.fps)
            for label, times in (("2 minutes", 2), (f"{args.hours:g} hours", round(args.hours * 60))):
                clip = folder / f"{label.replace(' ', '_')}.mp4"
                repeat(minute, clip, times)
                result = whole_program(clip, folder / "out", extra)
                print(
                    f"{label}: {result['frames']:.0f} frames, {result['events']:.0f} events, {result['seconds']:.0f} s "
                    f"({result['frames'] / result['seconds']:.0f} fps), peak {result['peak_mb']:.0f} MB",
                    flush=True,
                )
            return
        if args.task is None:
            parser.error("--task is needed to run the rival")
        clip = folder / "clip.mp4"
        ping_pong(args.clip, clip, args.seconds, 640, 360)
        rows = []
        for run in range(args.runs + 1):
            rival, ours = bare_loop(clip, args.task), whole_program(clip, folder / "out", extra)
            assert rival["frames"] == ours["frames"], (rival, ours)
            if run == 0:
                continue  # warm the file cache
            rows.append((rival["frames"] / rival["seconds"], ours["frames"] / ours["seconds"], ours["peak_mb"]))
            print(
                f"  run {run}: FaceLandmarker loop {rows[-1][0]:.0f} fps, streamfer {rows[-1][1]:.0f} fps, "
                f"ratio {rows[-1][1] / rows[-1][0]:.2f}, peak {rows[-1][2]:.0f} MB",
                flush=True,
            )
        ratios = [ours / rival for rival, ours, _ in rows]
        print(
            f"{ours['frames']:.0f} frames of 640x360, {args.runs} runs: FaceLandmarker loop "
            f"{statistics.median(r[0] for r in rows):.0f} fps, whole program {statistics.median(r[1] for r in rows):.0f} fps, "
            f"ratio median {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f}), "
            f"peak memory {max(r[2] for r in rows):.0f} MB"
        )


if __name__ == "__main__":
    main()
