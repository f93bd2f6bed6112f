"""Puts video jobs into the queue: `python -m workers.enqueue /videos/*.mp4 --output /out`.

Paths are as the screen workers see them (shared storage), so they are not looked at here. The same video with the same
output and options is the same job: asking twice gives one analysis. Waits while the queue is full. With `--wait` each
result is a line of JSON on stdout, and the exit code is the first one that is not 0.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from typing import Any

import click

from streamfer.errors import EXIT_DONE, EXIT_FAILED
from streamfer.jobs.interface import JobQueue
from streamfer.jobs.queue import open_queue
from streamfer.records import VideoJob, VideoResult, from_json, to_json
from workers import entry

log = logging.getLogger("streamfer.workers.enqueue")

#: Seconds between two tries while the queue is full.
FULL_RETRY_S = 1.0


def video_job(path: str, output: str, options: dict[str, Any]) -> VideoJob:
    """The job of a video; its id is a digest of path, output and options."""
    digest = hashlib.sha256(json.dumps([path, output, options], sort_keys=True).encode()).hexdigest()[:24]
    return VideoJob(f"video-{digest}", path, output, options, time.time())


def submit(queue: JobQueue, job: VideoJob) -> str:
    """Put one job, waiting while the queue is full: "queued" or "duplicate"."""
    while (reply := queue.put(job.id, to_json(job), {})) == "full":
        log.info("the queue is full, waiting to put %s", job.path)
        time.sleep(FULL_RETRY_S)
    return reply


def give_again(queue: JobQueue, jobs: Sequence[VideoJob]) -> None:
    """Put jobs that the queue's server lost, as far as there is room."""
    for job in jobs:
        if queue.put(job.id, to_json(job), {}) == "queued":
            log.warning("the queue's server had lost %s: handed in again", job.path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("paths", nargs=-1, required=True, metavar="VIDEO...")
@click.option("--output", required=True, metavar="FOLDER", help="Folder of the results, as the workers see it.")
@click.option("--redis", "url", metavar="URL", help="The queue (default: queue.url of the config).")
@click.option("--config", "config_path", type=click.Path(), metavar="FILE", help="YAML file with queue options.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="An option of the analysis. Repeatable.")
@click.option("--wait", "wait_s", type=float, metavar="SECONDS", help="Wait for the results, at most so long.")
def main(paths: tuple[str, ...], output: str, url: str | None, config_path: str | None, **options: Any) -> int:
    """Put videos into the queue for the screen workers."""
    from streamfer.config import load, parse_assignment

    overrides = dict(parse_assignment(text) for text in options["assignments"])
    load(None, overrides)  # an option that does not exist is told here, not by each worker
    config, _ = load(config_path)
    queue = open_queue(config.queue, "video", url)
    jobs = {job.id: job for job in (video_job(path, output, overrides) for path in paths)}
    for job in jobs.values():
        log.info("%s: %s as %s", job.path, submit(queue, job), job.id)
    if options["wait_s"] is None:
        return EXIT_DONE
    code = EXIT_DONE
    ended = queue.wait(set(jobs), options["wait_s"])
    lost = queue.lost([job_id for job_id in jobs if job_id not in ended])
    for job_id, job in jobs.items():
        one = ended.get(job_id)
        line: dict[str, Any] = {"path": job.path, "id": job_id, "exit_code": EXIT_FAILED}
        if one is None:
            line["message"] = f"not finished within {options['wait_s']:g} s"
            if job_id in lost:
                line["message"] = "the queue's server lost it: put it in again"
        elif one.result is None:
            line["message"] = one.reason
        else:
            answer = from_json(VideoResult, one.result)
            line |= {"exit_code": answer.exit_code, "message": answer.message, "counts": answer.counts}
        click.echo(json.dumps(line, ensure_ascii=False))
        code = code or line["exit_code"]
    return code


if __name__ == "__main__":
    entry(main)
