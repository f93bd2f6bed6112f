"""Throughput of the job queue: jobs per second in (validate, put) and out (take, fetch pictures, finish).

    python benchmarks/queue_throughput.py [--jobs 3000] [--runs 5] [--image-kb 30] [--redis URL]

One producer process, then one worker process; with --together both at the same time ("in and out" is then the rate from
the first put to the last result). Prints each run and the median. It does everything that the product does with a job
but encoding, decoding and explaining its picture. (Not named queue.py: a script's folder comes first on the path and
would hide the standard library's.)
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import statistics
import time

from streamfer.jobs.connection import connect
from streamfer.jobs.embedded import EmbeddedServer
from streamfer.jobs.queue import Queue
from streamfer.records import AUChange, ChainOfThought, Event, Job, KeyFrame, Moment, RegionMotion, Result, to_json


def payload(job_id: str) -> str:
    """An event of ordinary size: six AUs, eight regions."""
    event = Event(
        job_id, "clip", "P1", 1, "micro", Moment(30, 1.0), Moment(35, 1.2), Moment(41, 1.4), 0.2, 0.4,
        tuple(AUChange(f"AU{n:02d}", "both", 2.1, 1.7) for n in (1, 2, 4, 6, 12, 25)),
        tuple(RegionMotion(f"region {n}", 0.031, 87.5, "up") for n in range(8)), 0.8,
    )  # fmt: skip
    return to_json(Job(job_id, event, (KeyFrame("apex", 35, 1.2),), time.time()))


COT = ChainOfThought("AU12 " * 40, "a smile " * 30, "happy " * 20, "happiness")
RESULT = to_json(Result("x", COT, True, (), "composer", "m", "r", "cot_first", 1, 200, 0.1, "w"))


def produce(url: str, count: int, image: bytes) -> tuple[float, float, float]:
    """When the first job was put, and the last (monotonic, the same for all processes); seconds of CPU between."""
    queue = Queue(connect(url), limit=10**9)
    ids = [f"{time.time_ns()}-{i}" for i in range(count)]
    payloads = [payload(job_id) for job_id in ids]
    began, cpu_s = time.monotonic(), time.process_time()
    for job_id, text in zip(ids, payloads, strict=True):
        assert queue.put(job_id, text, {"apex": image}) == "queued"
    return began, time.monotonic(), time.process_time() - cpu_s


def consume(url: str, count: int) -> tuple[float, float, float]:
    """When the first job was there, and when the last one was finished; seconds of CPU."""
    queue = Queue(connect(url), limit=10**9)
    done, began, cpu_s = 0, 0.0, time.process_time()
    while done < count:
        for job in queue.get("w", 16, block_s=1.0):
            began = began or time.monotonic()
            assert queue.finish(job.entry, job.id, RESULT)
            done += 1
    return began, time.monotonic(), time.process_time() - cpu_s


def server_cpu_s(url: str) -> float:
    facts = connect(url).info("cpu")
    return float(facts["used_cpu_user"] + facts["used_cpu_sys"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--image-kb", type=float, default=30.0)
    parser.add_argument("--redis", help="a server to use; none starts a private Valkey")
    parser.add_argument("--together", action="store_true", help="producer and worker at the same time")
    options = parser.parse_args()
    image = os.urandom(round(options.image_kb * 1000))
    ins, outs, both, costs = [], [], [], []
    with contextlib.ExitStack() as stack:
        url = options.redis or stack.enter_context(EmbeddedServer()).url
        pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(2))
        pool.starmap(time.sleep, [(0.5,), (0.5,)])  # both have imported everything
        for run in range(options.runs):
            server_before_s = server_cpu_s(url)
            producer = pool.apply_async(produce, (url, options.jobs, image))
            if not options.together:
                producer.wait()
            consumer = pool.apply_async(consume, (url, options.jobs))
            (first_put, last_put, cpu_in_s), (first_got, last_done, cpu_out_s) = producer.get(), consumer.get()
            costs.append([1e6 * s / options.jobs for s in (cpu_in_s, cpu_out_s, server_cpu_s(url) - server_before_s)])
            ins.append(options.jobs / (last_put - first_put))
            outs.append(options.jobs / (last_done - first_got))
            both.append(options.jobs / (last_done - first_put))
            print(f"run {run + 1}: in {ins[-1]:.0f}/s, out {outs[-1]:.0f}/s, in and out {both[-1]:.0f}/s")
    how = "at the same time" if options.together else "one after the other"
    print(f"median of {options.runs} runs of {options.jobs} jobs with {options.image_kb:g} kB, {how}: "
          f"in {statistics.median(ins):.0f}/s, out {statistics.median(outs):.0f}/s, "
          f"in and out {statistics.median(both):.0f}/s")
    producer_us, worker_us, server_us = (statistics.median(cost) for cost in zip(*costs, strict=True))
    print(f"CPU for each job, which other load changes little: producer {producer_us:.0f} us, worker {worker_us:.0f} us, "
          f"server {server_us:.0f} us")


if __name__ == "__main__":
    main()
