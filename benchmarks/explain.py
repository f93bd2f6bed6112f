"""How fast a backend explains: key moments a second by batch, memory, and how long a fresh worker takes to its first result.

    python -m benchmarks.explain out/clip [more folders of results] [--backend nano] [--model FOLDER] [--batches 1 2 4 8 16]

Takes the events with their key frames from folders of `streamfer analyze`, repeats them under new ids until there are `--moments`,
and hands them to the backend as the worker does: pictures in, checked results out. Everything is counted: looking at the
pictures, writing, verification, further attempts. The first result is that of `python -m workers.expllm`, a process that is
started for one job on a real queue, from its start until the answer is back (`--starts` times; the first warms the file cache
and is not counted). Processor time stands beside it, because the wall time is that of a machine that may be busy.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks._processes import with_bytecode
from streamfer.config import Config, Explain
from streamfer.expllm.backends import load
from streamfer.jobs.client import ExplainClient
from streamfer.jobs.embedded import EmbeddedServer
from streamfer.jobs.queue import open_queue
from streamfer.records import Job, KeyFrame
from streamfer.reporting.folder import KEYFRAMES
from streamfer.reporting.folder import load as load_folder


def moments(folders: list[Path], count: int) -> list[tuple[Job, dict[str, np.ndarray]]]:
    """Jobs with their pictures, repeated under new ids."""
    found = []
    for folder in folders:
        for event in load_folder(folder).events:
            paths = {role: folder / KEYFRAMES / f"{event.id}_{role}.jpg" for role in ("onset", "apex", "offset")}
            if all(path.is_file() for path in paths.values()):
                found.append(
                    (event, {r: cv2.cvtColor(cv2.imread(str(p)), cv2.COLOR_BGR2RGB) for r, p in paths.items()})
                )
    if not found:
        sys.exit("no events with key frames in these folders")
    jobs = []
    for n in range(count):
        event, pictures = found[n % len(found)]
        event = replace(event, id=f"{event.id}-{n}")
        frames = (
            KeyFrame("onset", event.onset.frame, event.onset.time_s), KeyFrame("apex", event.apex.frame, event.apex.time_s),
            KeyFrame("offset", event.offset.frame, event.offset.time_s),
        )  # fmt: skip
        jobs.append((Job(event.id, event, frames, 0.0), pictures))
    return jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--backend", default="nano")
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 2, 4, 8, 16])
    parser.add_argument("--moments", type=int, default=48)
    parser.add_argument("--starts", type=int, default=5, help="fresh workers to time")
    args = parser.parse_args()
    jobs = moments(args.folders, max(args.moments, args.starts + 1))
    if not args.batches:
        first_results(args, jobs)
        return
    backend = load(args.backend, Explain(model=args.model, threads=args.threads))
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
    first_results(args, jobs)


def first_results(args: argparse.Namespace, jobs: list[tuple[Job, dict[str, np.ndarray]]]) -> None:
    """One worker process for each of a few jobs; prints medians and the range."""
    settings = [f"explain.backend={args.backend}", f"explain.threads={args.threads}"]
    settings += [f"explain.model={args.model}"] if args.model else []
    options = [part for one in settings for part in ("--set", one)]
    told, spent = [], []
    with EmbeddedServer() as server, tempfile.TemporaryDirectory() as compiled:
        client = ExplainClient(open_queue(Config().queue, "explain", server.url))
        for job, pictures in jobs[: args.starts + 1]:
            client.submit(job, pictures)
            before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            worker = subprocess.Popen(
                [sys.executable, "-m", "workers.expllm", "--redis", server.url, "--once", *options],
                stderr=subprocess.DEVNULL, env=with_bytecode(Path(compiled)),
            )  # fmt: skip
            if not client.drain(120):
                sys.exit("no result within two minutes")
            told.append(time.perf_counter() - begun)
            worker.wait()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(f"fresh worker: first result after {np.median(told[1:]):.2f} s ({min(told[1:]):.2f}-{max(told[1:]):.2f}), "
          f"{np.median(spent[1:]):.2f} s of processor time; load {os.getloadavg()[0]:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
