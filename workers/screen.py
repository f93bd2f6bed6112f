"""The screen worker: takes video jobs, one at a time, and has each analysed into its output folder.

The analysis is a function given to `run`:

    analyze(path, output, overrides) -> VideoSummary        (streamfer.pipeline, wired in `main`)

It must go on where an earlier run into the same folder stopped: that is how a video whose worker was killed is taken
over. What it raises as SourceError, UsageError or ModelContract is an answer (the file will not get better) and is
stored as the result; anything else is tried again, up to `queue.max_deliveries`.

SIGTERM interrupts the video: what is written stays, the job goes back untried and another worker resumes it. Exit codes
as of the ExpLLM worker.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypedDict

import click

from streamfer.config import Config
from streamfer.errors import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    ModelContract,
    PayloadInvalid,
    SourceError,
    StreamferError,
    UsageError,
)
from streamfer.jobs.interface import Claimed, JobQueue
from streamfer.jobs.worker import (
    BLOCK_S,
    START_PATIENCE_S,
    Heartbeat,
    Janitor,
    connect_patiently,
    consumer_name,
    end_with_parent,
    forgiving,
    one_line,
    patiently,
    stop_on_signals,
)
from streamfer.records import VideoJob, VideoResult, from_json, to_json
from streamfer.threads import few_heaps
from workers import entry, worker_options

log = logging.getLogger("streamfer.workers.screen")


class VideoSummary(TypedDict):
    """What an analysis says about itself when it ends."""

    exit_code: int
    message: str
    counts: dict[str, int]


Analyze = Callable[[str, str, dict[str, Any]], VideoSummary]


def run(
    config: Config, queue: JobQueue | str | None, analyze: Analyze, *, once: bool = False,
    health: Path | None = None, stop: threading.Event | None = None, start_patience_s: float = START_PATIENCE_S,
) -> int:
    """Work until a signal (or `stop`) and return the exit code. The options are those of `workers.expllm.run`, but
    `health` is touched by the heartbeat, because one video may take hours."""
    running = threading.Event()

    def interrupt() -> None:
        if running.is_set():
            raise KeyboardInterrupt  # in the main thread, inside `analyze`

    with stop_on_signals(interrupt) as signalled:
        stop = stop or signalled
        if queue is None or isinstance(queue, str):
            queue = connect_patiently(config, "video", queue, stop, start_patience_s)
        me, janitor = consumer_name(), Janitor(queue)
        log.info("worker %s: waiting for videos", me)
        with Heartbeat(queue, me, health) as beat:
            while not stop.is_set():
                taken = patiently(lambda: queue.get(me, 1, 0.0 if once else BLOCK_S), "taking a video", stop.is_set)
                if not taken and once:
                    break
                for claimed in taken:
                    beat.hold([claimed.entry])
                    if _one(queue, claimed, analyze, me, stop, running) == "interrupted":
                        stop.set()
                    beat.drop(claimed.entry)
                forgiving(janitor.look)
            forgiving(lambda: queue.leave(me))
    log.info("worker %s: stopped", me)
    return EXIT_DONE


def _one(
    queue: JobQueue, claimed: Claimed, analyze: Analyze, me: str, stop: threading.Event, running: threading.Event
) -> Literal["ended", "interrupted"]:
    began = time.monotonic()

    def end(call: Callable[[], object]) -> None:
        patiently(call, f"storing the outcome of {claimed.id}")

    try:
        job = from_json(VideoJob, claimed.payload)
    except PayloadInvalid as error:
        log.error("job %s is invalid: %s", claimed.id, error)
        reason = str(error)
        end(lambda: queue.fail(claimed.entry, claimed.id, reason, retry=False))
        return "ended"
    log.info("video %s: %s -> %s (delivery %d)", job.id, job.path, job.output, claimed.deliveries)
    summary: VideoSummary = {"exit_code": EXIT_INTERRUPTED, "message": "", "counts": {}}
    try:
        with suppress(KeyboardInterrupt):
            running.set()
            if not stop.is_set():
                summary = analyze(job.path, job.output, job.options)
            running.clear()
    except (SourceError, UsageError, ModelContract) as error:
        summary = {"exit_code": error.exit_code, "message": str(error), "counts": {}}
    except Exception as error:  # whatever the analysis does must not stop the worker; the reason is kept with the job
        log.exception("video %s failed", job.id)
        reason = str(error) if isinstance(error, StreamferError) else one_line(error)
        end(lambda: queue.fail(claimed.entry, claimed.id, reason, retry=True))
        return "ended"
    finally:
        running.clear()
    if summary["exit_code"] == EXIT_INTERRUPTED:
        log.info("video %s: interrupted, another worker resumes it", job.id)
        forgiving(lambda: queue.release([claimed.entry]))  # without it the lease runs out and the try is counted
        return "interrupted"
    result = VideoResult(job.id, summary["exit_code"], summary["message"], dict(summary["counts"]),
                         time.monotonic() - began, me)
    try:
        end(lambda: queue.finish(claimed.entry, claimed.id, to_json(result)))
    except PayloadInvalid as error:
        reason = str(error)
        end(lambda: queue.fail(claimed.entry, claimed.id, reason, retry=False))
    log.info("video %s: exit code %d after %.1f s %s", job.id, result.exit_code, result.took_s, result.message)
    return "ended"


def pipeline_analysis(config_path: str | None, assignments: dict[str, Any]) -> Analyze:
    """`streamfer analyze --resume`, with the job's options on top of the worker's own."""

    def analyze(path: str, output: str, overrides: dict[str, Any]) -> VideoSummary:
        from streamfer.config import load
        from streamfer.runs import analyze_all

        config, _ = load(config_path, {**assignments, **overrides, "output.folder": output})
        (outcome,) = analyze_all([Path(path)], config, what="resume", command="workers.screen")
        if outcome.error is not None:
            raise outcome.error
        return {"exit_code": outcome.exit_code, "message": outcome.message, "counts": _counts(outcome.folder)}

    return analyze


def _counts(folder: Path) -> dict[str, int]:
    """The whole numbers that run.json counts; empty when the run was interrupted before it was written."""
    try:
        counts = json.loads((folder / "run.json").read_text(encoding="utf-8")).get("counts", {})
    except FileNotFoundError:
        return {}
    return {name: value for name, value in counts.items() if type(value) is int}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@worker_options(health="heartbeat")
def main(
    url: str | None, config_path: str | None, assignments: tuple[str, ...], health: Path | None, **flags: bool
) -> int:
    """Take video jobs from a queue until stopped (SIGTERM: the video in hand goes back, another worker resumes it)."""
    from streamfer.config import load, parse_assignment

    if flags["with_parent"]:
        end_with_parent(os.getppid())
    few_heaps()
    options = dict(parse_assignment(text) for text in assignments)
    if url is not None:
        options["queue.url"] = url  # the analysis sends its explanations there too
    config, _ = load(config_path, options)
    return run(config, None, pipeline_analysis(config_path, options), once=flags["once"], health=health)


if __name__ == "__main__":
    entry(main)
