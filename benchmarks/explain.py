"""How fast a backend explains: key moments a second by batch, time to the first result, memory.

    python -m benchmarks.explain out/clip [more folders of results] [--backend nano] [--model FOLDER] [--batches 1 2 4 8 16]

Takes the events with their key frames from folders of `streamfer analyze`, repeats them under new ids until there are `--moments`,
and hands them to the backend as the worker does: pictures in, checked results out. Everything is counted: looking at the
pictures, writing, verification, further attempts. The first result is timed from the start of the process that loads the backend,
in a fresh process. Prints the machine's load, because this is a CPU benchmark.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from streamfer.config import Explain
from streamfer.expllm.backends import load
from streamfer.records import Job
from streamfer.reporting.folder import KEYFRAMES
from streamfer.reporting.folder import load as load_folder


def moments(folders: list[Path], count: int) -> list[tuple[Job, dict[str, np.ndarray]]]:
    """Jobs with their pictures, repeated under new ids."""
    found = []
    for folder in folders:
        for event in load_folder(folder).events:
            paths = {role: folder / KEYFRAMES / f"{event.id}_{role}.jpg" for role in ("onset", "apex", "offset")}
            if all(path.is_file() for path in paths.values()):
                found.append((event, {r: cv2.cvtColor(cv2.imread(str(p)), cv2.COLOR_BGR2RGB) for r, p in paths.items()}))
    if not found:
        sys.exit("no events with key frames in these folders")
    jobs = []
    for n in range(count):
        event, pictures = found[n % len(found)]
        event = replace(event, id=f"{event.id}-{n}")
        jobs.append((Job(event.id, event, (), 0.0), pictures))
    return jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--backend", default="nano")
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4, 8, 16])
    parser.add_argument("--moments", type=int, default=48)
    parser.add_argument("--first", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    began = time.perf_counter()
    backend = load(args.backend, Explain(model=args.model, threads=args.threads))
    jobs = moments(args.folders, args.moments)
    if args.first:
        backend.explain([jobs[0][0]], [jobs[0][1]])
        print(f"{time.perf_counter() - began:.2f}")
        return
    backend.explain([jobs[0][0]], [jobs[0][1]])  # the first call warms up
    print(f"{backend.name} {backend.model} {backend.revision}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("batch  moments/s  s a batch  verified  attempts  tokens/s")
    for size in args.batches:
        start, results = time.perf_counter(), []
        for at in range(0, len(jobs), size):
            part = jobs[at : at + size]
            results += backend.explain([job for job, _ in part], [pictures for _, pictures in part])
        took_s = time.perf_counter() - start
        verified = sum(result.verified for result in results) / len(results)
        print(f"{size:5d}  {len(jobs) / took_s:9.2f}  {took_s / -(-len(jobs) // size):9.2f}  {verified:8.2f}"
              f"  {np.mean([r.attempts for r in results]):8.2f}  {sum(r.tokens for r in results) / took_s:8.0f}")  # fmt: skip
    print("labels", dict(Counter(r.cot.label for r in results if r.cot)))
    print(f"peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    command = [sys.executable, "-m", "benchmarks.explain", *sys.argv[1:], "--first"]
    begun = time.perf_counter()
    inner = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    print(f"fresh process: first result after {time.perf_counter() - begun:.2f} s, {inner} s of it after Python's imports")


if __name__ == "__main__":
    main()
