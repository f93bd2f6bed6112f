"""Clips over Redis: one video job each for `streamfer worker screen`, on as many machines as you like.

The queue keeps the promises: a clip whose worker dies is taken over and gone on with, one that fails again and again is
a dead letter; one that the queue's server lost is handed in again. Paths must mean the same to the workers (shared
storage). Interrupting this program leaves the jobs where they are: the workers go on, and the same command with --resume
collects what they have done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from streamfer.batch.clip import ClipEnd, ClipJob, clip_folder, clip_options, explain_code
from streamfer.config import Config, changes
from streamfer.errors import EXIT_FAILED, EXIT_INTERRUPTED, UsageError
from streamfer.jobs.interface import LOST_AFTER_S, Finished
from streamfer.output import What
from streamfer.records import VideoJob, VideoResult, from_json
from streamfer.reporting.folder import RUN

log = logging.getLogger(__name__)

_LOOK_S = 0.5


def over_redis(jobs: Sequence[ClipJob], config: Config, *, what: What) -> Iterator[ClipEnd]:
    """The ending of each clip, as they come. Raises QueueUnreachable when the server cannot be reached."""
    from streamfer.jobs.queue import open_queue
    from streamfer.runs import stop_on_signals
    from workers.enqueue import give_again, submit, video_job

    if config.queue.url is None:
        raise UsageError("--engine redis needs --redis URL: the server from which `streamfer worker screen` takes the clips")
    if what == "overwrite":
        raise UsageError("the workers never delete results: with --engine redis give another folder instead of --overwrite")
    queue = open_queue(config.queue, "video")
    output = str(Path(config.output.folder).resolve())
    options = {
        key: value for key, value in changes(config).items() if not key.startswith("queue.") and key != "output.folder"
    }
    cursor = queue.end()
    waiting: dict[str, tuple[ClipJob, VideoJob]] = {}
    with stop_on_signals() as stop:
        for job in jobs:
            if stop.is_set():
                return
            video = video_job(job.path, output, {**options, **clip_options(job)})
            waiting[video.id] = job, video
            submit(queue, video)
        log.info("%d clips queued; workers take them with `streamfer worker screen`", len(waiting))
        ended = list(queue.find(list(waiting)).values())  # also those of an earlier run of the same command
        asked = time.monotonic()
        while True:
            if ended:
                asked = time.monotonic()
            elif time.monotonic() - asked > LOST_AFTER_S:
                give_again(queue, [waiting[job_id][1] for job_id in queue.lost(list(waiting))])
                asked = time.monotonic()
            for end in ended:
                if end.id in waiting:
                    yield _end_of(waiting.pop(end.id)[0], end, config)
            if not waiting or stop.is_set():
                break
            cursor, ended = queue.results(cursor, _LOOK_S, only=set(waiting))
    for job, _ in waiting.values():
        yield ClipEnd(job, EXIT_INTERRUPTED, "still in the queue: the workers go on, --resume collects it")


def _end_of(job: ClipJob, end: Finished, config: Config) -> ClipEnd:
    if end.result is None:
        return ClipEnd(job, EXIT_FAILED, f"given up by the workers: {end.reason}")
    result = from_json(VideoResult, end.result)
    folder = clip_folder(job, config)
    message = result.message or explain_code(result.exit_code, folder)
    if not message and not (folder / RUN).exists():
        message = f"the workers have finished it, but {folder} is not there: do they see the same storage? was it deleted?"
        return ClipEnd(job, EXIT_FAILED, message, result.took_s)
    return ClipEnd(job, result.exit_code, message, result.took_s)
